package r2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/selvage-edge/selvage/config"
)

// How a bucket behind a real S3 server behaves is in package buckettest. Here are
// servers that fail.

const upstreamSecret = "wJalrXUtnFEMI"

// behind returns a bucket that the server at an address keeps, and what is logged.
func (f *fixture) behind(address string, timeout time.Duration) (*Bucket, *lockedBuffer) {
	f.t.Helper()
	u, err := url.Parse(address)
	f.ok(err)
	log := &lockedBuffer{}
	o := Options{Upstreams: []config.Upstream{{Name: "kept", Resource: "there", Endpoint: u, Region: "us-east-1", PathStyle: true, KeyID: "AKID", Secret: upstreamSecret, Timeout: timeout}}}
	f.reopen(o)
	f.Store.log = slog.New(slog.NewTextHandler(log, nil))
	return f.bucket("kept"), log
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// verbs are all calls of a bucket, with how often each is tried.
var verbs = []struct {
	name  string
	tries int64
	do    func(b *Bucket) error
}{
	{"head", 3, func(b *Bucket) error { _, err := b.Head(ctx, "k"); return err }},
	{"get", 3, func(b *Bucket) error { _, err := b.Get(ctx, "k", GetOptions{}); return err }},
	{"list", 3, func(b *Bucket) error { _, err := b.List(ctx, ListOptions{}); return err }},
	{"delete", 3, func(b *Bucket) error { return b.Delete(ctx, "k") }},
	{"delete two", 3, func(b *Bucket) error { return b.Delete(ctx, "k", "l") }},
	{"put", 3, func(b *Bucket) error { _, err := b.Put(ctx, "k", strings.NewReader("x"), PutOptions{}); return err }},
	{"put a stream", 1, func(b *Bucket) error {
		_, err := b.Put(ctx, "k", Sized{bytes.NewReader(make([]byte, maxHeld+1)), maxHeld + 1}, PutOptions{})
		return err
	}},
	{"create upload", 1, func(b *Bucket) error { _, err := b.CreateMultipartUpload(ctx, "k", PutOptions{}); return err }},
	{"upload part", 3, func(b *Bucket) error {
		_, err := b.ResumeMultipartUpload("k", "id").UploadPart(ctx, 1, strings.NewReader("x"), nil)
		return err
	}},
	{"complete", 3, func(b *Bucket) error {
		_, err := b.ResumeMultipartUpload("k", "id").Complete(ctx, []Part{{1, "x"}})
		return err
	}},
	{"abort", 3, func(b *Bucket) error { return b.ResumeMultipartUpload("k", "id").Abort(ctx) }},
}

// overloaded is a server that counts the calls that it refuses while it is not well.
type overloaded struct {
	calls atomic.Int64
	well  atomic.Bool
}

func (o *overloaded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	o.calls.Add(1)
	if o.well.Load() {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// While the server is overloaded, callers are told so by R2's code, and what can be
// repeated without harm is.
func TestUpstreamOverloaded(t *testing.T) {
	for _, v := range verbs {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			o := &overloaded{}
			server := httptest.NewServer(o)
			defer server.Close()
			b, _ := newFixture(t).behind(server.URL, time.Minute)
			if err := v.do(b); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
			if n := o.calls.Load(); n != v.tries {
				t.Errorf("tried %d times, not %d", n, v.tries)
			}
		})
	}
}

// The operator is told once that the server is away, and once that it is back.
func TestUpstreamAway(t *testing.T) {
	o := &overloaded{}
	server := httptest.NewServer(o)
	defer server.Close()
	b, log := newFixture(t).behind(server.URL, time.Minute)
	create := func() error { _, err := b.CreateMultipartUpload(ctx, "k", PutOptions{}); return err }
	for range 2 {
		if err := create(); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
	o.well.Store(true)
	if err := errors.Join(b.Delete(ctx, "k"), b.Delete(ctx, "k")); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := create(); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	text := log.String()
	if strings.Count(text, "does not answer") != 2 || strings.Count(text, "answers again") != 1 || strings.Contains(text, upstreamSecret) {
		t.Errorf("logged:\n%s", text)
	}
}

// A server that says nothing is given up, also in the midst of a content.
func TestUpstreamSilent(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/there/half" {
			header(w, 100)
			w.Write(make([]byte, 50))
			http.NewResponseController(w).Flush()
		}
		<-hang
	}))
	defer server.Close()
	defer close(hang)
	b, _ := newFixture(t).behind(server.URL, 50*time.Millisecond)
	if _, err := b.Head(ctx, "k"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	r, err := b.Get(ctx, "half", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p, err := io.ReadAll(r); !errors.Is(err, ErrUnavailable) || len(p) != 50 {
		t.Errorf("%d bytes, %v", len(p), err)
	}
}

func header(w http.ResponseWriter, size int) {
	w.Header().Set("Content-Length", fmt.Sprint(size))
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	w.Header().Set("Last-Modified", time.UnixMilli(epoch).UTC().Format(http.TimeFormat))
}

// A content that ends early, or another one than was asked for, is an error, and so
// is a refusal; neither tells our secret.
func TestUpstreamWrong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/there/short":
			header(w, 100)
			w.Write(make([]byte, 50))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/there/deaf": // to ranges
			header(w, 100)
			w.Write(make([]byte, 100))
		default:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>InvalidAccessKeyId</Code><Message>who are you?</Message></Error>")
		}
	}))
	defer server.Close()
	b, log := newFixture(t).behind(server.URL, time.Minute)
	r, err := b.Get(ctx, "short", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p, err := io.ReadAll(r); !errors.Is(err, ErrUnavailable) || len(p) != 50 {
		t.Errorf("short: %d bytes, %v", len(p), err)
	}
	if _, err := b.Get(ctx, "deaf", GetOptions{RangeHeader: "bytes=1-2"}); err == nil || !strings.Contains(err.Error(), "2 bytes") {
		t.Errorf("deaf: %v", err)
	}
	_, err = b.List(ctx, ListOptions{})
	if _, ours := errors.AsType[*Error](err); err == nil || ours || !strings.Contains(err.Error(), "InvalidAccessKeyId: who are you?") {
		t.Errorf("refused: %v", err)
	}
	if strings.Contains(log.String()+err.Error(), upstreamSecret) {
		t.Error("the secret is told")
	}
}

// A bucket is on this node or behind a server, never both.
func TestUpstreamSettings(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	f := newFixture(t)
	f.put(f.bucket("kept"), "k", []byte("x"), PutOptions{})
	u, err := url.Parse(server.URL)
	f.ok(err)
	o := Options{Upstreams: []config.Upstream{{Name: "kept", Resource: "there", Endpoint: u, KeyID: "AKID", Secret: "s", Timeout: time.Minute}}}
	if _, err := OpenStore(f.db, f.blobs, o); err == nil || !strings.Contains(err.Error(), "this server keeps objects") {
		t.Errorf("a bucket with objects: %v", err)
	}
	f.ok(f.bucket("kept").Delete(ctx, "k"))
	o.Inbox, o.TakeHost = newInbox(), takeAny
	f.reopen(o)
	f.fails(f.AddNotifyRules(ctx, "kept", []NotifyRule{notify("q", "", "", PutObject)}), ErrInvalidArgument)
	f.fails(f.SetLockRules(ctx, "kept", []LockRule{{"all", true, "", LockCondition{Type: "Indefinite"}}}), ErrInvalidArgument)
	_, err = f.AddDomain(ctx, "kept", Domain{Host: "kept.example.com", Enabled: true})
	f.ok(err)
	if rules, err := f.Rules(ctx, "kept"); err != nil || len(rules) != 0 {
		t.Errorf("rules are %v, %v", rules, err)
	}
	f.fails(f.SetRules(ctx, "kept", defaultRules()), ErrInvalidArgument)
	f.fails(f.DeleteBucket(ctx, "kept"), ErrInvalidArgument)
	if _, err := f.Sweep(ctx); err != nil {
		t.Error(err)
	}
	if found, err := f.Scrub(ctx); err != nil || found.Objects != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if list, err := f.Buckets(ctx); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	f.reopen(Options{}) // the settings have lost it
	_, err = f.Store.Bucket("kept")
	f.fails(err, ErrUnavailable)
	if _, err := f.Sweep(ctx); err != nil {
		t.Error(err)
	}
	f.ok(f.DeleteBucket(ctx, "kept"))
	_, err = f.Store.Bucket("kept")
	f.fails(err, ErrNoSuchBucket)
}

// Whatever goes with an object survives the way through S3's headers, and headers
// that others wrote never do harm.
func FuzzUpstreamHeaders(f *testing.F) {
	f.Add("text/plain", "inline", int64(1_900_000_000_000), "name", "value")
	f.Add("", "attachment; filename=\"ü\"", int64(1_900_000_000_123), "Ü", "=?utf-8?q?a?=")
	f.Add("\x00", " ", int64(0), "selvage", "e30")
	f.Add("a", "b", int64(-1), "selvage", "{")
	f.Fuzz(func(t *testing.T, contentType, disposition string, expiry int64, name, value string) {
		o := PutOptions{HTTP: HTTPMetadata{ContentType: contentType, ContentDisposition: disposition, CacheExpiry: &expiry}, Custom: map[string]string{name: value}}
		for _, text := range []string{contentType, disposition, name, value} {
			if !utf8.ValidString(text) {
				t.Skip("not text")
			}
		}
		p, err := putHeaders(o)
		if err != nil {
			t.Fatal(err)
		}
		h := p.Header()
		for name, values := range h {
			if http.CanonicalHeaderKey(name) != name {
				h[http.CanonicalHeaderKey(name)] = values
				delete(h, name)
			}
			for _, c := range []byte(values[0]) {
				if c < ' ' || c > '~' {
					t.Fatalf("%s: %q is not for a header", name, values[0])
				}
			}
		}
		got, err := objectOfHeaders("k", 1, minio.ObjectInfo{Headers: h})
		if err != nil || !reflect.DeepEqual(got.HTTP, o.HTTP) || !reflect.DeepEqual(got.Custom, o.Custom) {
			t.Fatalf("%+v, %v\nput %+v", got, err, o)
		}
		h.Set(metaPrefix+carriedName, value)
		objectOfHeaders("k", 1, minio.ObjectInfo{Headers: h})
	})
}

// A content is never held, also one whose size is not known, which goes through a file
// that is gone afterwards. The client allocates some KiB for each chunk that it signs.
func TestUpstreamMemoryIsFlat(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		io.Copy(struct{ io.Writer }{io.Discard}, r.Body)
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	}))
	defer server.Close()
	f := newFixture(t)
	b, _ := f.behind(server.URL, time.Minute)
	takes := func(r io.Reader) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := b.Put(ctx, "k", r, PutOptions{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	for name, of := range map[string]func(size int64) io.Reader{
		"known":   func(size int64) io.Reader { return Sized{io.LimitReader(zeros{}, size), size} },
		"unknown": func(size int64) io.Reader { return io.LimitReader(zeros{}, size) },
	} {
		takes(of(1 << 20)) // a connection
		small := takes(of(1 << 20))
		if large := takes(of(16 << 20)); large > small+3<<20 {
			t.Errorf("size %s: 16 MiB allocate %d KiB, 1 MiB %d KiB", name, large>>10, small>>10)
		}
	}
	if left, err := filepath.Glob(filepath.Join(f.dir, "blob/tmp/*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
