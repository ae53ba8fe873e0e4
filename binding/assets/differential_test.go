package assets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// differences are the headers that are left out of the comparison, and why.
var differences = map[string]string{
	"Date":              "net/http says when, workerd does not",
	"Etag":              "ours is a hash of the content; workerd's holds the time and size of the file",
	"Cf-Cache-Status":   "Cloudflare sends it, workerd does not",
	"Content-Length":    "net/http leaves out a zero where workerd writes it",
	"Transfer-Encoding": "framing",
}

// site is the directory that both serve.
var site = map[string]string{
	"index.html":        "root",
	"404.html":          "not found",
	"about.html":        "about",
	"dir/index.html":    "dir",
	"dir/404.html":      "not found in dir",
	"both.html":         "both as file",
	"both/index.html":   "both as dir",
	"bare":              "no extension",
	"bare2":             "no extension",
	"bare2.html":        "beside bare2",
	"deep/er/page.html": "deep",
	"app.js":            "script",
	"style.css":         "style",
	"data.json":         "{}",
	"[id].html":         "brackets",
	"sp ace.txt":        "space",
	"ünï.html":          "unicode",
	"100%.txt":          "percent",
	"%41.txt":           "looks encoded",
	"plus+at@.txt":      "reserved",
	"index/index.html":  "index in index",
	"x/index":           "binary index",
	".well-known/thing": "hidden",
	"docs/a.html":       "docs a",
	"secret.txt":        "ignored",
	"a/b/c/404.html":    "deep 404",
	"page.HTML":         "upper case",
}

var paths = []string{
	"/", "/index", "/index.html", "/index/", "//", "/about", "/about/", "/about.html", "/about/index", "/about/index.html",
	"/dir", "/dir/", "/dir/index", "/dir/index.html", "/dir.html", "/dir/nothing", "/dir//", "//dir", "/./dir", "/x/../about", "/%2e%2e/about",
	"/both", "/both/", "/both.html", "/both/index", "/both/index.html", "/bare", "/bare/", "/bare.html", "/bare2", "/bare2.html", "/bare2/",
	"/deep/er/page", "/deep/er/page.html", "/deep/er", "/deep/er/", "/app.js", "/app.js/", "/app.js?x=1", "/about.html?x=1&y", "/about?",
	"/[id]", "/%5Bid%5D", "/[id].html", "/%5bid%5d", "/sp%20ace.txt", "/%C3%BCn%C3%AF", "/%c3%bcn%c3%af", "/100%25.txt", "/%41.txt", "/%2541.txt",
	"/plus+at@.txt", "/plus%2Bat%40.txt", "/index/index", "/index/index.html", "/x/index", "/x/", "/x", "/.well-known/thing", "/docs%2Fa", "/docs/a",
	"/secret.txt", "/_headers", "/_redirects", "/.assetsignore", "/a/b/c/d", "/a/b/c/", "/a/b", "/nothing", "/nothing.html", "/nothing/", "/page", "/page.HTML",
	"/%FF", "/%2F%2Fexample.com", "/%5C%5Cexample.com", "/about%2F", "/a;b=c", "/~tilde", "/404", "/404.html", "/dir/404", "/%00", "/about%00",
	"/base", "/base/", "/base/about", "/base/about.html", "/base/dir", "/base/index", "/base/nothing", "/base-other", "/base%2Fabout", "/base/red", "/base/rewritten",
	"/old", "/old?keep=1", "/query", "/query?mine=2", "/ext", "/ext?q=1", "/blog/2026/post", "/blog/2026/post?p=1", "/splat/a/b/c", "/splat//evil.com", "/splat/", "/splat",
	"/rewrite", "/rewrite/deep", "/rewrite-dir", "/perm", "/see", "/temp", "/keep", "/fragment", "/fragment?x", "/users/7", "/users/7/posts", "/loop", "/late",
	"/proxy-missing", "/h/plain", "/h/one/two", "/h/detach.css",
}

const redirectsFile = `
# comment
/old /about
/query /about?theirs=1
/ext https://example.org/path
/perm /about 301
/see /about 303
/temp /about 307
/keep /about 308 # inline comment
/fragment /about#part
/rewrite /app.js 200
/rewrite-dir /dir/ 200
/proxy-missing /nix 200
/base/red /base/about
/base/rewritten /base/about 200
/blog/:year/:slug https://blog.example.org/:slug?y=:year
/splat/* /moved/:splat
/rewrite/* /app.js 200
/users/:id/* /u-:id-:splat 302
/late /about
/bad
/bad2 /x 418
/* /index.html 200
`

const headersFile = `
/*
  X-All: yes
  Cache-Control: no-store
/dir/*
  X-All: dir
  X-Splat: got :splat
  ! Cache-Control
/h/:name
  X-Name: :name
/style.css
  ! ETag
  X-Two: a
  X-Two: b
https://example.com/about
  X-Host: example
https://:sub.example.com/*
  X-Sub: :sub
/nothing
  X-Missing: 1
`

// TestLikeWorkerd asks the same of workerd's own assets service and of ours.
// Paths with malformed percent-encoding are not asked: net/http refuses them
// with 400 before they come to us, workerd takes the percent sign as itself.
func TestLikeWorkerd(t *testing.T) {
	dir := writeSite(t, site)
	const ignore = "secret.*\n"
	if err := os.WriteFile(filepath.Join(dir, ".assetsignore"), []byte(ignore), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, html := range []string{"auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"} {
		for _, notFound := range []string{"none", "404-page", "single-page-application"} {
			compare(t, dir, ignore, config.Assets{HTMLHandling: html, NotFoundHandling: notFound})
		}
		compare(t, dir, ignore, config.Assets{HTMLHandling: html, NotFoundHandling: "404-page", BasePath: "/base/"})
		compare(t, dir, ignore, config.Assets{HTMLHandling: html, NotFoundHandling: "404-page", Redirects: redirectsFile, Headers: headersFile})
	}
	compare(t, dir, ignore, config.Assets{BasePath: "/base/", Redirects: redirectsFile, Headers: headersFile})
}

// writeSite makes a directory of files.
func writeSite(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string) *assets.DirFiles {
	t.Helper()
	files, err := assets.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	return files
}

func compare(t *testing.T, dir, ignore string, a config.Assets) {
	name := fmt.Sprintf("%s,%s,%s,rules=%t", a.HTMLHandling, a.NotFoundHandling, a.BasePath, a.Headers != "")
	t.Run(name, func(t *testing.T) {
		settings := map[string]any{"headers": a.Headers, "redirects": a.Redirects, "ignore": ignore}
		for k, v := range map[string]string{"html_handling": a.HTMLHandling, "not_found_handling": a.NotFoundHandling, "base_path": a.BasePath} {
			if v != "" {
				settings[k] = v
			}
		}
		text, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		theirs := celltest.Start(t, t.TempDir(), fmt.Sprintf(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "site", assets = (path = %q, config = %q, compatibilityDate = %q))],
  sockets = [(name = "http", http = (), service = "site")]);`, dir, text, celltest.CompatibilityDate))

		a.Files = open(t, dir)
		h, err := assets.New(&config.Version{Assets: &a, CompatibilityDate: celltest.CompatibilityDate})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h.Binding())
		defer server.Close()
		client := server.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		client.Transport = &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}}
		for _, host := range []string{"example.com", "www.example.com"} {
			if host != "example.com" && a.Headers == "" {
				continue
			}
			for _, method := range []string{"GET", "HEAD", "POST"} {
				for _, p := range paths {
					// workerd attaches _headers to what is outside the base path
					// too; Cloudflare's own tests say that it must not be.
					if a.BasePath != "" && a.Headers != "" && !strings.HasPrefix(p, "/base") || p == "/base-other" {
						continue
					}
					req := func() *http.Request {
						r := httptest.NewRequest(method, "/", nil)
						r.RequestURI = ""
						r.URL.Scheme, r.URL.Host, r.Host = "http", host, host
						target, query, _ := strings.Cut(p, "?")
						// Opaque keeps the path as it is written.
						r.URL.Opaque, r.URL.RawQuery = "//"+host+target, query
						return r
					}
					res, err := client.Do(req())
					if err != nil {
						t.Fatal(err)
					}
					ours, want := dump(t, res), dump(t, theirs.Do(req()))
					if ours != want {
						t.Errorf("%s %s%s\n ours:   %s\n theirs: %s", method, host, p, ours, want)
					}
				}
			}
		}
	})
}

// dump writes a response so that it can be compared.
func dump(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range res.Header {
		if differences[name] != "" || len(values) == 0 {
			delete(res.Header, name)
		}
	}
	header, err := json.Marshal(res.Header)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s %s", res.StatusCode, header, body)
}
