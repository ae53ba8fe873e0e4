package kv

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func mount(t testing.TB, k *Kind, id, service string) binding.Mount {
	t.Helper()
	b, err := config.NewBinding("KV", "kv_namespace", map[string]string{"namespace_id": id})
	if err != nil {
		t.Fatal(err)
	}
	m, err := k.Mount(b, binding.Site{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWireThroughWorkerd calls the whole KV API in a real workerd; what the
// Worker saw is in testdata/worker.json. -update rewrites it.
func TestWireThroughWorkerd(t *testing.T) {
	f := newFixture(t)
	f.clock.Store(time.Now().Unix()) // the Worker has no other clock
	source, err := os.ReadFile("testdata/worker.js")
	if err != nil {
		t.Fatal(err)
	}
	cell := celltest.Run(t, string(source), map[string]func(string) binding.Mount{
		"KV": func(service string) binding.Mount {
			k := &Kind{f.store}
			b, _ := config.NewBinding("KV", k.Type(), map[string]string{"namespace_id": "wire"})
			if err := k.Make(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			return mount(t, k, "wire", service)
		},
	})
	got := cell.Get("/")
	const golden = "testdata/worker.json"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the Worker saw:\n%s", got)
	}
}

func TestKindWantsAnExistingNamespace(t *testing.T) {
	k := &Kind{newFixture(t).store}
	b, _ := config.NewBinding("CACHE", "kv_namespace", map[string]string{"namespace_id": "abc"})
	_, err := k.Mount(b, binding.Site{Service: "s"})
	if err == nil || !strings.Contains(err.Error(), `no KV namespace with id "abc"; create one with`) {
		t.Errorf("mount of a missing namespace: %v", err)
	}
	empty, _ := config.NewBinding("CACHE", "kv_namespace", nil)
	if err := k.Validate(empty); err == nil || !strings.Contains(err.Error(), "namespace_id is empty") {
		t.Errorf("validate without id: %v", err)
	}
}

// TestErrorLine pins the bytes that workerd's KV shows to users.
func TestErrorLine(t *testing.T) {
	f := newFixture(t)
	srv := httptest.NewServer(f.namespace(t).Handler(""))
	defer srv.Close()
	for request, want := range map[string]string{
		"PUT /k?urlencoded=true&expiration_ttl=5 HTTP/1.1\r\nHost: fake-host\r\nContent-Length: 2\r\n\r\nab": "HTTP/1.1 400 Invalid expiration_ttl of 5. Expiration TTL must be at least 60.\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"GET /%FF?urlencoded=true HTTP/1.1\r\nHost: fake-host\r\n\r\n":                                       "HTTP/1.1 400 Could not URL-decode key name\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"GET /%2E?urlencoded=true HTTP/1.1\r\nHost: fake-host\r\n\r\n":                                       "HTTP/1.1 400 Illegal key name \".\". Please use a different name.\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"PATCH /k HTTP/1.1\r\nHost: fake-host\r\n\r\n":                                                       "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"GET /k?urlencoded=true HTTP/1.1\r\nHost: fake-host\r\nConnection: close\r\n\r\n":                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		got, _ := io.ReadAll(conn)
		conn.Close()
		if string(got) != want {
			t.Errorf("%q:\ngot  %q\nwant %q", request, got, want)
		}
	}
}

func TestInterruptedPutChangesNothing(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	n.Put(ctx, "k", []byte("before"), PutOptions{})
	check := func() {
		t.Helper()
		if v, err := n.Get(ctx, "k"); string(v) != "before" {
			t.Errorf("after failed put: %q %v", v, err)
		}
	}
	// The second is how net/http reports a body that was cut off.
	for _, failure := range []error{errors.New("boom"), io.ErrUnexpectedEOF} {
		for _, size := range []int{0, 10, InlineBytes + 10} {
			r := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(failure))
			if err := n.PutStream(ctx, "k", r, PutOptions{}); !errors.Is(err, failure) {
				t.Errorf("put of %d bytes: %v", size, err)
			}
			check()
		}
	}
	served := make(chan bool, 1)
	h := n.Handler("")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { recover(); served <- true }()
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	for _, request := range []string{
		"PUT /k?urlencoded=true HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc",
		"PUT /k?urlencoded=true HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		conn.Close()
		<-served
		check()
	}
}

// FuzzHandler sends requests as a hostile cell might. Whatever comes, the
// handler answers, and what was there before is not damaged.
func FuzzHandler(f *testing.F) {
	for _, line := range []string{
		"GET|/k?urlencoded=true|", "PUT|/a%2Fb?urlencoded=true&expiration_ttl=60|value", "DELETE|/k?urlencoded=true|",
		"GET|/?prefix=a&key_count_limit=3&cursor=AWE|", `POST|/bulk/get|{"keys":["k"],"type":"json","withMetadata":true,"cacheTtl":"60"}`,
		"GET|/%zz?urlencoded=true|", "PUT|/?urlencoded=true|", "PUT|/k?expiration=1;2|x", "POST|/bulk/get|{}", "GET|//|",
	} {
		m, rest, _ := strings.Cut(line, "|")
		target, body, _ := strings.Cut(rest, "|")
		f.Add(m, target, `{"a":1}`, []byte(body))
	}
	fix := newFixture(f)
	n := fix.namespace(f)
	h := n.Handler("")
	f.Fuzz(func(t *testing.T, method, target, metadata string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return // no such request reaches a handler
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{metadataHeader: {metadata}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(ctx))
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s: %d", method, target, w.Code)
		}
		page, err := n.List(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			if err := checkKey(k.Name); err != nil {
				t.Errorf("stored key %q: %v", k.Name, err)
			}
			if _, err := n.Get(ctx, k.Name); err != nil {
				t.Errorf("listed key %q: %v", k.Name, err)
			}
			n.Delete(ctx, k.Name)
		}
	})
}

// FuzzRecord: damaged rows give an error, never a panic, and sound ones survive.
func FuzzRecord(f *testing.F) {
	f.Add(append(appendHead(nil, 5, []byte(`{}`)), "value"...))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		again := appendHead(nil, r.expires, r.metadata)
		if r.flags&isBlob != 0 {
			again = appendBlob(again, r.digest, r.size)
		} else {
			again = append(again, r.value...)
		}
		b, err := decodeRecord(again)
		if err != nil || b.expires != r.expires || !bytes.Equal(b.metadata, r.metadata) || !bytes.Equal(b.value, r.value) || b.digest != r.digest || b.size != r.size {
			t.Errorf("%x became %x", data, again)
		}
	})
}

// FuzzCursor: a cursor is refused or means exactly one key.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(encodeCursor("key"))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, cursor string) {
		last, err := decodeCursor(cursor)
		if err != nil {
			return
		}
		if again, err := decodeCursor(encodeCursor(last)); again != last || err != nil {
			t.Errorf("%q: %q became %q (%v)", cursor, last, again, err)
		}
	})
}
