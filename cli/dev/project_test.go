package dev

import "testing"

// A file of a Workers Site that is saved is served at once.
func TestSite(t *testing.T) {
	r := start(t, `
-- wrangler.toml --
name = "site"
main = "index.js"
compatibility_date = "2026-04-01"
site.bucket = "public"
-- index.js --
import manifest from "__STATIC_CONTENT_MANIFEST";
export default {
  async fetch(request, env) {
    const key = JSON.parse(manifest)[new URL(request.url).pathname.slice(1)];
    return new Response(key && await env.__STATIC_CONTENT.get(key), { status: key ? 200 : 404 });
  },
};
-- public/index.html --
<h1>site</h1>
`, nil)
	r.expect("/index.html", 200, "<h1>site</h1>")
	r.expect("/later/a.html", 404, "")
	r.write("public/index.html", "<h1>changed</h1>")
	r.until("changed", func() bool { _, text := r.get("/index.html"); return text == "<h1>changed</h1>" })
	r.write("public/later/a.html", "new")
	r.until("new", func() bool { _, text := r.get("/later/a.html"); return text == "new" })
}
