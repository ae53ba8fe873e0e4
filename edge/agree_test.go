package edge

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop/target"
)

// oneFile is a site whose only file is a secret.
type oneFile struct{}

const secret = "/admin/secret.txt"

func (oneFile) Lookup(path string) (config.AssetFile, bool) {
	return config.AssetFile{Path: path, ETag: "1", Size: int64(len(secret)), ContentType: "text/plain"}, path == secret
}

func (oneFile) Open(config.AssetFile) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader([]byte(secret)), io.NopCloser(nil)}, nil
}

// FuzzReadersAgree sends any target through an edge with a route for /admin*
// and static files on every route: who gets the secret has met that route, and
// no redirect leads to another host.
func FuzzReadersAgree(f *testing.F) {
	for _, s := range []string{
		"/", "/admin/secret.txt", "//admin/secret.txt", `/\admin/secret.txt`, "/x/../admin/secret.txt", "/%61dmin/secret.txt", "/%2561dmin/secret.txt",
		"/%%36%31dmin/secret.txt", "/x/%%32e%%32e/admin/secret.txt", "/%2fadmin/secret.txt", "/admin%2fsecret.txt", "/%5cadmin/secret.txt", "/x#/../admin",
		"/;/admin/secret.txt", "//evil.example/%2e%2e", "/%2f%2fevil.example", "/.//evil.example", "/admin/secret.txt/", "/admin/./secret%2etxt?//", "http://a.example//admin/secret.txt",
	} {
		for kind := range kinds {
			f.Add(s, kind)
		}
	}
	site, err := assets.New(&config.Version{Assets: &config.Assets{Files: oneFile{}}})
	if err != nil {
		f.Fatal(err)
	}
	v := new(config.Value)
	v.Set(&config.Snapshot{
		Workers: map[string]*config.Worker{"site": {Name: "site"}, "admin": {Name: "admin"}},
		Zones:   map[string]config.Zone{"1.example": {Normalization: kinds[1]}, "2.example": {Normalization: kinds[2]}},
		Routes: []config.Route{
			{Pattern: "*example/*", Worker: "site", Zone: "example"},
			{Pattern: "*example/admin*", Worker: "admin", Zone: "example"},
		},
	})
	var worker, path string
	e := New(Options{Source: v, Logger: quiet, Target: func(w http.ResponseWriter, r *http.Request, name, _ string) error {
		worker, path = name, target.Path(r.URL)
		site.Serve(w, r, nil)
		return nil
	}})
	f.Fuzz(func(t *testing.T, raw string, kind int) {
		if kind < 0 || kind >= len(kinds) || raw == "" {
			return
		}
		host := string(rune('0'+kind)) + ".example"
		r := &http.Request{Method: "GET", Host: host, RequestURI: raw, URL: target.Parse(raw), Header: http.Header{}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1", ProtoMajor: 1}
		worker = ""
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if worker == "" {
			return // refused
		}
		if strings.Contains(w.Body.String(), secret) && worker != "admin" {
			t.Fatalf("%q: Worker %q, path %q, and the secret", raw, worker, path)
		}
		if (worker == "admin") != strings.HasPrefix(path, "/admin") {
			t.Fatalf("%q: Worker %q, path %q", raw, worker, path)
		}
		if standard := normalPath(nothing, path); path != "*" && standard != path {
			t.Fatalf("%q: path %q, which new URL() would read as %q", raw, path, standard)
		}
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Fatalf("%q: a redirect to %q", raw, to)
		}
	})
}

var kinds = []config.Normalization{cloudflare, rfc3986, nothing}
