package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/selvage-edge/selvage/engine/workerd"
)

// release is the version of a release build, which its linker flags set (see
// .goreleaser.yaml). Empty in all others.
var release string

// version says which program this is: the release, or what the go command knows
// of the sources, which is a version and, for a build in a checkout, a commit.
func version(release string, info *debug.BuildInfo) string {
	if release != "" {
		return release
	}
	if info == nil {
		return "(unknown)"
	}
	version, commit, changed := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if version == "" {
		version = "(devel)"
	}
	if commit != "" {
		version += " (commit " + commit + changed + ")"
	}
	return version
}

type versionCommand struct{}

func (*versionCommand) Run(streams IO) error {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintf(streams.Stdout, "selvage %s\nworkerd %s\n%s %s/%s\n", version(release, info), workerd.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
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
