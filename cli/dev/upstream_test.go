package dev

import (
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/selvage-edge/selvage/config"
)

// A Worker's bucket that another server keeps: here our own S3 API. Both sides see
// the same objects, and the Worker R2's semantics and errors.
func TestUpstream(t *testing.T) {
	behind := start(t, `
-- wrangler.jsonc --
{"name": "behind", "main": "index.js", "compatibility_date": "2026-01-01",
	"r2_buckets": [{"binding": "FILES", "bucket_name": "kept"}]}
-- index.js --
export default { async fetch() { return new Response("ok"); } }
`, func(o *Options) { o.S3 = "127.0.0.1:0" })
	after := func(marker string) string {
		var word string
		behind.until(marker, func() bool {
			_, rest, ok := strings.Cut(behind.screen.String(), marker)
			word, _, _ = strings.Cut(rest, "\n")
			return ok && strings.Contains(rest, "\n")
		})
		return strings.TrimSpace(word)
	}
	res, err := behind.client.Get(behind.url) // which makes the bucket
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	host, id, secret := after("S3 API on http://"), after("access key ID"), after("secret access key")

	r := start(t, `
-- wrangler.jsonc --
{"name": "app", "main": "index.js", "compatibility_date": "2026-01-01",
	"r2_buckets": [{"binding": "FILES", "bucket_name": "files"}]}
-- index.js --
const tries = {
	async "/put"(b) {
		const sha256 = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("hello"));
		const o = await b.put("a ü", "hello", { httpMetadata: { contentType: "text/plain" }, customMetadata: { Name: "ü" }, sha256 });
		const head = await b.head("a ü"), got = await b.get("a ü", { range: { offset: 1, length: 3 } });
		return [o.etag === head.etag, o.uploaded.getTime() === head.uploaded.getTime(), o.version === head.version, head.httpMetadata.contentType,
			head.customMetadata.Name, head.checksums.toJSON().sha256?.slice(0, 8), await got.text()];
	},
	async "/condition"(b) {
		const o = await b.head("a ü");
		return [await b.put("a ü", "other", { onlyIf: { etagDoesNotMatch: o.etag } }), (await b.get("a ü", { onlyIf: { etagDoesNotMatch: o.etag } })).body ?? null];
	},
	async "/large"(b) {
		const { readable, writable } = new FixedLengthStream(3 << 20);
		const w = writable.getWriter();
		const done = b.put("large", readable);
		for (let i = 0; i < 3; i++) await w.write(new Uint8Array(1 << 20).fill(i));
		await w.close();
		return [(await done).size, (await b.get("large", { range: { suffix: 2 } })).range];
	},
	async "/upload"(b) {
		const u = await b.createMultipartUpload("parts");
		const parts = [await u.uploadPart(1, new Uint8Array(5 << 20)), await u.uploadPart(2, "end")];
		return [(await u.complete(parts)).size, (await b.list({ include: ["customMetadata"] })).objects.map((o) => [o.key, o.customMetadata.Name ?? null])];
	},
	async "/errors"(b) {
		const say = (f) => f.then(() => "no error", (e) => e.message);
		return [await b.get("none"), await say(b.put("a ü", "x", { md5: "00000000000000000000000000000000" })), await say(b.put("a ü", "x", { ssecKey: "00".repeat(32) })),
			await say(b.resumeMultipartUpload("parts", "none").uploadPart(1, "x"))].map((s) => s && String(s).replace(/\n[^]*(?= \(\d+\)$)/, ""));
	},
	async "/delete"(b) { await b.delete(["large", "parts"]); return (await b.list()).objects.length; },
};
export default {
	async fetch(request, env) { return Response.json(await tries[new URL(request.url).pathname](env.FILES)); }
}
`, func(o *Options) {
		o.Upstreams = []config.Upstream{{Name: "files", Resource: "kept", Endpoint: &url.URL{Scheme: "http", Host: host}, Region: "us-east-1", PathStyle: true, KeyID: id, Secret: secret, Timeout: time.Minute}}
	})
	for _, c := range []struct{ path, want string }{
		{"/put", `[true,true,true,"text/plain","ü","2cf24dba","ell"]`},
		{"/condition", `[null,null]`},
		{"/large", `[3145728,{"offset":3145726,"length":2}]`},
		{"/upload", `[5242883,[["a ü","ü"],["large",null],["parts",null]]]`},
		{"/errors", `[null,"put: The MD5 checksum you specified did not match what we received. (10037)","put: The bucket is kept on another S3 server, which is not given the keys of customers (SSE-C). (10029)","uploadPart: The specified multipart upload does not exist. (10024)"]`},
		{"/delete", `1`},
	} {
		res, err := r.client.Get(r.url + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.path, body, err, c.want)
		}
	}
	there, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := there.StatObject(t.Context(), "kept", "a ü", minio.StatObjectOptions{}); err != nil || info.Size != 5 || info.ContentType != "text/plain" {
		t.Errorf("there it is %+v, %v", info, err)
	}
	if err := behind.stop(); err != nil {
		t.Fatal(err)
	}
	res, err = r.client.Get(r.url + "/delete")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	r.until("the Worker sees R2's code", func() bool { return strings.Contains(r.screen.String(), "(10043)") })
}
