package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/selvage-edge/selvage/workerd"
)

type versionCommand struct{}

func (*versionCommand) Run(streams IO) error {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(streams.Stdout, "selvage %s\nworkerd %s\n%s %s/%s\n", version, workerd.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
