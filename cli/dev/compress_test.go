package dev

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Responses leave compressed, those that a Worker has encoded itself are not
// encoded twice, and an asset has one ETag that both of its forms go by.
func TestCompression(t *testing.T) {
	style := strings.Repeat("p { color: red; }\n", 100)
	r := start(t, `
-- wrangler.jsonc --
{ "name": "c", "main": "index.js", "compatibility_date": "2026-04-01", "assets": { "directory": "public" } }
-- public/style.css --
`+style+`
-- index.js --
const text = "All the world's a stage. ".repeat(400);
const gzip = (s) => new Response(new Blob([s]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
export default {
  async fetch(request) {
    const headers = { "content-type": "text/plain" };
    switch (new URL(request.url).pathname) {
      case "/plain": return new Response(text, { headers });
      case "/stream": return new Response(new Blob([text]).stream(), { headers });
      case "/automatic": return new Response(text, { headers: { ...headers, "content-encoding": "gzip" } });
      case "/manual": return new Response(await gzip(text), { encodeBody: "manual", headers: { ...headers, "content-encoding": "gzip" } });
      case "/accept": return new Response(request.headers.get("accept-encoding") + ", " + request.cf.clientAcceptEncoding);
    }
  },
};
`, nil)
	text := strings.Repeat("All the world's a stage. ", 400)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	get := func(path, accept, etag string) *http.Response {
		t.Helper()
		req, err := http.NewRequest("GET", r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Accept-Encoding": accept, "If-None-Match": etag} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	// Where wrangler dev knows the coding, it answers the same.
	for _, c := range []struct{ path, accept, coding string }{
		{"/plain", "gzip", "gzip"}, {"/plain", "br", "br"}, {"/plain", "gzip, deflate, br, zstd", "zstd"}, {"/plain", "deflate", ""}, {"/plain", "", ""},
		{"/stream", "gzip", "gzip"}, {"/stream", "", ""},
		{"/automatic", "gzip", "gzip"}, {"/automatic", "br", "br"}, {"/automatic", "deflate", ""}, {"/automatic", "", ""},
		{"/manual", "gzip", "gzip"}, {"/manual", "br", "br"}, {"/manual", "deflate", ""}, {"/manual", "", ""},
		{"/style.css", "br", "br"}, {"/style.css", "", ""},
	} {
		res := get(c.path, c.accept, "")
		if got := res.Header.Get("Content-Encoding"); got != c.coding || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s for %q: %q, %v", c.path, c.accept, got, res.Header["Vary"])
		}
		body, err := io.ReadAll(res.Body)
		want := text
		if c.path == "/style.css" {
			want = style + "\n"
		}
		if c.coding == "" && string(body) != want || c.coding != "" && len(body) > len(want)/4 || err != nil {
			t.Errorf("%s for %q: %d bytes, %v", c.path, c.accept, len(body), err)
		}
	}
	// Go's own client asks for gzip and undoes it.
	for _, path := range []string{"/plain", "/automatic", "/manual"} {
		if _, body := r.get(path); body != text {
			t.Errorf("%s: %d bytes", path, len(body))
		}
	}
	body, _ := io.ReadAll(get("/accept", "zstd", "").Body)
	if string(body) != "br, gzip, zstd" {
		t.Errorf("the Worker sees %q", body)
	}
	strong, weak := get("/style.css", "", "").Header.Get("Etag"), get("/style.css", "br", "").Header.Get("Etag")
	if weak != "W/"+strong {
		t.Errorf("ETag: %s as it is, %s compressed", strong, weak)
	}
	for _, tag := range []string{strong, weak} {
		if res := get("/style.css", "br", tag); res.StatusCode != http.StatusNotModified || res.Header.Get("Etag") != tag {
			t.Errorf("If-None-Match: %s: %s with %s", tag, res.Status, res.Header.Get("Etag"))
		}
	}
}
