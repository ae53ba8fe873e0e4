package platform

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
)

// owners are the owners of hosts.
type owners map[string]*binding.HostOwner

func (o owners) Hosted(host string) *binding.HostOwner { return o[host] }

// Hosts that belong to a product are answered by it, ahead of the Workers, and
// only they are. Who takes requests as they are sees what the client sent.
func TestHosted(t *testing.T) {
	tell := func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/plain")
		_, err := fmt.Fprint(w, strings.Repeat(fmt.Sprintf("%s %s %q\n", r.Host, r.RequestURI, r.Header.Get("Accept-Encoding")), 20))
		return err
	}
	list := hosts{
		owners{"files.example.com": {Name: "files", Serve: tell}, "s3.example.com": {Name: "s3", Serve: tell, Raw: true}},
		owners{"files.example.com": {Name: "late"}},
	}
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "default", Workers: map[string]*config.Worker{"default": {Name: "default"}}})
	e := edge.New(edge.Options{Source: v, Stages: pipeline(Options{}, newPhases(nil, nil)), Hosted: list.handler, Logger: slog.New(slog.DiscardHandler),
		Target: func(w http.ResponseWriter, r *http.Request, worker, _ string) error {
			_, err := fmt.Fprint(w, "Worker ", worker)
			return err
		}})
	for _, c := range []struct{ host, want, coding string }{
		{"example.com", "Worker default", ""},
		{"Files.example.com:8443", `Files.example.com:8443 /a/b "br, gzip"`, "gzip"},
		{"files.example.com.", `files.example.com. /a/b "br, gzip"`, "gzip"},
		{"s3.example.com", `s3.example.com /a//b "gzip"`, ""},
	} {
		r := httptest.NewRequest("GET", "/a//b", nil)
		r.Host = c.host
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		var body io.Reader = w.Body
		if c.coding != "" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Errorf("%s: %v", c.host, err)
				continue
			}
		}
		got, err := io.ReadAll(body)
		if err != nil || !strings.HasPrefix(string(got), c.want) || w.Header().Get("Content-Encoding") != c.coding {
			t.Errorf("%s: %q, %q, %v; want %q, %q", c.host, got, w.Header().Get("Content-Encoding"), err, c.want, c.coding)
		}
	}
	for host, want := range map[string]bool{"files.example.com:8080": true, "s3.example.com": true, "example.com": false} {
		if got := e.Serves(host); got != want {
			t.Errorf("Serves(%s) is %v", host, got)
		}
		if got := e.Local(host) != nil; got != want {
			t.Errorf("a Worker's fetch() of %s stays here: %v", host, got)
		}
	}
	if list.name("files.example.com") != "files" || list.name("example.com") != "" {
		t.Error("the owners of hosts are named wrongly")
	}
}
