package assets_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// TestRoutingLikeWorkerd compares who answers, the Worker or the assets.
func TestRoutingLikeWorkerd(t *testing.T) {
	dir := writeSite(t, map[string]string{"index.html": "index", "about.html": "about", "api/doc.txt": "doc", "404.html": "missing"})
	for _, c := range []struct {
		first    any
		notFound string
		date     string
		flags    []string
	}{
		{nil, "none", "2026-01-01", nil},
		{true, "none", "2026-01-01", nil},
		{false, "404-page", "2026-01-01", nil},
		{nil, "single-page-application", "2026-01-01", nil},
		{nil, "single-page-application", "2025-03-31", nil},
		{nil, "single-page-application", "2025-04-01", nil},
		{nil, "single-page-application", "2026-01-01", []string{"assets_navigation_has_no_effect"}},
		{nil, "404-page", "2025-01-01", []string{"assets_navigation_prefers_asset_serving"}},
		{[]string{"/api/*"}, "single-page-application", "2026-01-01", nil},
		{[]string{"/api/*", "!/api/doc*"}, "none", "2026-01-01", nil},
		{[]string{"/*", "!/about"}, "404-page", "2026-01-01", nil},
	} {
		t.Run(fmt.Sprintf("%v,%s,%s%v", c.first, c.notFound, c.date, c.flags), func(t *testing.T) {
			settings := map[string]any{"not_found_handling": c.notFound}
			a := config.Assets{NotFoundHandling: c.notFound}
			if c.first != nil {
				settings["run_worker_first"] = c.first
			}
			a.RunWorkerFirst, _ = c.first.(bool)
			a.RunWorkerFirstPaths, _ = c.first.([]string)
			text, err := json.Marshal(settings)
			if err != nil {
				t.Fatal(err)
			}
			// The flags that the service reads are those of the Worker.
			flags := ""
			for _, f := range c.flags {
				flags += fmt.Sprintf("%q,", f)
			}
			cell := celltest.Start(t, t.TempDir(), fmt.Sprintf(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "site", assets = (path = %q, config = %q, userWorker = "user")),
    (name = "user", worker = (compatibilityDate = %q, compatibilityFlags = [%s], modules = [(name = "w", esModule =
      "export default { fetch: () => new Response('worker', {headers: {'content-type': 'text/plain'}}) }")])),
  ],
  sockets = [(name = "http", http = (), service = "site")]);`, dir, text, c.date, flags))

			a.Files = open(t, dir)
			h, err := assets.New(&config.Version{Assets: &a, CompatibilityDate: c.date, CompatibilityFlags: c.flags})
			if err != nil {
				t.Fatal(err)
			}
			worker := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Write([]byte("worker"))
			})
			for _, method := range []string{"GET", "POST"} {
				for _, mode := range []string{"", "navigate", "cors"} {
					for _, p := range []string{"/", "/about", "/about.html", "/api/doc.txt", "/api/users", "/nothing", "/nothing/deep"} {
						request := func() *http.Request {
							r := httptest.NewRequest(method, "http://example.com"+p, nil)
							r.RequestURI = ""
							if mode != "" {
								r.Header.Set("Sec-Fetch-Mode", mode)
							}
							return r
						}
						rec := httptest.NewRecorder()
						h.Serve(rec, request(), worker)
						ours, want := dump(t, rec.Result()), dump(t, cell.Do(request()))
						if ours != want {
							t.Errorf("%s %s %s\n ours:   %s\n theirs: %s", method, p, mode, ours, want)
						}
					}
				}
			}
		})
	}
}
