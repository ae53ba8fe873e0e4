//go:build !unix

package workerd

import "context"

// lock does nothing: there is no binary to download for these platforms.
func lock(context.Context, string) (unlock func(), err error) { return func() {}, nil }
