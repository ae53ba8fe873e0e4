// Package readme runs the tour of the README, command by command, and compares
// what it prints. "…" stands for what differs from run to run; a command whose
// output the README does not show must only succeed.
package readme

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// step is one command of the tour.
type step struct {
	line    int
	command string
	want    string // the output; empty: not shown
}

// steps reads the console blocks of a Markdown text.
func steps(text string) []step {
	var list []step
	console := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			console = line == "```console"
		case console && strings.HasPrefix(line, "$ "):
			list = append(list, step{line: i + 1, command: line[2:]})
		case console && len(list) > 0:
			list[len(list)-1].want += line + "\n"
		}
	}
	return list
}

// matches compares line by line; a line of "…" stands for any number of lines.
func matches(got, want string) bool {
	pattern := regexp.QuoteMeta(strings.TrimSpace(want))
	pattern = strings.ReplaceAll(pattern, "…", "(?s:.*?)")
	return regexp.MustCompile(`^(?s:\s*)` + pattern + `(?s:\s*)$`).MatchString(strings.ReplaceAll(got, "\r", ""))
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		got, want string
		ok        bool
	}{
		{"hello\n", "hello\n", true},
		{"hello\n", "hullo\n", false},
		{"a\nb\nc\n", "…\nc\n", true},
		{"took 12 ms\n", "took … ms\n", true},
		{"took 12 s\n", "took … ms\n", false},
		{"", "hello", false},
	} {
		if matches(tt.got, tt.want) != tt.ok {
			t.Errorf("matches(%q, %q) = %v", tt.got, tt.want, !tt.ok)
		}
	}
}

func TestTour(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing, and CI must run the tour", tool)
			}
			t.Skipf("the tour needs %s", tool)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	tour := steps(string(text))
	if len(tour) < 10 {
		t.Fatalf("the README has %d commands: is it still a tour?", len(tour))
	}
	s := newShell(t, root)
	for _, st := range tour {
		t.Logf("README.md:%d: %s", st.line, st.command)
		if !strings.HasSuffix(st.command, "&") && strings.Contains(st.command, " dev ") {
			st.command += " &" // the README has it in a terminal of its own
			st.want = st.want[strings.Index(st.want, "Ready on"):]
		}
		if strings.HasSuffix(st.command, "&") {
			s.background(st)
			continue
		}
		output, status := s.run(s.rewrite(st.command))
		if status != "0" {
			t.Fatalf("README.md:%d: %s\nended with %s and printed\n%s", st.line, st.command, status, output)
		}
		if want := s.rewrite(st.want); st.want != "" && !matches(httpOnly(output, want), want) {
			t.Errorf("README.md:%d: %s\nprinted\n%s\nwant\n%s", st.line, st.command, output, want)
		}
	}
}

// httpOnly drops the headers of an HTTP answer that the README does not show.
func httpOnly(got, want string) string {
	if !strings.HasPrefix(want, "HTTP/1.1 ") {
		return got
	}
	head, body, _ := strings.Cut(strings.ReplaceAll(got, "\r", ""), "\n\n")
	var kept []string
	for _, line := range strings.Split(head, "\n") {
		name, _, _ := strings.Cut(line, ":")
		if strings.HasPrefix(line, "HTTP/") || strings.Contains(want, "\n"+name+":") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n") + "\n\n" + body
}

// shell is a bash that keeps its variables from one command to the next.
type shell struct {
	t     *testing.T
	dir   string // for data, the binary and the shell's state
	root  string
	state string
	ports *strings.Replacer
}

func newShell(t *testing.T, root string) *shell {
	s := &shell{t: t, dir: t.TempDir(), root: root}
	s.state = filepath.Join(s.dir, "state")
	if err := os.WriteFile(s.state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The README's ports may be taken, and its data must not stay behind.
	replace := []string{"--data data", "--data " + filepath.Join(s.dir, "server"), "-o selvage", "-o " + filepath.Join(s.dir, "selvage"),
		"./selvage", filepath.Join(s.dir, "selvage"), "dev examples/zero-trust-gateway", "dev examples/zero-trust-gateway --port 8787 --data " + filepath.Join(s.dir, "dev"),
		"-c examples/zero-trust-gateway", "-c examples/zero-trust-gateway --data " + filepath.Join(s.dir, "dev"),
		"curl ", "curl --retry 0 --max-time 30 "}
	for _, port := range []string{"8787", "8080", "8081"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, free, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		replace = append(replace, port, free)
	}
	s.ports = strings.NewReplacer(replace...)
	return s
}

// rewrite applies the replacements twice: one may bring in what another needs.
func (s *shell) rewrite(text string) string {
	return strings.Replace(s.ports.Replace(text), "--port 8787", "--port "+s.ports.Replace("8787"), 1)
}

func (s *shell) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "source "+s.state+"\n"+script)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "npm_config_cache="+npmCache(), "GOCACHE="+goEnv("GOCACHE"), "GOMODCACHE="+goEnv("GOMODCACHE"),
		"XDG_CACHE_HOME="+cacheDir(), "NO_COLOR=1", "CI=true", "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true", "CLOUDFLARE_CF_FETCH_ENABLED=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs one command and keeps the variables it set.
func (s *shell) run(command string) (output, status string) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := s.command(ctx, "set -o pipefail\n"+command+"\nstatus=$?\ndeclare -px | grep -E ' (TOKEN|CLOUDFLARE_[A-Z_]*)=' > "+s.state+"\ndeclare -p TOKEN >> "+s.state+" 2>/dev/null\nexit $status")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out) + stderr.String(), err.Error()
	}
	return string(out), "0"
}

// background starts a server, waits for the last line that the README shows,
// and ends it with the test.
func (s *shell) background(st step) {
	s.t.Helper()
	log := filepath.Join(s.dir, fmt.Sprintf("line-%d", st.line))
	out, err := os.Create(log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd := s.command(context.Background(), "exec "+strings.TrimSuffix(s.rewrite(st.command), "&"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
	})
	want := strings.TrimSpace(s.rewrite(st.want))
	var text []byte
	printed := poll.Within(5*time.Minute, func() bool { // it is compiled first
		text, _ = os.ReadFile(log)
		return strings.Contains(string(text), want)
	})
	if !printed {
		s.t.Fatalf("README.md:%d: %s\nprinted\n%s\nwant\n%s", st.line, st.command, text, want)
	}
}

func goEnv(name string) string {
	out, _ := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out))
}

func cacheDir() string {
	dir, _ := os.UserCacheDir()
	return dir
}

func npmCache() string {
	out, _ := exec.Command("npm", "config", "get", "cache").Output()
	return strings.TrimSpace(string(out))
}
