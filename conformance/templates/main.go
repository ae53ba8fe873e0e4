// Command templates runs a folder of wrangler projects, as they are, through
// `selvage dev`, and through `selvage provision` and the real wrangler's deploy to
// `selvage serve`, and prints what became of each. It fetches nothing: whoever gives it projects has
// installed what they need.
//
//	go run ./conformance/templates [-wrangler PATH] [-dev] DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/internal/servertest"
	"github.com/selvage-edge/selvage/project/manifest"
)

func main() {
	wrangler := flag.String("wrangler", "", "the `path` of wrangler; default: the project's own, then the one on the PATH")
	devOnly := flag.Bool("dev", false, "do not deploy")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: templates [-wrangler PATH] [-dev] DIR")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Arg(0), *wrangler, !*devOnly, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "templates:", err)
		os.Exit(1)
	}
}

// run prints the table of the projects directly below dir.
func run(ctx context.Context, dir, wrangler string, deploy bool, out io.Writer) error {
	scratch, err := os.MkdirTemp("", "templates-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	selvage := filepath.Join(scratch, "selvage")
	if err := servertest.Build(ctx, selvage); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var s *server
	if deploy {
		if s, err = startServer(ctx, selvage, filepath.Join(scratch, "serve")); err != nil {
			return err
		}
		defer s.stop()
		s.selvage = selvage
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "project\tdev\tdeploy")
	for i, e := range entries {
		project := filepath.Join(dir, e.Name())
		if _, err := manifest.Find(project); err != nil {
			continue // not a project
		}
		dev, deployed := verdict(tryDev(ctx, selvage, project, filepath.Join(scratch, fmt.Sprint(i)))), "-"
		if deploy {
			deployed = verdict(s.tryDeploy(ctx, project, wrangler))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", e.Name(), dev, deployed)
	}
	return errors.Join(table.Flush(), ctx.Err())
}

// colours are terminal codes, which wrangler writes even with NO_COLOR.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// verdict is "ok", or why not in one line.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	text := strings.Join(strings.Fields(colours.ReplaceAllString(err.Error(), "")), " ")
	if r := []rune(text); len(r) > 160 {
		text = string(r[:160]) + "…"
	}
	return text
}

// patience is how long a project may take to be built and to answer.
const patience = 2 * time.Minute

// tryDev runs the project under dev and asks for its first page.
func tryDev(ctx context.Context, selvage, project, data string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := start(ctx, exec.Command(selvage, "dev", project, "--port", "0", "--data", data), "Ready on ")
	if err != nil {
		return err
	}
	defer p.stop()
	return ask(ctx, p.found, "")
}

// tryDeploy deploys the project and asks for its first page.
func (s *server) tryDeploy(ctx context.Context, project, wrangler string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, _, err := manifest.Load(project, manifest.Options{})
	if err != nil {
		return err
	}
	if wrangler == "" {
		wrangler = filepath.Join(project, "node_modules", ".bin", "wrangler")
		if _, err := os.Stat(wrangler); err != nil {
			wrangler = "wrangler"
		}
	}
	if strings.ContainsRune(wrangler, filepath.Separator) {
		if wrangler, err = filepath.Abs(wrangler); err != nil {
			return err
		}
	}
	provision := exec.CommandContext(ctx, s.selvage, "provision", project)
	provision.Env = append(os.Environ(), s.env...)
	if text, err := provision.CombinedOutput(); err != nil {
		return fmt.Errorf("selvage provision: %w: %s", err, complaint(string(text)))
	}
	cmd := exec.CommandContext(ctx, wrangler, "deploy")
	cmd.Dir, cmd.Env = project, append(os.Environ(), s.env...)
	// As for those who type npm run deploy.
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(project, "node_modules", ".bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("wrangler deploy: %w: %s", err, complaint(string(text)))
	}
	return ask(ctx, s.edge, m.Name+".localhost")
}

// complaint is the error in a program's output, without the warnings before it.
func complaint(output string) string {
	for _, mark := range []string{"\nselvage: ", "[ERROR]", "✘", "Error:"} {
		if _, rest, ok := strings.Cut(output, mark); ok {
			return rest
		}
	}
	return output
}

// ask gets the first page. A refusal, such as 404 or 401, is an answer of the
// Worker; 5xx is not.
func ask(ctx context.Context, url, host string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if host != "" {
		r.Host = host
	}
	response, err := http.DefaultTransport.RoundTrip(r) // a redirect is an answer
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if response.StatusCode >= 500 {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return err
}
