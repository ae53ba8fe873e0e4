package cli

import (
	"os"
	"runtime"
)

// minGarbage is how much garbage may gather between two collections, in bytes.
const minGarbage = 32 << 20

// letGarbageGather keeps the collector from running too often in a server that
// has little in memory: by default it runs when the heap has doubled, and the
// heap of an idle server is a few MB, so under load it would run dozens of times
// a second and take a seventh of our processor time.
//
// It takes memory that is never touched, and so never backed by the machine,
// but counts as heap. GOGC and GOMEMLIMIT, when set, are what the user wants
// instead. Call the returned function when the server ends.
func letGarbageGather() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	space := make([]byte, minGarbage)
	return func() { runtime.KeepAlive(space) }
}
