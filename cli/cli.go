// Package cli is the selvage command line: one file per subcommand, each a
// struct whose fields are its flags and whose Run does the work.
//
// Results go to stdout, diagnostics to stderr. Exit code 0 means done, 1
// failed, 2 wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/selvage-edge/selvage/platform"
)

// commands is the whole grammar; kong reads the tags.
type commands struct {
	Dev       devCommand       `cmd:"" help:"Run Workers projects here and reload them on save."`
	Serve     serveCommand     `cmd:"" help:"Run a server that wrangler deploys to."`
	Account   accountCommand   `cmd:"" help:"Print the account id of a server."`
	Token     tokenCommand     `cmd:"" help:"Make, list and revoke API tokens."`
	Backup    backupCommand    `cmd:"" help:"Write all data of a server into one file, also while it serves."`
	Restore   restoreCommand   `cmd:"" help:"Unpack a backup into an empty data directory."`
	Doctor    doctorCommand    `cmd:"" help:"Say what this machine has of what a server wants."`
	Cells     cellsCommand     `cmd:"" help:"List the processes in which a server's Workers run."`
	Cell      cellCommand      `cmd:"" help:"Look into one of them."`
	Config    configCommand    `cmd:"" help:"Work with a server's configuration."`
	Analytics analyticsCommand `cmd:"" help:"Query the data sets of Analytics Engine."`
	Crons     cronsCommand     `cmd:"" help:"List the last runs of cron triggers, with their outcomes."`
	Provision provisionCommand `cmd:"" help:"Make on a server what projects name: databases, namespaces, buckets, queues."`
	D1        d1Command        `cmd:"" name:"d1" help:"Query D1 databases and apply their migrations."`
	KV        kvCommand        `cmd:"" name:"kv" help:"Read and write Workers KV."`
	R2        r2Command        `cmd:"" name:"r2" help:"Manage access keys of R2, and verify its objects."`
	Engine    engineCommand    `cmd:"" help:"Fetch the engine, if it is not here yet, and print where it is."`
	Version   versionCommand   `cmd:"" help:"Print the version of selvage and of the engine."`
}

// IO is where a command reads and writes.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Additions are the Workers that a program brings along. They are made when a
// command starts a platform; the zero value brings none.
type Additions struct {
	// Make makes the Workers and returns the function that adds them to a
	// platform's options, the name of the first one and what to call at the end.
	Make func(ctx context.Context) (configure func(*platform.Options), first string, end func(), err error)
}

// with calls run with what Make makes, or with nothing.
func (a Additions) with(ctx context.Context, run func(configure func(*platform.Options), first string) error) error {
	if a.Make == nil {
		return run(nil, "")
	}
	configure, first, end, err := a.Make(ctx)
	if err != nil {
		return err
	}
	defer end()
	return run(configure, first)
}

// Main runs the command line with the process's own arguments, streams and
// signals, and exits. SIGINT and SIGTERM end a running server gracefully; a
// second signal ends the process at once.
func Main(a Additions) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills
	os.Exit(Run(ctx, os.Args[1:], IO{os.Stdin, os.Stdout, os.Stderr}, a))
}

// Run runs one command line and returns its exit code. A program with Workers
// of its own runs them as `dev` does when there are no arguments.
func Run(ctx context.Context, args []string, streams IO, a Additions) int {
	var c commands
	code := -1
	parser, err := kong.New(&c,
		kong.Name("selvage"),
		kong.Description("Your own Cloudflare in one program: runs Workers and every binding they use."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Writers(streams.Stdout, streams.Stderr),
		kong.Exit(func(n int) { code = n }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams, a),
	)
	if err != nil {
		fmt.Fprintln(streams.Stderr, "selvage:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
		if a.Make != nil {
			args = []string{"dev"}
		}
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help was asked for and printed
		return code
	}
	if err != nil {
		fmt.Fprintf(streams.Stderr, "selvage: %v\n", err)
		fmt.Fprintln(streams.Stderr, "Run `selvage --help` for the commands and `selvage COMMAND --help` for their flags.")
		return 2
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(streams.Stderr, nil)))
	if err := parsed.Run(); err != nil {
		var usage *usageError
		if errors.As(err, &usage) {
			fmt.Fprintf(streams.Stderr, "selvage: %v\n", err)
			return 2
		}
		fmt.Fprintf(streams.Stderr, "selvage: %v\n", err)
		return 1
	}
	return 0
}

// usageError is a mistake in the command line that kong cannot see.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}
