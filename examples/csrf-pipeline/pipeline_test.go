// Package pipeline runs the example as its README tells people to: in a browser,
// under selvage dev and deployed by wrangler, and by the commands of the README.
package pipeline

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/internal/chromium"
	"github.com/selvage-edge/selvage/internal/servertest"
)

// built is a copy of the example with its page, made once.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "csrf-pipeline-"); err != nil {
		return "", err
	}
	for _, part := range []string{"src", "reports", "web"} {
		err = errors.Join(err, os.CopyFS(filepath.Join(dir, part), os.DirFS(part)))
	}
	for _, name := range []string{"wrangler.jsonc", "package.json", "package-lock.json", "vite.config.js"} {
		text, e := os.ReadFile(name)
		err = errors.Join(err, e, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	for _, args := range [][]string{{"ci", "--no-audit", "--no-fund"}, {"run", "build"}} {
		if err == nil {
			cmd := exec.Command("npm", args...)
			cmd.Dir = dir
			var out []byte
			if out, err = cmd.CombinedOutput(); err != nil {
				err = fmt.Errorf("npm %s: %w\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// project is a copy of the built example that the test may change. Without npm
// the test is skipped; in CI it fails.
func project(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		missing(t, "npm")
	}
	from, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, part := range []string{"src", "reports", "dist"} {
		err = errors.Join(err, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(from, part))))
	}
	text, e := os.ReadFile(filepath.Join(from, "wrangler.jsonc"))
	if err = errors.Join(err, e, os.WriteFile(filepath.Join(dir, "wrangler.jsonc"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// missing skips the test for want of a program; in CI it fails.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(program, "is missing, and CI must install it")
	}
	t.Skip(program, "is not installed")
}

func deploy(t *testing.T, dir string, env []string, wrangler servertest.CLI) {
	t.Helper()
	cmd := exec.Command(wrangler.Program, "deploy")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wrangler deploy: %v\n%s", err, out)
	}
}

func dev(t *testing.T, dir string) (url string) {
	t.Helper()
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	url, refusal := servertest.Dev(t, dir, nil, selvage, "--data", filepath.Join(t.TempDir(), "data"))
	if refusal != "" {
		t.Fatal(refusal)
	}
	return url
}

func TestBrowserDev(t *testing.T) {
	dir := project(t)
	url := dev(t, dir)
	watch(t, url, func() { again(t, dir) })
}

func TestBrowserDeployed(t *testing.T) {
	dir := project(t)
	wrangler := servertest.Wrangler(t, "../../conformance/wrangler/new")
	server := servertest.Start(t)
	env := []string{"PATH=" + wrangler.Path, "CLOUDFLARE_API_BASE_URL=" + server.API, "CLOUDFLARE_API_TOKEN=" + server.Token,
		"CLOUDFLARE_ACCOUNT_ID=" + server.Account, "CI=true", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true"}
	deploy(t, filepath.Join(dir, "reports"), env, wrangler)
	deploy(t, dir, env, wrangler)
	_, port, _ := strings.Cut(server.Edge, ":")
	watch(t, "http://csrf-pipeline.localhost:"+port, func() {
		again(t, dir)
		deploy(t, dir, env, wrangler)
	})
}

// again makes the gateway a new version.
func again(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "src", "index.ts")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(text, "export const changed = () => {};\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// watch does with two pages what people do, and deploys in between.
func watch(t *testing.T, url string, change func()) {
	b := chromium.Start(t)
	one, two := b.Open(t, url), b.Open(t, url)
	for _, p := range []*chromium.Page{one, two} {
		p.Shows(t, "#connection", "live", 1)
	}
	complete := "Sales of the week: 3 of 3, complete"
	one.Eval(t, `document.querySelector("button").click()`)
	one.Shows(t, "#reports", complete, 1)
	two.Shows(t, "#heard", "Sales of the week: 3 of 3", 1)

	// The tokens of a page are good once; it has used its first.
	got := one.Eval(t, `(async () => {
		const { token } = await (await fetch("/api/session")).json();
		const post = () => fetch("/api/reports", { method: "POST", headers: { "X-CSRF-Token": token }, body: "{}" });
		return [(await post()).status, (await post()).status, document.cookie].join();
	})()`)
	if got != "400,403," {
		t.Errorf("a token used twice: %s, want an accepted one (400 for the empty body), a refused one (403), and no cookie for scripts", got)
	}

	change()
	for _, p := range []*chromium.Page{one, two} {
		p.Shows(t, "#connection", "live, after 1 restarts", 1)
	}
	two.Eval(t, `document.querySelector("button").click()`)
	two.Shows(t, "#reports", complete, 1)
	one.Shows(t, "#heard", "Sales of the week: 3 of 3", 2)
}

// The README's commands answer what it shows.
func TestREADME(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
	}
	markdown, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	url := dev(t, project(t))
	steps := consoleSteps(strings.ReplaceAll(string(markdown), "http://localhost:8787", url))
	if len(steps) < 10 {
		t.Fatalf("only %d commands in the README", len(steps))
	}
	const mark = "\x1e"
	var script strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&script, "printf '%s'\n%s\n", mark, s.command)
	}
	cmd := exec.Command("bash")
	cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(script.String())
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("the commands end with %v", err)
	}
	answers := strings.Split(string(out), mark)[1:]
	for i, s := range steps {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(s.output), "…", ".*?")
		if i >= len(answers) || !regexp.MustCompile(`(?s)^`+pattern+`$`).MatchString(strings.TrimSpace(answers[i])) {
			t.Errorf("$ %s\nanswers %q, want %q", s.command, answers[min(i, len(answers)-1)], s.output)
		}
	}
}

// step is a command of a console block, and what is shown below it.
type step struct{ command, output string }

func consoleSteps(markdown string) (steps []step) {
	inside, continued := false, false
	for line := range strings.Lines(markdown) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{command: line[2:]})
			continued = strings.HasSuffix(line, `\`)
		case continued:
			steps[len(steps)-1].command += "\n" + line
			continued = strings.HasSuffix(line, `\`)
		default:
			last := &steps[len(steps)-1]
			last.output = strings.TrimPrefix(last.output+"\n"+line, "\n")
		}
	}
	return steps
}
