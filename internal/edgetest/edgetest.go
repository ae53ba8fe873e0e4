// Package edgetest runs stages of the edge on a real socket, in front of a
// Worker that tells what it was asked for.
package edgetest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/ruleset"
)

// Asked is what the Worker got.
type Asked struct {
	URI    string
	Header http.Header
	Body   string
}

// Server is a running edge.
type Server struct {
	t      testing.TB
	addr   string
	client *http.Client
	edge   *edge.Edge
}

// Start serves stages.
func Start(t testing.TB, stages ...edge.Stage) *Server {
	t.Helper()
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "echo", Workers: map[string]*config.Worker{"echo": {Name: "echo"}}})
	e := edge.New(edge.Options{Source: v, Stages: stages, Hosts: []string{"inside.example"}, Logger: slog.New(slog.DiscardHandler), Target: echo})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(context.Background(), l, nil) }()
	s := &Server{t: t, addr: l.Addr().String(), edge: e, client: &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func echo(w http.ResponseWriter, r *http.Request, _, _ string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Worker", "echo")
	if r.URL.Path == "/404" {
		w.WriteHeader(http.StatusNotFound)
	}
	return json.NewEncoder(w).Encode(Asked{target.URI(r.URL), r.Header, string(body)})
}

// Do sends a request to a URL of any host. header has lines such as
// "Accept: text/html".
func (s *Server) Do(method, url, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	rest, _ := strings.CutPrefix(url, "http://")
	host, path, _ := strings.Cut(rest, "/")
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, "http://"+s.addr, content)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = "/" + path
	r.Host = host
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, string(text)
}

// Asked sends a GET and returns what the Worker got of it.
func (s *Server) Asked(url string, header ...string) Asked {
	s.t.Helper()
	_, text := s.Do("GET", url, "", header...)
	var a Asked
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		s.t.Fatalf("%s: %s", url, text)
	}
	return a
}

// Inside sends a GET as a Worker of this server does by fetch().
func (s *Server) Inside(path string) (status int, body string) {
	s.t.Helper()
	r := httptest.NewRequest("GET", "http://inside.example"+path, nil)
	r.Header.Set("Cf-Worker", "example.net")
	w := httptest.NewRecorder()
	s.edge.Local("inside.example").ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Compile checks rules.
func Compile(t testing.TB, r ruleset.Rules) *ruleset.Set {
	t.Helper()
	s, problems := ruleset.Compile(r, nil)
	for _, p := range problems {
		t.Error(p)
	}
	if s == nil {
		t.FailNow()
	}
	return s
}
