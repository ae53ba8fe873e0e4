package selvage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/selvage-edge/selvage/cli"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/project"
	"github.com/selvage-edge/selvage/project/manifest"
)

// Main is a program: the selvage command line with these Workers in it. Without
// arguments it does what `dev` does: the Workers of the options, and any
// projects named after dev, answer on http://localhost:8787. `serve` runs them
// beside what is deployed with wrangler. SIGINT and SIGTERM end it gracefully.
// It does not return.
func Main(options ...Option) { cli.Main(additions(options)) }

// Run runs one command line, as Main does, until ctx ends, and returns its exit
// code: 0 done, 1 failed, 2 wrong usage.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, options ...Option) int {
	return cli.Run(ctx, args, cli.IO{Stdin: stdin, Stdout: stdout, Stderr: stderr}, additions(options))
}

func additions(options []Option) cli.Additions {
	if len(options) == 0 {
		return cli.Additions{}
	}
	return cli.Additions{Make: func(ctx context.Context) (func(*platform.Options), string, func(), error) {
		b, err := build(ctx, options)
		if err != nil {
			return nil, "", nil, err
		}
		first := ""
		if len(b.builtins) > 0 {
			first = b.builtins[0].Worker.Name
		}
		return func(o *platform.Options) {
			if b.logger != nil {
				o.Logger = b.logger
			}
			b.configure(o)
		}, first, b.cleanup, nil
	}}
}

// Project adds a Worker in JavaScript or TypeScript: the wrangler project in a
// folder of a file system, an embed.FS say, so that one binary ships both. It
// is bundled when the program starts. change may add bindings, routes and cron
// triggers, or make it private. The folder must hold all that the project imports.
func Project(files fs.FS, dir string, change ...WorkerOption) Option {
	return func(s *settings) {
		s.workers = append(s.workers, func(ctx context.Context, b *built) (platform.Builtin, error) {
			fail := func(err error) (platform.Builtin, error) {
				return platform.Builtin{}, fmt.Errorf("project %s: %w", dir, err)
			}
			path, err := b.extract(files, dir)
			if err != nil {
				return fail(err)
			}
			p := &project.Project{Path: path, Options: manifest.Options{}, Output: os.Stderr}
			b.cleanups = append(b.cleanups, p.Close)
			if _, err := p.Load(); err != nil {
				return fail(err)
			}
			if _, err := p.Build(ctx); err != nil {
				return fail(err)
			}
			d := &definition{name: p.Manifest.Name, bindings: p.Version.Bindings, routes: p.Manifest.Routes}
			for _, o := range change {
				o(d)
			}
			if err := errors.Join(d.problems...); err != nil {
				return fail(err)
			}
			p.Version.Bindings = d.bindings
			w := p.Worker()
			w.Subdomain = !d.private
			w.Crons = append(w.Crons, d.crons...)
			return platform.Builtin{Worker: w, Routes: append([]config.Route(nil), d.routes...), MapStack: p.MapStack}, nil
		})
	}
}
