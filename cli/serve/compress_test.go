package serve

import (
	"net/http"
	"testing"

	"github.com/selvage-edge/selvage/cli/settings"
)

// A server compresses unless its configuration says otherwise, and then leaves
// the client's Accept-Encoding alone as well.
func TestCompression(t *testing.T) {
	const source = `export default { fetch: (request) =>
		new Response("a text of more than fifty bytes, so that it is compressed ".repeat(9), { headers: { saw: request.headers.get("accept-encoding") } }) };`
	for _, on := range []bool{true, false} {
		s, err := (&settings.File{
			Data: t.TempDir(), HTTP: settings.HTTP{Listen: []string{"127.0.0.1:0"}}, Admin: settings.Admin{Listen: "127.0.0.1:0"},
			Edge: settings.Edge{Compression: &on},
		}).Settings()
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, s, Options{})
		r.deploy("texts", source, nil)
		req, err := http.NewRequest("GET", r.edge, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "texts.localhost"
		req.Header.Set("Accept-Encoding", "gzip, zstd")
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		coding, saw := "zstd", "br, gzip"
		if !on {
			coding, saw = "", "gzip, zstd"
		}
		if got := res.Header.Get("Content-Encoding"); got != coding || res.Header.Get("Saw") != saw {
			t.Errorf("compression = %t: Content-Encoding %q, the Worker saw %q", on, got, res.Header.Get("Saw"))
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}
