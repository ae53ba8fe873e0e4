package dev

import (
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The buckets of a project can be reached by S3 clients with the key that is
// printed, which stays the same.
func TestS3(t *testing.T) {
	const project = `
-- wrangler.jsonc --
{"name": "app", "main": "index.js", "compatibility_date": "2026-01-01",
	"r2_buckets": [{"binding": "FILES", "bucket_name": "files"}]}
-- index.js --
export default {
	async fetch(request, env) { await env.FILES.put("from worker", "hello"); return new Response("ok"); }
}
`
	data, was := t.TempDir(), ""
	for range 2 {
		r := start(t, project, func(o *Options) { o.S3, o.Data = "127.0.0.1:0", data })
		after := func(marker string) string {
			var word string
			r.until(marker, func() bool {
				_, rest, ok := strings.Cut(r.screen.String(), marker)
				word, _, _ = strings.Cut(rest, "\n")
				return ok && strings.Contains(rest, "\n")
			})
			return strings.TrimSpace(word)
		}
		id, secret := after("access key ID"), after("secret access key")
		if was != "" && was != id+secret {
			t.Error("there is another key after a restart")
		}
		was = id + secret
		c, err := minio.New(after("S3 API on http://"), &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), MaxRetries: 1})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.client.Get(r.url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		object, err := c.GetObject(t.Context(), "files", "from worker", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(object); err != nil || string(text) != "hello" {
			t.Errorf("read %q, %v", text, err)
		}
		r.until("GET /files/from worker 200", func() bool { return strings.Contains(r.screen.String(), "GET /files/from worker 200") })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}
