package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/unsupported"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/telemetry"
)

var update = flag.Bool("update", false, "write the transcripts in testdata")

// bench is a control plane with one token that may do everything.
type bench struct {
	t       *testing.T
	dir     string // the data directory
	state   *state.Store
	auth    *auth.Auth
	url     string
	token   string
	account string
	// tail is the last subscriber of a tail.
	tail  chan func(telemetry.Invocation)
	crons *cron.History // of newWhole
	// prepare stands for the engine; nil: every version starts.
	prepare func(worker string, shares []config.Share) (finish func(), err error)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchAt(t, func(*Options) {})
}

func newBenchAt(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), tail: make(chan func(telemetry.Invocation), 1)}
	var h http.Handler
	var err error
	if b.state, b.auth, h, err = open(t.Context(), b.dir, func(o *Options) { b.options(o); change(o) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.state.Close() })
	b.account = b.state.Account()
	if b.token, err = b.auth.Create(t.Context(), "laptop", nil, 0); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bench) options(o *Options) {
	o.Tail = b.subscribe
	o.Prepare = func(_ context.Context, worker string, shares []config.Share) (func(), error) {
		if b.prepare == nil {
			return func() {}, nil
		}
		return b.prepare(worker, shares)
	}
}

func (b *bench) subscribe(_ string, f func(telemetry.Invocation)) (cancel func()) {
	b.tail <- f
	return func() {}
}

// kinds are the kinds of binding that uploads may have, none of them open.
func kinds() []binding.Kind {
	return slices.Concat(vars.Kinds(), kv.Kinds(), d1.Kinds(), service.Kinds(), durable.Kinds(), unsupported.Kinds())
}

// secrets are their fields that are secret.
var secrets = map[string][]string{"secret_text": {"text"}, "secret_key": {"key_base64", "key_jwk"}}

// open makes the REST API of a data directory.
func open(ctx context.Context, dir string, change func(*Options)) (*state.Store, *auth.Auth, http.Handler, error) {
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := state.Open(ctx, state.Options{Dir: dir, Blobs: blobs, Secrets: secrets})
	if err != nil {
		return nil, nil, nil, err
	}
	users := auth.New(s, nil)
	o := Options{
		State: s, Auth: users, Port: ":8080",
		Check: func(_ context.Context, v *config.Version) (Report, error) {
			// Stands for the engine, which conformance/wrangler has: a version
			// whose code begins with "throw" does not start.
			modules, err := v.Code.Modules(context.Background())
			if err != nil {
				return Report{}, err
			}
			if bytes.HasPrefix(modules[0].Data, []byte("throw")) {
				return Report{}, errors.New("Uncaught Error: broken\n  at " + modules[0].Name + ":1:7")
			}
			return Report{StartupTime: 12 * time.Millisecond, Handlers: []string{"fetch"}}, nil
		},
		Kinds: kinds(),
		Routes: [][]api.Route{{
			{Method: "GET", Path: "/accounts/{account}/things/{key}", Scope: "d1", Handle: func(w http.ResponseWriter, r *http.Request) error {
				return api.Write(w, r.PathValue("key"))
			}},
			{Method: "PUT", Path: "/accounts/{account}/things/{key}", Scope: "d1", Edit: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
				if _, err := io.ReadAll(r.Body); err != nil {
					return err
				}
				return api.Write(w, nil)
			}},
		}},
	}
	change(&o)
	h, err := New(ctx, o)
	return s, users, h, err
}

// serve is the server of the crash test: it prints its URL, account and token
// and waits to be killed.
func serve(args []string) error {
	dir, token := args[0], args[1]
	s, users, h, err := open(context.Background(), dir, func(*Options) {})
	if err != nil {
		return err
	}
	if token == "" {
		if token, err = users.Create(context.Background(), "laptop", nil, 0); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://"+l.Addr().String(), s.Account(), token)
	return http.Serve(l, h)
}

// do sends a request and returns status and body. {A} and {W} in the path are
// the account and the Worker "api".
func (b *bench) do(method, path, contentType, body string, headers ...string) (int, http.Header, string) {
	b.t.Helper()
	path = strings.NewReplacer("{W}", "/accounts/"+b.account+"/workers/scripts/api", "{A}", "/accounts/"+b.account).Replace(path)
	r, err := http.NewRequest(method, b.url+"/client/v4"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	r.Header.Set("User-Agent", "wrangler/4.86.0")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// form makes an upload form of parts "name type text".
func form(t testing.TB, parts []string) (contentType, body string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	w.SetBoundary("selvage-test-boundary")
	for _, p := range parts {
		name, rest, _ := strings.Cut(p, " ")
		typ, text, _ := strings.Cut(rest, " ")
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, name, name)}, "Content-Type": {typ}}
		if name == "metadata" || name == "settings" {
			h = textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"`, name)}}
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, text)
	}
	w.Close()
	return w.FormDataContentType(), buf.String()
}

// upload deploys the Worker "api" and returns the version's id.
func (b *bench) upload(metadata, code string) string {
	b.t.Helper()
	typ, body := form(b.t, []string{"metadata json " + metadata, "index.js application/javascript+module " + code})
	status, _, answer := b.do("PUT", "{W}", typ, body)
	if status != 200 {
		b.t.Fatalf("upload: %d %s", status, answer)
	}
	var e struct {
		Result struct {
			ID string `json:"deployment_id"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &e); err != nil {
		b.t.Fatal(err)
	}
	return e.Result.ID
}

// names gives what differs from run to run a name that does not, and back.
type names struct {
	of, value map[string]string
	count     map[string]int
}

var variable = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|eyJ[\w-]+\.[\w-]+\.[\w-]+|\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|127\.0\.0\.1:\d+`)

var blank = regexp.MustCompile(`(\r?\n)+`)

func (n *names) hide(text string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		kind := "id"
		switch {
		case strings.HasPrefix(v, "eyJ"):
			kind = "jwt"
		case strings.HasPrefix(v, "127."):
			return "<admin>"
		case strings.Contains(v, "T"):
			return "<time>"
		case strings.Contains(v, "-"):
			kind = "uuid"
		case len(v) == 64:
			kind = "digest"
		}
		if n.of[v] == "" {
			n.count[kind]++
			name := fmt.Sprintf("<%s-%d>", kind, n.count[kind])
			n.of[v], n.value[name] = name, v
		}
		return n.of[v]
	})
}

func (n *names) show(text string) string {
	for name, v := range n.value {
		text = strings.ReplaceAll(text, name, v)
	}
	return text
}

// TestTranscripts replays testdata/*.txt: requests, each followed by the
// answer. A request is "METHOD PATH [form] [as=jwt-name]", and its body: JSON,
// or for a form one part per line, "name type text". Run with -update to write
// the answers anew.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(newBench(t), string(data))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(data) {
				t.Errorf("transcript differs; got:\n%s", firstDifference(got, string(data)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			from := max(0, i-12)
			return strings.Join(g[from:min(len(g), i+12)], "\n") + "\n\nwant:\n" + strings.Join(w[min(from, len(w)):min(len(w), i+12)], "\n")
		}
	}
	return "less than the transcript has"
}

func replay(b *bench, transcript string) string {
	n := &names{of: map[string]string{}, value: map[string]string{}, count: map[string]int{}}
	n.hide(b.account) // <id-1>
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(transcript), "\n\n") {
		request, _, _ := strings.Cut(block, "\n< ")
		var comments, lines []string
		for _, l := range strings.Split(request, "\n") {
			if strings.HasPrefix(l, "#") {
				comments = append(comments, l)
			} else {
				lines = append(lines, l)
			}
		}
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		for _, c := range comments {
			out.WriteString(c + "\n")
		}
		if len(lines) == 0 {
			continue
		}
		out.WriteString(strings.Join(lines, "\n") + "\n")
		fields := strings.Fields(lines[0])
		var body, typ string
		var headers []string
		isForm := false
		for _, f := range fields[2:] {
			if f == "form" {
				isForm = true
			} else if token, ok := strings.CutPrefix(f, "as="); ok {
				headers = append(headers, "Authorization", "Bearer "+n.show(token))
			}
		}
		body = n.show(strings.Join(lines[1:], "\n"))
		if isForm {
			typ, body = form(b.t, strings.Split(body, "\n"))
		}
		status, header, answer := b.do(fields[0], n.show(fields[1]), typ, body, headers...)
		var pretty bytes.Buffer
		if strings.HasPrefix(header.Get("Content-Type"), "application/json") && json.Indent(&pretty, []byte(answer), "", "  ") == nil {
			answer = pretty.String()
		} else {
			answer = header.Get("Content-Type") + "\n" + answer
			if _, boundary, ok := strings.Cut(header.Get("Content-Type"), "boundary="); ok {
				answer = strings.ReplaceAll(answer, boundary, "<boundary>")
			}
			answer = blank.ReplaceAllString(answer, "\n") // a blank line ends a block
		}
		fmt.Fprintf(&out, "< %d %s\n", status, strings.TrimSpace(n.hide(strings.ReplaceAll(answer, "\r\n", "\n"))))
	}
	return strings.ReplaceAll(out.String(), "\n\n<", "\n<")
}
