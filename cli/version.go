package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/selvage-edge/selvage/engine/workerd"
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

type engineCommand struct{}

func (*engineCommand) Run(ctx context.Context, streams IO) error {
	path, err := workerd.Binary(ctx, streams.Stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(streams.Stdout, path)
	return nil
}
