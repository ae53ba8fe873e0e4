package r2

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
	"github.com/selvage-edge/selvage/storage/budget"
)

// What wrangler's local R2 does not have; the rest is in conformance/projects, where
// both answer the same.
const source = `const key = "0123456789abcdef".repeat(4), other = "f".repeat(64);
const tried = async (f) => { try { return await f(); } catch (e) { return e.message; } };
const calls = {
  class: async (b) => { await b.put("c", "x", { storageClass: "InfrequentAccess" }); return [(await b.head("c")).storageClass, (await b.put("d", "x")).storageClass, await tried(() => b.put("c", "x", { storageClass: "Glacier" }))]; },
  ssec: async (b) => {
    const o = await b.put("s", "secret", { ssecKey: key });
    return [o.ssecKeyMd5, (await b.head("s")).ssecKeyMd5, await (await b.get("s", { ssecKey: key })).text(), await (await b.get("s", { ssecKey: new Uint8Array(32).map((_, i) => parseInt(key.slice(2 * i, 2 * i + 2), 16)).buffer, range: { suffix: 3 } })).text(),
      await tried(() => b.get("s")), await tried(() => b.get("s", { ssecKey: other })), await tried(() => b.get("c", { ssecKey: key }))];
  },
  parts: async (b) => {
    const u = await b.createMultipartUpload("p", { ssecKey: key, storageClass: "InfrequentAccess" });
    const p = await u.uploadPart(1, "part", { ssecKey: key });
    const o = await u.complete([p]);
    return [p.etag, o.storageClass, await (await b.get("p", { ssecKey: key })).text(), await tried(() => u.uploadPart(1, "x"))];
  },
  list: async (b) => {
    const all = [];
    let cursor;
    do { const l = await b.list({ prefix: "long/", cursor }); all.push(l.objects.length); cursor = l.truncated && l.cursor; } while (cursor);
    return [all.length > 1, all.reduce((a, b) => a + b)];
  },
  gone: (b) => tried(() => b.put("x", "x")),
};
export default { async fetch(request, env) { return new Response(JSON.stringify(await tried(() => calls[new URL(request.url).pathname.slice(1)](env.B)))); } };`

func TestInWorkerd(t *testing.T) {
	f := newFixture(t)
	k := &Kind{store: f.Store}
	c, err := config.NewBinding("B", k.Type(), map[string]string{"bucket_name": "files", "jurisdiction": "eu"})
	f.ok(err)
	f.ok(k.Make(ctx, c))
	cell := celltest.Run(t, source, map[string]func(string) binding.Mount{"B": func(service string) binding.Mount {
		m, err := k.Mount(c, binding.Site{Service: service})
		f.ok(err)
		return m
	}})
	b := f.bucket("files")
	long := strings.Repeat("\x01", MaxKeyBytes-20) // each byte is six in JSON
	for i := range 300 {
		f.put(b, "long/"+long+strconv.Itoa(i), nil, PutOptions{})
	}
	for call, want := range map[string]string{
		"class": `["InfrequentAccess","Standard","put: The storage class \"Glacier\" is not valid: use Standard or InfrequentAccess. (10029)"]`,
		"parts": `["f4c9385f1902f7334b00b9b4ecd164de","InfrequentAccess","part","uploadPart: The specified multipart upload does not exist. (10024)"]`,
		"list":  `[true,300]`,
	} {
		if got := cell.Get("/" + call); got != want {
			t.Errorf("%s: got %s\nwant %s", call, got, want)
		}
	}
	md5 := "5775d833b6f80e83231f82899ce76c00"
	want := `["` + md5 + `","` + md5 + `","secret","ret","get: ` + errSSECNeeded.Text + ` (10029)","get: ` + errSSECWrong.Text + ` (10003)","get: ` + errSSECUnused.Text + ` (10029)"]`
	if got := cell.Get("/ssec"); got != want {
		t.Errorf("ssec: got %s\nwant %s", got, want)
	}
	page, err := b.List(ctx, ListOptions{})
	f.ok(err)
	for _, o := range page.Objects {
		f.ok(b.Delete(ctx, o.Key))
	}
	f.ok(f.DeleteBucket(ctx, "files"))
	if got := cell.Get("/gone"); got != `"put: The specified bucket does not exist. (10006)"` {
		t.Errorf("gone: %s", got)
	}
}

func TestBindingSettings(t *testing.T) {
	f := newFixture(t)
	k := &Kind{store: f.Store}
	for want, raw := range map[string]string{
		`the bucket's name "" must have 1 to 63 characters`:                                   `{}`,
		`the bucket's name "a/b" must have`:                                                   `{"bucket_name":"a/b"}`,
		"there is no R2 bucket named \"abc\"; create it with `wrangler r2 bucket create abc`": `{"bucket_name":"abc"}`,
	} {
		_, err := k.Mount(config.Binding{Name: "B", Type: "r2_bucket", Raw: []byte(raw)}, binding.Site{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
	}
}

// ask sends a request as workerd does.
func ask(h http.Handler, method, json string, content io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	if method == "GET" {
		r.Header.Set(requestHeader, json)
	} else {
		r = httptest.NewRequest(method, "/", io.MultiReader(strings.NewReader(json), content))
		r.Header.Set(sizeHeader, strconv.Itoa(len(json)))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A request that is cut off stores nothing, and one that is malformed is told so.
func TestBadRequests(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	h := b.Handler("")
	func() {
		defer func() {
			if w := recover(); w != nil {
				t.Error(w)
			}
		}()
		cut := io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(errors.New("cut off")))
		if w := ask(h, "PUT", `{"method":"put","object":"k"}`, cut); w.Code != 500 {
			t.Errorf("cut off: %d", w.Code)
		}
	}()
	for _, c := range []struct{ method, json string }{
		{"GET", ``}, {"GET", `{`}, {"GET", `{"method":"put","object":"k"}`}, {"PUT", `{"method":"get","object":"k"}`}, {"POST", `{}`},
		{"PUT", `{"method":"put","object":"k","sha1":"xy"}`}, {"PUT", `{"method":"put","object":"k","ssec":{}}`}, {"PUT", `{"method":"put","object":"k","md5":"AA=="}`},
		{"GET", `{"method":"get","object":"k","range":{"offset":"x"}}`},
	} {
		w := ask(h, c.method, c.json, strings.NewReader("x"))
		var e struct {
			Code int `json:"v4code"`
		}
		json.Unmarshal([]byte(w.Header().Get(errorHeader)), &e)
		if w.Code != 400 || e.Code != ErrInvalidArgument.Code {
			t.Errorf("%s %s: %d %s", c.method, c.json, w.Code, w.Header().Get(errorHeader))
		}
	}
	r := httptest.NewRequest("PUT", "/", strings.NewReader("{}"))
	for _, size := range []string{"", "-1", "x", "3", "999999999999"} {
		r.Header.Set(sizeHeader, size)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("size %q: %d", size, w.Code)
		}
	}
	if f.rows(rowObject)+f.rows(rowPart)+f.files() != 0 {
		t.Error("something was stored")
	}
}

// A list waits for the memory that it needs, and is told when there is none; content
// that is streamed needs none.
func TestHungry(t *testing.T) {
	f := newFixture(t)
	f.mem = budget.New(20<<20, 10<<20, time.Nanosecond)
	b := f.bucket("b")
	f.put(b, "k", random(1, 5<<20), PutOptions{})
	taken, err := f.mem.Take(ctx, "hungry", 10<<20)
	f.ok(err)
	for _, c := range []struct {
		worker, json string
		status       int
	}{
		{"hungry", `{"method":"list"}`, 429}, {"hungry", `{"method":"get","object":"k"}`, 200},
		{"modest", `{"method":"list"}`, 200},
	} {
		if w := ask(b.Handler(c.worker), "GET", c.json, nil); w.Code != c.status {
			t.Errorf("%s: %s: %d", c.worker, c.json, w.Code)
		}
	}
	taken.Release()
	if w := ask(b.Handler("hungry"), "GET", `{"method":"list"}`, nil); w.Code != 200 || f.mem.Stats().Used != 0 {
		t.Errorf("when there is memory again: %d, %+v", w.Code, f.mem.Stats())
	}
}
