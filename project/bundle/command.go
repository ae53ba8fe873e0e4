package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// RunCommand runs a custom build (`build.command`) in the directory dir, with
// both its outputs going to out. As under wrangler, WRANGLER_COMMAND is set to
// wrangler's name for what is being done: "dev" or "deploy". Programs that npm
// has installed in dir, or in a folder above it, are found first, as by those who
// start wrangler with npx or npm run.
//
// Source: https://developers.cloudflare.com/workers/wrangler/custom-builds/
func RunCommand(ctx context.Context, command, dir, doing string, out io.Writer) error {
	shell := []string{"sh", "-c", command}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/c", command}
	}
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "WRANGLER_COMMAND="+doing, "PATH="+installed(dir)+os.Getenv("PATH"))
	// What the command started in the background may keep its outputs open.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return fmt.Errorf("build command %q in %s failed with exit code %d; its output is above", command, dir, exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("build command %q in %s: %w", command, dir, errors.Join(ctx.Err(), err))
	}
	return nil
}

// installed lists, for PATH, the folders of programs that npm has installed.
func installed(dir string) string {
	var list strings.Builder
	for {
		list.WriteString(filepath.Join(dir, "node_modules", ".bin") + string(filepath.ListSeparator))
		above := filepath.Dir(dir)
		if above == dir {
			return list.String()
		}
		dir = above
	}
}
