package assets_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

func TestDirFiles(t *testing.T) {
	dir := writeSite(t, map[string]string{
		"a.txt": "one", "sub/b.txt": "two", "_headers": "/*\n X: y\n", "_redirects": "/x /y\n", ".assetsignore": "*.map\n_worker.js\n", "a.map": "", "_worker.js": "",
	})
	outside := writeSite(t, map[string]string{"secret.txt": "secret"})
	for link, target := range map[string]string{"inside.txt": "a.txt", "outside.txt": filepath.Join(outside, "secret.txt"), "up": "..", "out": outside} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	if d.Headers != "/*\n X: y\n" || d.Redirects != "/x /y\n" || len(d.Warnings) != 0 {
		t.Errorf("headers %q, redirects %q, warnings %q", d.Headers, d.Redirects, d.Warnings)
	}
	for p, want := range map[string]bool{
		"/a.txt": true, "/sub/b.txt": true, "/inside.txt": true,
		"/": false, "": false, "a.txt": false, "/sub": false, "/sub/": false, "//a.txt": false, "/./a.txt": false, "/sub/../a.txt": false, "/../a.txt": false,
		"/_headers": false, "/_redirects": false, "/.assetsignore": false, "/_worker.js": false, "/a.map": false,
		"/outside.txt": false, "/out/secret.txt": false, "/up/" + filepath.Base(outside): false, "/a.txt\x00": false, "/sub\\b.txt": false,
	} {
		if _, ok := d.Lookup(p); ok != want {
			t.Errorf("Lookup(%q) is %v", p, ok)
		}
	}

	before, _ := d.Lookup("/a.txt")
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	after, _ := d.Lookup("/a.txt")
	if before.ETag == after.ETag || after.Size != 7 || after.ContentType != "text/plain; charset=utf-8" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	file, err := d.Open(after)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if text, _ := io.ReadAll(file); string(text) != "changed" {
		t.Errorf("read %q", text)
	}
}

func TestDirIsRefused(t *testing.T) {
	if _, err := assets.OpenDir(filepath.Join(t.TempDir(), "dist")); err == nil || !strings.Contains(err.Error(), "build the site first") {
		t.Errorf("missing directory: %v", err)
	}
	if _, err := assets.OpenDir(writeSite(t, map[string]string{"_worker.js": ""})); err == nil || !strings.Contains(err.Error(), ".assetsignore") {
		t.Errorf("_worker.js: %v", err)
	}
	if _, err := assets.OpenDir(writeSite(t, map[string]string{"_worker.js/index.js": ""})); err == nil || !strings.Contains(err.Error(), "_worker.js/index.js") {
		t.Errorf("a folder _worker.js: %v", err)
	}
	// Whoever writes an .assetsignore has thought of it.
	d := open(t, writeSite(t, map[string]string{"_worker.js": "", ".assetsignore": "other.txt\n"}))
	if _, served := d.Lookup("/_worker.js"); !served {
		t.Error("_worker.js beside an .assetsignore that does not name it is not served")
	}
}

func TestLargeFileWarns(t *testing.T) {
	dir := writeSite(t, map[string]string{"big.bin": ""})
	if err := os.Truncate(filepath.Join(dir, "big.bin"), assets.MaxFileBytes+1<<19); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir); len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "big.bin is 25.5 MiB") {
		t.Errorf("warnings %q", d.Warnings)
	}
}

func TestConditionalRequests(t *testing.T) {
	files := open(t, writeSite(t, map[string]string{"a.txt": "text", "404.html": "missing"}))
	h, err := assets.New(&config.Version{Assets: &config.Assets{Files: files, NotFoundHandling: "404-page"}})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := files.Lookup("/a.txt")
	const cached = "public, max-age=0, must-revalidate"
	for _, c := range []struct {
		header, value string
		status        int
		cache, body   string
	}{
		{"X", "", 200, cached, "text"},
		{"If-None-Match", `"` + f.ETag + `"`, 304, cached, ""},
		{"If-None-Match", `W/"` + f.ETag + `"`, 304, cached, ""},
		{"If-None-Match", `"x", "` + f.ETag + `"`, 304, cached, ""},
		{"If-None-Match", `*`, 304, cached, ""},
		{"If-None-Match", f.ETag, 200, cached, "text"},
		{"If-None-Match", `"x"`, 200, cached, "text"},
		{"Authorization", "Bearer x", 200, "", "text"},
		{"Range", "bytes=0-0", 200, "", "text"},
	} {
		r := httptest.NewRequest("GET", "/a.txt", nil)
		r.Header.Set(c.header, c.value)
		w := httptest.NewRecorder()
		h.Serve(w, r, nil)
		if w.Code != c.status || w.Header().Get("Cache-Control") != c.cache || w.Body.String() != c.body || w.Header().Get("Etag") != `"`+f.ETag+`"` {
			t.Errorf("%s: %s: %d %v %q", c.header, c.value, w.Code, w.Header(), w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.Serve(w, httptest.NewRequest("HEAD", "/a.txt", nil), nil)
	if w.Code != 200 || w.Header().Get("Content-Length") != "4" || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %v %q", w.Code, w.Header(), w.Body)
	}
}

// TestBindingInWorkerd: env.ASSETS.fetch() gives files, by any host name.
func TestBindingInWorkerd(t *testing.T) {
	version := &config.Version{Worker: "site", CompatibilityDate: celltest.CompatibilityDate, Assets: &config.Assets{
		RunWorkerFirst: true,
		Files:          open(t, writeSite(t, map[string]string{"index.html": "hello", "bin": "x"})),
	}}
	b := config.Binding{Name: "ASSETS", Type: "assets", Raw: []byte(`{}`)}
	const worker = `export default {
  async fetch(request, env) {
    const out = [];
    for (const path of ["/", "/index.html", "/bin", "/nothing"]) {
      const r = await env.ASSETS.fetch("https://assets.invalid" + path, { redirect: "manual" });
      out.push([r.status, r.headers.get("content-type"), r.headers.get("location"), await r.text()]);
    }
    return Response.json(out);
  },
};`
	got := celltest.Run(t, worker, map[string]func(string) binding.Mount{"ASSETS": func(service string) binding.Mount {
		m, err := assets.Kind{}.Mount(b, binding.Site{Version: version, Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}}).Get("/")
	want := `[[200,"text/html; charset=utf-8",null,"hello"],[307,null,"/",""],[200,null,null,"x"],[404,null,null,""]]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := (assets.Kind{}).Mount(b, binding.Site{Version: &config.Version{Worker: "bare"}}); err == nil || !strings.Contains(err.Error(), "assets.directory") {
		t.Errorf("without assets: %v", err)
	}
}

func BenchmarkServe(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte(strings.Repeat("x", 4096)), 0o644); err != nil {
		b.Fatal(err)
	}
	files, err := assets.OpenDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer files.Close()
	h, err := assets.New(&config.Version{Assets: &config.Assets{Files: files}})
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []string{"/app.js", "/api/users"} {
		b.Run(strings.Trim(p, "/"), func(b *testing.B) {
			r := httptest.NewRequest("GET", p, nil)
			worker := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			b.ReportAllocs()
			for b.Loop() {
				h.Serve(httptest.NewRecorder(), r, worker)
			}
		})
	}
}
