package r2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/fault"
)

// takeAny gives every host of example.com away.
func takeAny(_ context.Context, host, zone string, take func(binding.Zone) error) error {
	if !strings.HasSuffix(host, ".example.com") || zone != "" && zone != "z1" {
		return errors.New("no zone")
	}
	return take(binding.Zone{ID: "z1", Name: "example.com"})
}

// visit sends a request to a host, and tells status, body and headers.
func (f *fixture) visit(method, url string, headers ...string) (int, string, http.Header) {
	f.t.Helper()
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	owner := (&Kind{store: f.Store}).Hosted(r.Host)
	if owner == nil {
		return 0, "", nil
	}
	w := httptest.NewRecorder()
	err := owner.Serve(w, r)
	if err != nil {
		refused, ok := errors.AsType[*fault.Fault](err)
		if !ok {
			f.t.Fatalf("%s %s: %v", method, url, err)
		}
		return refused.Status, refused.Message, w.Header()
	}
	body, err := io.ReadAll(w.Result().Body)
	f.ok(err)
	return w.Code, string(body), w.Header()
}

// public is a fixture whose bucket b is public at files.example.com.
func newPublic(t testing.TB) (*fixture, *Bucket) {
	f := newFixture(t)
	f.reopen(Options{TakeHost: takeAny})
	b := f.bucket("b")
	_, err := f.AddDomain(ctx, "b", Domain{Host: "Files.example.com", Enabled: true})
	f.ok(err)
	return f, b
}

// What HTTP says about conditions and ranges.
func TestPublicRead(t *testing.T) {
	f, b := newPublic(t)
	o := f.put(b, "dir/häl lo.txt", []byte("0123456789"), PutOptions{HTTP: HTTPMetadata{ContentType: "text/plain", CacheControl: "max-age=60", ContentLanguage: "de", ContentDisposition: "inline", ContentEncoding: "identity"}})
	f.put(b, "bare", nil, PutOptions{Custom: map[string]string{"secret": "x"}})
	etag := `"` + o.ETag + `"`
	at := o.Uploaded.Format(http.TimeFormat)
	before, after := o.Uploaded.Add(-time.Second).Format(http.TimeFormat), o.Uploaded.Add(time.Second).Format(http.TimeFormat)
	const path = "http://files.example.com/dir/h%C3%A4l%20lo.txt"
	for _, c := range []struct {
		headers string // pairs, divided by "|"
		status  int
		body    string
		ranged  string
	}{
		{"", 200, "0123456789", ""},
		{"If-None-Match|" + etag, 304, "", ""},
		{"If-None-Match|\"x\", W/" + etag, 304, "", ""},
		{"If-None-Match|*", 304, "", ""},
		{"If-None-Match|\"x\"", 200, "0123456789", ""},
		{"If-None-Match|\"x\"|If-Modified-Since|" + at, 200, "0123456789", ""},
		{"If-Modified-Since|" + at, 304, "", ""},
		{"If-Modified-Since|" + before, 200, "0123456789", ""},
		{"If-Modified-Since|yesterday", 200, "0123456789", ""},
		{"If-Match|" + etag, 200, "0123456789", ""},
		{"If-Match|W/" + etag, 412, ErrPreconditionFailed.Text, ""},
		{"If-Match|\"x\"", 412, ErrPreconditionFailed.Text, ""},
		{"If-Match|" + etag + "|If-Unmodified-Since|" + before, 200, "0123456789", ""},
		{"If-Unmodified-Since|" + before, 412, ErrPreconditionFailed.Text, ""},
		{"If-Unmodified-Since|" + at, 200, "0123456789", ""},
		{"Range|bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"Range|bytes=7-", 206, "789", "bytes 7-9/10"},
		{"Range|bytes=-3", 206, "789", "bytes 7-9/10"},
		{"Range|bytes=2-100", 206, "23456789", "bytes 2-9/10"},
		{"Range|bytes=-100", 200, "0123456789", ""},
		{"Range|bytes=10-", 416, ErrInvalidRange.Text + "\n", "bytes */10"},
		{"Range|bytes=-0", 416, ErrInvalidRange.Text + "\n", "bytes */10"},
		{"Range|bytes=1-2,4-5", 200, "0123456789", ""},
		{"Range|lines=1-2", 200, "0123456789", ""},
		{"Range|bytes=5-4", 200, "0123456789", ""},
		{"Range|bytes=2-4|If-Range|" + etag, 206, "234", "bytes 2-4/10"},
		{"Range|bytes=2-4|If-Range|W/" + etag, 200, "0123456789", ""},
		{"Range|bytes=2-4|If-Range|" + at, 206, "234", "bytes 2-4/10"},
		{"Range|bytes=2-4|If-Range|" + after, 200, "0123456789", ""},
		{"Range|bytes=2-4|If-None-Match|" + etag, 304, "", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			status, body, h := f.visit(method, path, strings.FieldsFunc(c.headers, func(r rune) bool { return r == '|' })...)
			want := c.body
			if method == "HEAD" && status < 300 {
				want = ""
				if n := fmt.Sprint(len(c.body)); h.Get("Content-Length") != n {
					t.Errorf("HEAD %s: Content-Length %q, want %s", c.headers, h.Get("Content-Length"), n)
				}
			}
			if status != c.status || body != want || h.Get("Content-Range") != c.ranged {
				t.Errorf("%s %s: %d %q %q, want %d %q %q", method, c.headers, status, body, h.Get("Content-Range"), c.status, want, c.ranged)
			}
			if status < 400 && (h.Get("Etag") != etag || h.Get("Last-Modified") != at || h.Get("Cache-Control") != "max-age=60") {
				t.Errorf("%s %s: %v", method, c.headers, h)
			}
			if typ := h.Get("Content-Type"); status == 304 && typ != "" || status < 300 && typ != "text/plain" {
				t.Errorf("%s %s: Content-Type %q", method, c.headers, typ)
			}
		}
	}
	status, body, h := f.visit("GET", "http://files.example.com/bare")
	if status != 200 || body != "" || h.Get("Content-Type") != "application/octet-stream" || h.Get("Accept-Ranges") != "bytes" {
		t.Errorf("an empty object: %d %q %v", status, body, h)
	}
	for name := range h {
		if slices.Contains(h[name], "x") {
			t.Errorf("custom metadata is public: %s", name)
		}
	}
	if status, _, _ := f.visit("GET", "http://files.example.com/bare", "Range", "bytes=0-"); status != 416 {
		t.Errorf("a range of nothing: %d", status)
	}
}

// A public bucket is read, and nothing else.
func TestPublicRefuses(t *testing.T) {
	f, b := newPublic(t)
	f.put(b, "k", []byte("x"), PutOptions{})
	f.put(b, "sealed", []byte("x"), PutOptions{SSECKey: random(1, ssecKeyBytes)})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/k", 200}, {"GET", "/", 404}, {"GET", "/none", 404}, {"GET", "/k/", 404}, {"GET", "/%ff", 404},
		{"GET", "/" + strings.Repeat("a", MaxKeyBytes+1), 404}, {"GET", "/sealed", 400}, {"HEAD", "/sealed", 400},
		{"PUT", "/k", 405}, {"POST", "/k", 405}, {"DELETE", "/k", 405}, {"OPTIONS", "/k", 403},
	} {
		if status, _, _ := f.visit(c.method, "http://files.example.com"+c.path); status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, status, c.status)
		}
	}
	f.same(b, "k", []byte("x"))
	f.ok(f.SetCORS(ctx, "b", corsRules(t, someCORS)))
	status, _, h := f.visit("OPTIONS", "http://files.example.com/k", "Origin", "https://app.example", "Access-Control-Request-Method", "GET")
	if status != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("a preflight: %d %v", status, h)
	}
	for _, path := range []string{"/k", "/none"} { // a page may see that there is nothing
		if _, _, h := f.visit("GET", "http://files.example.com"+path, "Origin", "https://app.example"); h.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%s: %v", path, h)
		}
	}
	_, err := f.ChangeDomain(ctx, "b", "files.example.com", func(d *Domain) { d.Enabled = false })
	f.ok(err)
	if status, _, _ := f.visit("GET", "http://files.example.com/k"); status != 404 {
		t.Errorf("disabled: %d", status)
	}
	f.ok(f.RemoveDomain(ctx, "b", "files.example.com"))
	if status, _, _ := f.visit("GET", "http://files.example.com/k"); status != 0 {
		t.Errorf("removed: %d", status)
	}
}

// Hosts are stored with their bucket and go with it.
func TestDomains(t *testing.T) {
	f, b := newPublic(t)
	f.put(b, "k", []byte("x"), PutOptions{})
	for _, c := range []struct {
		bucket string
		d      Domain
		want   string
	}{
		{"b", Domain{Host: "files.example.com"}, "connected to this bucket already"},
		{"b", Domain{Host: "files.example.org"}, "no zone"},
		{"b", Domain{Host: "more.example.com", Zone: "z2"}, "no zone"},
		{"b", Domain{Host: "more.example.com", MinTLS: "2"}, "use 1.0, 1.1, 1.2, 1.3"},
		{"none", Domain{Host: "more.example.com"}, ErrNoSuchBucket.Text},
	} {
		if _, err := f.AddDomain(ctx, c.bucket, c.d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.d, err, c.want)
		}
	}
	d, err := f.ChangeDomain(ctx, "b", "FILES.example.com", func(d *Domain) { d.MinTLS, d.Host, d.Zone = "1.2", "other", "other" })
	if err != nil || d.MinTLS != "1.2" || d.Host != "files.example.com" || d.Zone != "z1" || d.ZoneName != "example.com" {
		t.Errorf("%+v, %v", d, err)
	}
	_, dev, err := f.DevURL(ctx, "b")
	f.ok(err)
	if status, _, _ := f.visit("GET", "http://"+dev+"/k"); status != 0 || len(dev) != len("pub-.localhost")+32 {
		t.Errorf("%s before it is enabled: %d", dev, status)
	}
	_, same, err := f.EnableDevURL(ctx, "b", true)
	f.ok(err)
	f.reopen(Options{TakeHost: takeAny})
	for _, host := range []string{"files.example.com", dev} {
		if status, body, _ := f.visit("GET", "http://"+host+"/k"); status != 200 || body != "x" || same != dev {
			t.Errorf("%s after a restart: %d %q; %s", host, status, body, same)
		}
	}
	kind := &Kind{store: f.Store}
	if why := kind.HoldsZone("z1"); !strings.Contains(why, "files.example.com is a custom domain of the R2 bucket b") || kind.HoldsZone("z2") != "" {
		t.Errorf("the zone is needed because %q", why)
	}
	f.ok(f.bucket("b").Delete(ctx, "k"))
	f.ok(f.DeleteBucket(ctx, "b"))
	f.bucket("b")
	for _, host := range []string{"files.example.com", dev} {
		if status, _, _ := f.visit("GET", "http://"+host+"/k"); status != 0 {
			t.Errorf("%s of a deleted bucket: %d", host, status)
		}
	}
}

// A version that is replaced while it is looked at is not mixed with the next.
func TestPublicReplaced(t *testing.T) {
	f, b := newPublic(t)
	f.put(b, "k", []byte(strings.Repeat("a", 100)), PutOptions{})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				f.put(b, "k", []byte(strings.Repeat(string(rune('a'+i%26)), 100+i%3)), PutOptions{})
			}
		}
	}()
	for range 200 {
		status, body, h := f.visit("GET", "http://files.example.com/k", "Range", "bytes=-50")
		if status == 500 {
			continue // replaced too often meanwhile
		}
		var first, last, size int
		if _, err := fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil || status != 206 || len(body) != 50 || last+1 != size || strings.Trim(body, body[:1]) != "" {
			t.Fatalf("%d %q %q: %v", status, body, h.Get("Content-Range"), err)
		}
	}
	close(stop)
	<-done
}

// FuzzPublic: whatever headers come, the answer is of the object, and what it says of
// its length is so.
func FuzzPublic(f *testing.F) {
	fix, b := newPublic(f)
	const content = "0123456789"
	o := fix.put(b, "k", []byte(content), PutOptions{})
	f.Add("bytes=1-2", "", `"`+o.ETag+`"`, "")
	f.Add("bytes=-0", `"x"`, "", "Mon, 02 Jan 2006 15:04:05 GMT")
	f.Add("bytes=9223372036854775807-", `W/"`+o.ETag+`"`, "*", "")
	f.Fuzz(func(t *testing.T, ranges, ifRange, ifNoneMatch, since string) {
		r := httptest.NewRequest("GET", "http://files.example.com/k", nil)
		r.Header = http.Header{"Range": {ranges}, "If-Range": {ifRange}, "If-None-Match": {ifNoneMatch}, "If-Modified-Since": {since}}
		w := httptest.NewRecorder()
		err := public{b, true}.serve(w, r)
		body := w.Body.String()
		switch {
		case err != nil:
			t.Fatal(err)
		case w.Code == 416 && w.Header().Get("Content-Range") == "bytes */10":
		case w.Code == 200 && body == content, w.Code == 304 && body == "":
		case w.Code == 206 && w.Header().Get("Content-Length") == fmt.Sprint(len(body)) && len(body) > 0 && strings.Contains(content, body):
		default:
			t.Fatalf("%d %q %v", w.Code, body, w.Header())
		}
	})
}
