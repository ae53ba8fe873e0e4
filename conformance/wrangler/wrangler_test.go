// Package wrangler runs the released wrangler against a server: each script
// in testdata is a project and the commands somebody gives in it.
package wrangler

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/internal/servertest"
)

// clis are the wranglers that the scripts run: the newest one, which people
// get from npx, and one of the last that run on Node.js 20. They differ in the
// calls that they make, hardly in what they print; a script says [new] or [old]
// where they do. The old one runs only the scripts in which they differ, which
// keeps the whole under the time that go test gives a package.
var clis = []struct {
	name    string   // and the folder of its package.json and package-lock.json
	scripts []string // nil: all
}{
	{"new", nil},
	{"old", []string{"analytics", "assets", "deploy", "durable", "errors", "provision", "queues", "r2", "r2-settings", "secret", "triggers", "versions", "workflows"}},
}

func TestWrangler(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Node.js and minutes")
	}
	for _, cli := range clis {
		t.Run(cli.name, func(t *testing.T) {
			params := scripts(cli.name, servertest.Wrangler(t, cli.name).Path)
			if cli.scripts == nil {
				params.Dir = "testdata"
			}
			for _, name := range cli.scripts {
				params.Files = append(params.Files, filepath.Join("testdata", name+".txtar"))
			}
			testscript.Run(t, params)
		})
	}
}

// scripts says how scripts run with path, in which the wrangler is the first.
func scripts(cli, path string) testscript.Params {
	return testscript.Params{
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "new" && cond != "old" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return cond == cli, nil
		},
		Setup: func(env *testscript.Env) error {
			selvage, err := servertest.Program()
			if err != nil {
				return err
			}
			s := servertest.Start(env.T().(testing.TB))
			env.Setenv("PATH", path)
			home := filepath.Join(env.WorkDir, ".home")
			for name, value := range map[string]string{
				"HOME": home, "XDG_CONFIG_HOME": home,
				"CLOUDFLARE_API_BASE_URL":     s.API,
				"CLOUDFLARE_API_TOKEN":        s.Token,
				"CLOUDFLARE_ACCOUNT_ID":       s.Account,
				"CI":                          "true",
				"NO_COLOR":                    "1",
				"WRANGLER_SEND_METRICS":       "false",
				"WRANGLER_HIDE_BANNER":        "true", // the banner looks for updates
				"CLOUDFLARE_CF_FETCH_ENABLED": "false",
				"EDGE":                        s.Edge,
				"SELVAGE":                     selvage,
				"PORT":                        s.Edge[strings.LastIndexByte(s.Edge, ':')+1:],
			} {
				env.Setenv(name, value)
			}
			if err := os.Mkdir(home, 0o755); err != nil {
				return err
			}
			return addWasm(env.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"get":   get,
			"poll":  pollFile,
			"until": waitFor,
			"api":   callAPI,
			"zone":  addZone,
			"sql":   askSQL,
		},
	}
}

// request asks the edge for http://HOST/PATH.
func request(ts *testscript.TestScript, method, target string, header ...string) (string, error) {
	host, path, _ := strings.Cut(target, "/")
	r, err := http.NewRequest(method, "http://"+ts.Getenv("EDGE")+"/"+path, nil)
	ts.Check(err)
	r.Host = host
	for _, h := range header {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s\n%s\n", resp.StatusCode, resp.Header.Get("Content-Type"), body), err
}

// get HOST/PATH [HEADER…] prints the answer of the edge.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: get HOST/PATH [HEADER…]")
	}
	answer, err := request(ts, "GET", args[0], args[1:]...)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), answer)
}

// poll FILE HOST/PATH TEXT asks the edge until FILE contains TEXT.
func pollFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: poll FILE HOST/PATH TEXT")
	}
	var data []byte
	found := poll.Within(poll.Patience, func() bool {
		data, _ = os.ReadFile(ts.MkAbs(args[0]))
		if bytes.Contains(data, []byte(args[2])) {
			return true
		}
		_, err := request(ts, "GET", args[1])
		ts.Check(err)
		return false
	})
	if !found {
		ts.Fatalf("%s does not contain %q:\n%s", args[0], args[2], data)
	}
}

// until HOST/PATH TEXT asks the edge until the answer contains TEXT.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until HOST/PATH TEXT")
	}
	var answer string
	found := poll.Within(poll.Patience, func() bool {
		var err error
		answer, err = request(ts, "GET", args[0])
		ts.Check(err)
		return strings.Contains(answer, args[1])
	})
	if !found {
		ts.Fatalf("%s does not answer %q:\n%s", args[0], args[1], answer)
	}
}

// api METHOD PATH [BODY] calls the REST API.
func callAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: api METHOD PATH [BODY]")
	}
	args = append(args, "")
	fmt.Fprintln(ts.Stdout(), ask(ts, args[0], args[1], args[2]))
}

// ask calls the REST API and returns status and body.
func ask(ts *testscript.TestScript, method, path, body string) string {
	r, err := http.NewRequest(method, ts.Getenv("CLOUDFLARE_API_BASE_URL")+path, strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+ts.Getenv("CLOUDFLARE_API_TOKEN"))
	resp, err := http.DefaultTransport.RoundTrip(r)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return fmt.Sprintf("%d %s", resp.StatusCode, answer)
}

// zone NAME adds a zone, and sets $ZONE to its id.
func addZone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: zone NAME")
	}
	answer := ask(ts, "POST", "/zones", fmt.Sprintf(`{"name":%q}`, args[0]))
	id := regexp.MustCompile(`"id":"([0-9a-f]{32})","modified_on"`).FindStringSubmatch(answer)
	if id == nil {
		ts.Fatalf("the answer has no id: %s", answer)
	}
	ts.Setenv("ZONE", id[1])
}

// sql QUERY [FILE] asks the SQL API of Analytics Engine, until the answer is that
// of FILE if one is named: a data point arrives behind the response. It prints the
// answer, with its status if that is not 200.
func askSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: [!] sql QUERY [FILE]")
	}
	var answer []byte
	var status int
	ask := func() {
		r, err := http.NewRequest("POST", ts.Getenv("CLOUDFLARE_API_BASE_URL")+"/accounts/"+ts.Getenv("CLOUDFLARE_ACCOUNT_ID")+"/analytics_engine/sql", strings.NewReader(args[0]))
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+ts.Getenv("CLOUDFLARE_API_TOKEN"))
		resp, err := http.DefaultTransport.RoundTrip(r)
		ts.Check(err)
		defer resp.Body.Close()
		status = resp.StatusCode
		answer, err = io.ReadAll(resp.Body)
		ts.Check(err)
	}
	ask()
	if len(args) == 2 {
		want := ts.ReadFile(args[1])
		if !poll.Within(poll.Patience, func() bool { ask(); return string(answer) == want }) {
			ts.Fatalf("the answer is not that of %s: %d\n%s", args[1], status, answer)
		}
	}
	if status != http.StatusOK {
		answer = fmt.Appendf(nil, "%d %s", status, answer)
	}
	ts.Stdout().Write(answer)
	if neg != (status != http.StatusOK) {
		ts.Fatalf("the status is %d: %s", status, answer)
	}
}

// addWasm puts a module with the function add(a, b) where scripts import it:
// a txtar archive has text only.
func addWasm(dir string) error {
	module := []byte("\x00asm\x01\x00\x00\x00" + // magic, version
		"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + // type: (i32, i32) -> i32
		"\x03\x02\x01\x00" + // function 0 has it
		"\x07\x07\x01\x03add\x00\x00" + // exported as "add"
		"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b") // local.get 0, local.get 1, i32.add
	return os.WriteFile(filepath.Join(dir, "add.wasm"), module, 0o644)
}
