// Package projects runs small odd projects under the real `wrangler dev`, which
// is the referee, under `selvage dev`, and deployed by the real wrangler to
// `selvage serve`. What they answer has to be the same.
package projects

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// project is an archive of testdata. Besides the files of the project it has
//
//	requests   lines of a path and the body of its answer; with "dev" or
//	           "deploy" in front, where it differs by design
//	refused    instead of requests: it does not start anywhere
//	links      lines of a symbolic link and its target
//	env        lines of NAME=VALUE, the environment of all three
//
// A file named *.wasm becomes a module with the function add(a, b), whatever its
// text: an archive has text only.
type project struct {
	name, dir string
	env       []string
	requests  []request
	refused   bool
}

type request struct{ where, path, body string }

// add is that module.
const add = "\x00asm\x01\x00\x00\x00" + // magic, version
	"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + // type: (i32, i32) -> i32
	"\x03\x02\x01\x00" + // function 0 has it
	"\x07\x07\x01\x03add\x00\x00" + // exported as "add"
	"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b" // local.get 0, local.get 1, i32.add

// provide calls the REST API: it makes what deployed projects take for granted.
func provide(t *testing.T, s *servertest.Server, path, body string) {
	t.Helper()
	req, err := http.NewRequest("POST", s.API+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + s.Token}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s %s", path, res.Status, answer)
	}
}

func TestProjects(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Node.js and minutes")
	}
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	wrangler := servertest.Wrangler(t, "../wrangler/old")
	server := servertest.Start(t)
	provide(t, server, "/zones", fmt.Sprintf(`{"name":"shop.example","account":{"id":%q}}`, server.Account))
	provide(t, server, "/accounts/"+server.Account+"/r2/buckets", `{"name":"shop-files"}`)
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(archives, err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			p := read(t, archive)
			t.Run("wrangler dev", func(t *testing.T) {
				p := read(t, archive)
				p.check(t, "dev", "", func() (string, string) {
					return servertest.Dev(t, p.dir, append(p.env, "PATH="+wrangler.Path), wrangler.Program, "--ip", "127.0.0.1", "--inspector-port", "0")
				})
			})
			t.Run("selvage dev", func(t *testing.T) {
				p.check(t, "dev", "", func() (string, string) { return servertest.Dev(t, p.dir, p.env, selvage) })
			})
			t.Run("deployed", func(t *testing.T) {
				p := read(t, archive)
				p.check(t, "deploy", p.name+".localhost", func() (string, string) {
					return deploy(t, p, wrangler, server)
				})
			})
		})
	}
}

// check compares what the project answers, once start has given its URL, or
// why it was refused.
func (p *project) check(t *testing.T, where, host string, start func() (url, refusal string)) {
	url, refusal := start()
	if p.refused {
		// What the runtime refuses may be told only when it is asked for.
		if refusal == "" && !strings.HasPrefix(get(t, url, host), "5") {
			t.Error("the project is not refused")
		}
		return
	}
	if refusal != "" {
		t.Fatalf("the project is refused: %s", refusal)
	}
	for _, r := range p.requests {
		if r.where != "" && r.where != where {
			continue
		}
		if got := get(t, url+r.path, host); got != r.body {
			t.Errorf("%s: got %q, want %q", r.path, got, r.body)
		}
	}
}

func get(t *testing.T, url, host string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(string(body), "\n")
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode)
	}
	return text
}

// deploy gives the server's URL.
func deploy(t *testing.T, p *project, wrangler servertest.CLI, s *servertest.Server) (url, refusal string) {
	t.Helper()
	cmd := exec.Command(wrangler.Program, "deploy")
	cmd.Dir = p.dir
	cmd.Env = append(append(os.Environ(), "PATH="+wrangler.Path, "CLOUDFLARE_API_BASE_URL="+s.API,
		"CLOUDFLARE_API_TOKEN="+s.Token, "CLOUDFLARE_ACCOUNT_ID="+s.Account,
		"CI=true", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true"), p.env...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Sprintf("%v: %s", err, output)
	}
	return "http://" + s.Edge, ""
}

// read writes an archive's files to a folder.
func read(t *testing.T, archive string) *project {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	p := &project{name: strings.TrimSuffix(filepath.Base(archive), ".txtar"), dir: t.TempDir()}
	for _, f := range a.Files {
		lines := strings.FieldsFunc(string(f.Data), func(r rune) bool { return r == '\n' })
		path := filepath.Join(p.dir, filepath.FromSlash(f.Name))
		if f.Name != "links" {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		switch {
		case err != nil:
		case f.Name == "requests":
			p.requests = requests(lines)
		case f.Name == "refused":
			p.refused = true
		case f.Name == "env":
			p.env = lines
		case f.Name == "links":
			for _, line := range lines {
				link, target, _ := strings.Cut(line, " ")
				path := filepath.Join(p.dir, filepath.FromSlash(link))
				if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
					err = os.Symlink(target, path)
				}
			}
		case strings.HasSuffix(f.Name, ".wasm"):
			err = os.WriteFile(path, []byte(add), 0o644)
		default:
			err = os.WriteFile(path, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !p.refused && len(p.requests) == 0 {
		t.Fatal("the project has no requests")
	}
	return p
}

func requests(lines []string) (list []request) {
	for _, line := range lines {
		r := request{}
		if r.where, _, _ = strings.Cut(line, " "); r.where == "dev" || r.where == "deploy" {
			line = strings.TrimPrefix(line, r.where+" ")
		} else {
			r.where = ""
		}
		r.path, r.body, _ = strings.Cut(line, " ")
		list = append(list, r)
	}
	return list
}
