//go:build linux && !amd64

package sandbox

// deniedHere: other architectures never had the older forms of calls in denied.
var deniedHere []uintptr
