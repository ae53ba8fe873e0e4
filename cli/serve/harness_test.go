package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/telemetry"
)

// TestMain lets this binary be the server that a test kills.
func TestMain(m *testing.M) {
	dir := os.Getenv("SELVAGE_TEST_SERVE")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, Options{Settings: testSettings(dir), Stdout: os.Stdout, Stderr: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func testSettings(dir string) *settings.Settings {
	s, err := (&settings.File{
		Data: dir, HTTP: settings.HTTP{Listen: []string{"127.0.0.1:0"}}, Admin: settings.Admin{Listen: "127.0.0.1:0"}, DrainTimeout: "20s",
	}).Settings()
	if err != nil {
		panic(err)
	}
	return s
}

// screen collects what a server prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// after returns the word that follows marker, "" while there is none.
func (s *screen) after(marker string) string {
	_, rest, ok := strings.Cut(s.String(), marker)
	word, _, whole := strings.Cut(rest, "\n")
	if !ok || !whole {
		return ""
	}
	word, _, _ = strings.Cut(word, " ")
	return word
}

// running is a server under test.
type running struct {
	t              testing.TB
	edge, admin    string // URLs
	account, token string
	screen         *screen
	client         *http.Client
	// kill ends a server that is a process of its own; stop ends any server
	// gracefully.
	kill func()
	stop func() error
}

// ready waits until the server answers.
func (r *running) ready(ended <-chan struct{}) {
	r.t.Helper()
	ready := poll.Within(poll.Patience, func() bool {
		select {
		case <-ended:
			r.t.Fatalf("the server did not start:\n%s", r.screen)
		default:
		}
		r.edge = r.screen.after("Ready on ")
		r.admin = strings.TrimSuffix(r.screen.after("control plane\" url="), "/client/v4")
		r.account = r.screen.after(" account=")
		return r.edge != "" && r.admin != ""
	})
	if !ready {
		r.t.Fatalf("the server is not ready:\n%s", r.screen)
	}
}

// start runs a server in this process, with a token that may do everything.
func start(t testing.TB, s *settings.Settings, o Options) *running {
	t.Helper()
	r := &running{t: t, screen: &screen{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	o.Settings, o.Stdout, o.Stderr = s, r.screen, r.screen
	r.token = makeToken(t, s.Data)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var err error
	go func() { defer close(ended); err = Run(ctx, o) }()
	r.stop = sync.OnceValue(func() error { cancel(); <-ended; return err })
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("printed:\n%s", r.screen)
		}
	})
	r.ready(ended)
	return r
}

// spawn runs a server in a process of its own.
func spawn(t testing.TB, dir, token string) *running {
	t.Helper()
	r := &running{t: t, screen: &screen{}, token: token, client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SELVAGE_TEST_SERVE="+dir)
	cmd.Stdout, cmd.Stderr = r.screen, r.screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	r.kill = func() { cmd.Process.Kill(); <-ended }
	r.stop = func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if !cmd.ProcessState.Success() {
			return errors.New(cmd.ProcessState.String())
		}
		return nil
	}
	t.Cleanup(r.kill)
	r.ready(ended)
	return r
}

// makeToken makes an API token before the server starts; without scopes it may
// do everything.
func makeToken(t testing.TB, dir string, scopes ...string) string {
	t.Helper()
	stores, _, err := platform.OpenStores(t.Context(), platform.StoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	token, err := stores.Auth.Create(t.Context(), strings.Join(append(scopes, "test"), " "), scopes, 0)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// api calls the REST API. path is below the account.
func (r *running) api(method, path, contentType string, body io.Reader, result any) error {
	return r.call(method, "/accounts/"+r.account+path, contentType, body, result)
}

// call calls the REST API.
func (r *running) call(method, path, contentType string, body io.Reader, result any) error {
	req, err := http.NewRequest(method, r.admin+"/client/v4"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", contentType)
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var envelope struct {
		Success bool
		Errors  []struct{ Message string }
		Result  json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, path, res.Status, err)
	}
	if !envelope.Success {
		return fmt.Errorf("%s %s: %s: %v", method, path, res.Status, envelope.Errors)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(envelope.Result, result)
}

// upload deploys a Worker of one module as wrangler does. metadata is added to
// what every upload has.
func (r *running) upload(name, source string, metadata map[string]any) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	all := map[string]any{"main_module": "index.js", "compatibility_date": "2026-01-01"}
	for k, v := range metadata {
		all[k] = v
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	w.WriteField("metadata", string(text))
	part, _ := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="index.js"; filename="index.js"`}, "Content-Type": {"application/javascript+module"},
	})
	io.WriteString(part, source)
	w.Close()
	return r.api("PUT", "/workers/scripts/"+name, w.FormDataContentType(), &form, nil)
}

// deploy uploads a Worker and gives it its host.
func (r *running) deploy(name, source string, metadata map[string]any) {
	r.t.Helper()
	if err := r.upload(name, source, metadata); err != nil {
		r.t.Fatal(err)
	}
	err := r.api("POST", "/workers/scripts/"+name+"/subdomain", "application/json", strings.NewReader(`{"enabled":true}`), nil)
	if err != nil {
		r.t.Fatal(err)
	}
}

// previews gives a Worker its host, and its versions theirs if on is set.
func (r *running) previews(name string, on bool) {
	r.t.Helper()
	err := r.api("POST", "/workers/scripts/"+name+"/subdomain", "application/json", strings.NewReader(fmt.Sprintf(`{"enabled":true,"previews_enabled":%t}`, on)), nil)
	if err != nil {
		r.t.Fatal(err)
	}
}

// cells counts the server's cells in a state, "running" or "draining".
func (r *running) cells(state string) int {
	r.t.Helper()
	_, text := r.get("/metrics", r.token)
	_, rest, ok := strings.Cut(text, fmt.Sprintf("\nselvage_cells{state=%q} ", state))
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil || !ok {
		r.t.Fatalf("metrics lack the cells: %v", err)
	}
	return n
}

// ask sends a request to a Worker.
func (r *running) ask(worker, method, path string, body io.Reader) (int, string, error) {
	req, err := http.NewRequest(method, r.edge+path, body)
	if err != nil {
		return 0, "", err
	}
	req.Host = worker + ".localhost"
	res, err := r.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func (r *running) want(worker, path string, status int, text string) {
	r.t.Helper()
	got, body, err := r.ask(worker, "GET", path, nil)
	if err != nil || got != status || !strings.Contains(body, text) {
		r.t.Fatalf("%s%s: got %d %q %v, want %d %q", worker, path, got, body, err, status, text)
	}
}

// admin asks the admin address.
func (r *running) get(path, token string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("GET", r.admin+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// tail begins to watch a Worker; next returns what is seen.
func (r *running) tail(worker string) (next func() telemetry.Invocation) {
	r.t.Helper()
	var tail struct{ URL string }
	if err := r.api("POST", "/workers/scripts/"+worker+"/tails", "application/json", strings.NewReader("{}"), &tail); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, tail.URL, &websocket.DialOptions{Subprotocols: []string{"trace-v1"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.CloseNow() })
	// The cells are replaced by ones that report.
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		conn.Read(ctx)
	}()
	poll.Until(r.t, "the tail reports", func() bool {
		r.ask(worker, "GET", "/tail-begins", nil)
		select {
		case <-seen:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	return func() telemetry.Invocation {
		r.t.Helper()
		for {
			var i telemetry.Invocation
			_, text, err := conn.Read(ctx)
			if err == nil {
				err = json.Unmarshal(text, &i)
			}
			if err != nil {
				r.t.Fatal("tail: ", err)
			}
			if !strings.Contains(string(i.Event), "/tail-begins") {
				return i
			}
		}
	}
}
