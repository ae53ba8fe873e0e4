package compress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
)

// serve starts an edge with the stage, in front of a handler.
func serve(t testing.TB, s *Stage, h http.HandlerFunc) (e *edge.Edge, addr string) {
	t.Helper()
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "w", Workers: map[string]*config.Worker{"w": {Name: "w"}}})
	e = edge.New(edge.Options{
		Source: v, Stages: []edge.Stage{s}, Hosts: []string{"own.test"}, Logger: slog.New(slog.DiscardHandler),
		Target: func(w http.ResponseWriter, r *http.Request, _, _ string) error {
			h(w, r)
			return nil
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(context.Background(), l, nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		for what, b := range map[string]*budget{"encoders": &s.encoders.budget, "decoders": &s.decoders} {
			if left := b.left.Load(); left != total {
				t.Errorf("%d of %d bytes of the memory for %s were not given back", total-left, total, what)
			}
		}
	})
	return e, l.Addr().String()
}

const total = 128 << 20

// ask sends one request by hand, so that nothing is added to it or undone.
func ask(t testing.TB, addr, method, headers string) (*http.Response, string) {
	t.Helper()
	res, body, err := try(t, addr, method, "HTTP/1.1", headers)
	if err != nil {
		t.Fatalf("%s %q: %v", method, headers, err)
	}
	return res, body
}

func try(t testing.TB, addr, method, version, headers string) (*http.Response, string, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, method+" / "+version+"\r\nHost: a\r\n"+headers+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// decoded is a body as its client sees it.
func decoded(t testing.TB, res *http.Response, body string) string {
	t.Helper()
	in := io.Reader(strings.NewReader(body))
	var err error
	switch c := res.Header.Get("Content-Encoding"); c {
	case "":
	case "gzip":
		in, err = newDecoder(gzip, in)
	case "br":
		in, err = newDecoder(brotli, in)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in, zstd.WithDecoderMaxWindow(8<<20)); err == nil { // more is no browser obliged to take
			defer d.Close()
			in = d
		}
	default:
		t.Fatalf("Content-Encoding %q", c)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatalf("decode %s: %v", res.Header.Get("Content-Encoding"), err)
	}
	return string(text)
}

// encode makes what a Worker sends that encodes by itself.
func encode(c coding, text string) string {
	var b bytes.Buffer
	e := newEncoder(c)
	e.Reset(&b)
	io.WriteString(e, text)
	e.Close()
	return b.String()
}

var text = strings.Repeat("All the world's a stage, and all the men and women merely players. ", 200)

// What is compressed, and what the headers are then.
func TestRules(t *testing.T) {
	const all = "Accept-Encoding: gzip, deflate, br, zstd\r\n"
	for _, c := range []struct {
		name     string
		request  string
		status   int
		response string // headers
		body     string
		coding   string
		headers  string // some that the client gets; "-" for one that it must not
	}{
		{"everything taken", all, 200, "Content-Type: text/html", text, "zstd", "Vary: Accept-Encoding"},
		{"without Zstandard", "Accept-Encoding: gzip, br\r\n", 200, "Content-Type: text/html", text, "br", ""},
		{"gzip alone", "Accept-Encoding: gzip\r\n", 200, "Content-Type: application/json; charset=utf-8", text, "gzip", ""},
		{"over two lines", "Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n", 200, "Content-Type: text/html", text, "gzip", ""},
		{"nothing is said", "", 200, "Content-Type: text/html", text, "", "Vary: Accept-Encoding|Content-Length: " + fmt.Sprint(len(text))},
		{"unknown codings", "Accept-Encoding: deflate, sdch\r\n", 200, "Content-Type: text/html", text, "", ""},
		{"type in capitals", all, 200, "Content-Type: TEXT/HTML", text, "zstd", ""},
		{"an image", all, 200, "Content-Type: image/png", text, "", "Vary: -"},
		{"server-sent events are not on the list", all, 200, "Content-Type: text/event-stream", text, "", ""},
		{"no type", all, 200, "Content-Type: ", text, "", ""},
		{"49 bytes by Zstandard", all, 200, "Content-Type: text/plain", text[:49], "", "Content-Length: 49"},
		{"50 bytes by Zstandard", all, 200, "Content-Type: text/plain", text[:50], "zstd", ""},
		{"47 bytes by gzip", "Accept-Encoding: gzip\r\n", 200, "Content-Type: text/plain", text[:47], "", "Vary: -"},
		{"48 bytes by gzip", "Accept-Encoding: gzip\r\n", 200, "Content-Type: text/plain", text[:48], "gzip", ""},
		{"403", all, 403, "Content-Type: text/html", text, "zstd", ""},
		{"404", all, 404, "Content-Type: text/html", text, "zstd", ""},
		{"500", all, 500, "Content-Type: text/html", text, "", "Vary: -"},
		{"201", all, 201, "Content-Type: text/html", text, "", ""},
		{"206", all + "Range: bytes=0-9\r\n", 206, "Content-Type: text/html|Content-Range: bytes 0-9/100", text[:100], "", "Vary: -"},
		{"the whole for a Range", all + "Range: bytes=0-9\r\n", 200, "Content-Type: text/html", text, "", ""},
		{"no-transform", all, 200, "Content-Type: text/html|Cache-Control: public, No-Transform", text, "", "Vary: -"},
		{"a strong ETag", all, 200, `Content-Type: text/html|Etag: "a"`, text, "zstd", `Etag: W/"a"`},
		{"a weak ETag", all, 200, `Content-Type: text/html|Etag: W/"a"`, text, "zstd", `Etag: W/"a"`},
		{"a strong ETag of what stays", "", 200, `Content-Type: text/html|Etag: "a"`, text, "", `Etag: "a"`},
		{"ranges of the original", all, 200, "Content-Type: text/html|Accept-Ranges: bytes", text, "zstd", "Accept-Ranges: -"},
		{"Vary of the Worker", all, 200, "Content-Type: text/html|Vary: Origin", text, "zstd", "Vary: Origin, Accept-Encoding"},
		{"Vary that says it already", all, 200, "Content-Type: text/html|Vary: origin, accept-encoding", text, "zstd", "Vary: origin, accept-encoding"},
		{"304 to who has the compressed one", all + "If-None-Match: W/\"a\"\r\n", 304, `Etag: "a"`, "", "", `Etag: W/"a"`},
		{"304 to who has the original", all + "If-None-Match: \"a\"\r\n", 304, `Etag: "a"`, "", "", `Etag: "a"`},

		{"encoded by the Worker, and taken", all, 200, "Content-Type: text/html|Content-Encoding: gzip|Etag: \"a\"", encode(gzip, text), "gzip", `Vary: Accept-Encoding|Etag: "a"`},
		{"encoded by the Worker, whatever the type", "", 500, "Content-Type: image/png|Content-Encoding: gzip", encode(gzip, text), "", "Vary: Accept-Encoding"},
		{"gzip for who takes none", "", 200, "Content-Type: text/html|Content-Encoding: gzip|Etag: \"a\"", encode(gzip, text), "", `Etag: W/"a"`},
		{"x-gzip for who takes none", "", 200, "Content-Type: text/html|Content-Encoding: x-gzip", encode(gzip, text), "", ""},
		{"Brotli for who takes gzip", "Accept-Encoding: gzip\r\n", 200, "Content-Type: text/html|Content-Encoding: br", encode(brotli, text), "gzip", `Vary: Accept-Encoding`},
		{"Brotli for who takes gzip, not on the list", "Accept-Encoding: gzip\r\n", 200, "Content-Type: image/png|Content-Encoding: br", encode(brotli, text), "", ""},
		{"gzip, refused", "Accept-Encoding: gzip;q=0, *\r\n", 200, "Content-Type: text/html|Content-Encoding: gzip", encode(gzip, text), "zstd", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, known := range []bool{true, false} {
				_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
					set(w.Header(), c.response)
					if known && c.status != 304 {
						w.Header().Set("Content-Length", fmt.Sprint(len(c.body)))
					}
					w.WriteHeader(c.status)
					io.WriteString(w, c.body)
				})
				res, body := ask(t, addr, "GET", c.request)
				if res.StatusCode != c.status || res.Header.Get("Content-Encoding") != c.coding {
					t.Errorf("length known %t: status %d, Content-Encoding %q", known, res.StatusCode, res.Header.Get("Content-Encoding"))
				}
				want := c.body
				if strings.Contains(c.response, "Content-Encoding") {
					want = text
				}
				if decoded(t, res, body) != want {
					t.Errorf("length known %t: another body", known)
				}
				res.Header["Content-Length"] = nil
				if res.ContentLength >= 0 {
					res.Header.Set("Content-Length", fmt.Sprint(res.ContentLength))
				}
				for pair := range strings.SplitSeq(c.headers, "|") {
					name, value, _ := strings.Cut(pair, ": ")
					got := strings.Join(res.Header[name], ", ")
					if name == "Content-Length" && !known || name == "" {
						continue
					}
					if got != value && (value != "-" || got != "") {
						t.Errorf("length known %t: %s: %q, want %q", known, name, got, value)
					}
				}
				if c.status == 304 {
					break
				}
				// HEAD has the header of GET, but for a length that only the whole body tells.
				head, none := ask(t, addr, "HEAD", c.request)
				if none != "" {
					t.Errorf("HEAD has a body: %q", none)
				}
				for _, name := range []string{"Content-Encoding", "Vary", "Etag", "Content-Type", "Accept-Ranges"} {
					if got, want := head.Header[name], res.Header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("length known %t: HEAD: %s: %q, GET: %q", known, name, got, want)
					}
				}
			}
		})
	}
}

// set adds "Name: value|Name: value".
func set(h http.Header, pairs string) {
	for pair := range strings.SplitSeq(pairs, "|") {
		if name, value, _ := strings.Cut(pair, ": "); value != "" {
			h.Add(name, value)
		} else if name != "" {
			h[strings.TrimSuffix(name, ":")] = nil // no guess either
		}
	}
}

// A coding that nobody here decodes stays, also for who has not asked for it.
func TestUnknownCodings(t *testing.T) {
	for _, encoding := range []string{"zstd", "gzip, br", "exi", "identity"} {
		_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", encoding)
			io.WriteString(w, text)
		})
		res, body := ask(t, addr, "GET", "Accept-Encoding: gzip\r\n")
		if res.Header.Get("Content-Encoding") != encoding || body != text {
			t.Errorf("%s: %q", encoding, res.Header.Get("Content-Encoding"))
		}
	}
}

// A Go handler that names no type gets the guess of net/http, compressed or not.
func TestGuessedType(t *testing.T) {
	for _, c := range []struct{ body, contentType, coding string }{
		{"<html>" + text, "text/html; charset=utf-8", "gzip"},
		{"\x89PNG\r\n\x1a\n" + text, "image/png", ""},
		{"short", "text/plain; charset=utf-8", ""},
		{"", "", ""},
	} {
		_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, c.body) })
		res, body := ask(t, addr, "GET", "Accept-Encoding: gzip\r\n")
		if decoded(t, res, body) != c.body || res.Header.Get("Content-Type") != c.contentType || res.Header.Get("Content-Encoding") != c.coding {
			t.Errorf("%.10q: %v", c.body, res.Header)
		}
	}
}

// A Worker sees what Cloudflare sends it, and what our own Workers fetch from
// each other is not compressed.
func TestRequests(t *testing.T) {
	e, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, r.Header.Get("Accept-Encoding")+text)
	})
	res, body := ask(t, addr, "GET", "Accept-Encoding: zstd\r\n")
	if got := decoded(t, res, body); !strings.HasPrefix(got, "br, gzip") {
		t.Errorf("the Worker sees %.20q", got)
	}
	r, _ := http.NewRequest("GET", "http://own.test/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := &recorder{header: http.Header{}}
	e.Local("own.test").ServeHTTP(w, r)
	if w.header.Get("Content-Encoding") != "" || w.body.String() != "gzip"+text {
		t.Errorf("within: %v", w.header)
	}
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
