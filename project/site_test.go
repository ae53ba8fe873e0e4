package project

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

const siteHead = `
-- wrangler.toml --
name = "w"
compatibility_date = "2026-01-01"
`

const siteFiles = `
-- public/index.html --
<h1>site</h1>
-- public/img/a.b.svg --
<svg/>
-- public/LICENSE --
free
-- public/.well-known/security.txt --
-- public/.hidden --
-- public/img/.hidden/x --
-- public/node_modules/x.js --
`

// siteVersion builds the project of an archive.
func siteVersion(t *testing.T, archive string) (*config.Version, map[string]string) {
	t.Helper()
	p := open(t, archive+siteFiles)
	if _, err := p.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	modules, err := p.Version.Code.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, m := range modules {
		byName[m.Name] = string(m.Type) + " " + string(m.Data)
	}
	return p.Version, byName
}

func TestSite(t *testing.T) {
	v, modules := siteVersion(t, siteHead+`
main = "index.js"
no_bundle = true
rules = [{ type = "ESModule", globs = ["**/*.js"] }]
site.bucket = "public"
-- index.js --
export default {}
-- a/b/c.js --
`)
	// The keys are those that wrangler 4.86.0 uploads.
	const want = `{".well-known/security.txt":".well-known/security.ef46db3751.txt",` +
		`"LICENSE":"LICENSE.c33ee44f3c","img/a.b.svg":"img/a.b.2814637e8e.svg","index.html":"index.6fbb69bd9b.html"}`
	if got := modules["__STATIC_CONTENT_MANIFEST"]; got != "text/plain "+want {
		t.Errorf("the manifest is %s", got)
	}
	if got := modules["a/b/__STATIC_CONTENT_MANIFEST"]; got != `application/javascript+module export { default } from "../../__STATIC_CONTENT_MANIFEST";` {
		t.Errorf("in a folder it is %s", got)
	}
	if v.Site.Binding != "__STATIC_CONTENT" || len(v.Site.Files) != 4 || !strings.HasSuffix(v.Site.Files["LICENSE.c33ee44f3c"], "public/LICENSE") {
		t.Errorf("the files are %v", v.Site)
	}
	if b := v.Bindings[0]; string(b.Raw) != `{"name":"__STATIC_CONTENT","namespace_id":"__w-workers_sites_assets","type":"kv_namespace"}` {
		t.Errorf("the binding is %s", b.Raw)
	}
}

func TestSitePatterns(t *testing.T) {
	for _, tt := range []struct{ patterns, want string }{
		{`include = ["*.html"]`, "index.html"},
		{`exclude = ["img", "/LICENSE"]`, ".well-known/security.txt index.html"},
		{`include = ["*.html", "*.svg"]` + "\n" + `exclude = ["index.*"]`, "img/a.b.svg"},
	} {
		_, files, err := readSite(open(t, siteHead+"main = \"index.js\"\n[site]\nbucket = \"public\"\n"+tt.patterns+"\n-- index.js --\n"+siteFiles).Manifest.Site)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, file := range files {
			_, name, _ := strings.Cut(file, "/public/")
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s: the site has %s, want %s", tt.patterns, got, tt.want)
		}
	}
}

// A project of the first wrangler: no main, a service-worker script.
func TestSiteOfServiceWorker(t *testing.T) {
	v, modules := siteVersion(t, siteHead+`
site = { bucket = "public", entry-point = "workers-site" }
-- workers-site/index.js --
addEventListener("fetch", (event) => event.respondWith(new Response(__STATIC_CONTENT_MANIFEST)));
`)
	if !v.ServiceWorker || len(v.Bindings) != 2 || string(v.Bindings[1].Raw) != `{"name":"__STATIC_CONTENT_MANIFEST","part":"__STATIC_CONTENT_MANIFEST","type":"text_blob"}` {
		t.Errorf("the bindings are %v", v.Bindings)
	}
	if got := slices.Sorted(maps.Keys(modules)); !slices.Equal(got, []string{"__STATIC_CONTENT_MANIFEST", "index.js"}) {
		t.Errorf("the modules are %v", got)
	}
}
