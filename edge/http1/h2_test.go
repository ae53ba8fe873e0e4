package http1

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// The handler gets the target that a client sent, as over HTTP/1.1.
func TestTargetsOverHTTP2(t *testing.T) {
	echo := options(func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprintf(w, "%s %s %s %t", r.RequestURI, r.URL.Path, r.Proto, r.TLS != nil)
		return err
	})
	eachH2(t, echo, func(t *testing.T, dial func(testing.TB) *h2Client) {
		c := dial(t)
		c.WriteSettings()
		for target, path := range map[string]string{
			"/":                     "/",
			"/a%20b?c=%zz":          "/a b",
			"/sale-100%":            "/sale-100%",
			"/%zz":                  "/%zz",
			"/%E0%A4%A":             "/\xe0\xa4%A",
			`/<"x">?"<>"`:           `/<"x">`,
			"/caf\xc3\xa9?\xc3\xa9": "/caf\xc3\xa9",
			"//a/../%":              "//a/../%",
			disguise + "%2Fa":       "/.selvage-target",
			tooLarge:                tooLarge,
			tooLarge + "?%":         tooLarge,
		} {
			for range 2 { // the second is in both tables
				want := fmt.Sprintf("200 %s %s HTTP/2.0 %t", target, path, strings.HasSuffix(t.Name(), "TLS"))
				if got := c.outcome(c.open(true, request(target))); got != want {
					t.Errorf("%q: %q, want %q", target, got, want)
				}
			}
		}
	})
}

// What is malformed (RFC 9113, 8.1.1) ends its stream, and not the connection.
func TestMalformedRequestsOverHTTP2(t *testing.T) {
	echo := options(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(w, r.Body)
		return err
	})
	eachH2(t, echo, func(t *testing.T, dial func(testing.TB) *h2Client) {
		c := dial(t)
		c.WriteSettings()
		well := func() {
			t.Helper()
			if got := c.outcome(c.open(true, request("/", "te", "trailers"))); got != "200" {
				t.Fatalf("a request afterwards: %s", got)
			}
		}
		for _, header := range [][]string{
			request("/", "connection", "keep-alive"),
			request("/", "keep-alive", "5"),
			request("/", "proxy-connection", "close"),
			request("/", "transfer-encoding", "chunked"),
			request("/", "upgrade", "websocket"),
			request("/", "te", "trailers, deflate"),
			request("%"),
			request("*"),
			request("http://a.example/"),
			request(""),
			request("/a\x00%"),
			request("/a\n%zz"),
			request("/\x7f?%"),
			{":method", "GET"},
		} {
			if got := c.outcome(c.open(true, header)); got != "reset PROTOCOL_ERROR" {
				t.Errorf("%q: %s", header, got)
			}
			well()
			id := c.open(false, header)
			c.WriteData(id, true, []byte("body"))
			if got := c.outcome(id); got != "reset PROTOCOL_ERROR" {
				t.Errorf("%q with a body: %s", header, got)
			}
			well()
		}
		for _, trailer := range [][]string{{"connection", "close"}, {":path", "/"}, {"a", strings.Repeat("a", maxFields)}} {
			id := c.open(false, request("/"))
			c.WriteData(id, false, []byte("body"))
			c.header(id, true, trailer, maxFrame)
			if got := c.outcome(id); got != "reset PROTOCOL_ERROR" {
				t.Errorf("trailer %.40q: %s", trailer, got)
			}
			well()
		}
		if got := c.outcome(c.open(true, []string{":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "a.example"})); got != "200" {
			t.Errorf("OPTIONS *: %s", got)
		}
	})
}

// More fields than MaxHeaderBytes are answered, however few bytes they take on
// the wire.
func TestTooManyFieldsOverHTTP2(t *testing.T) {
	eachH2(t, options(func(w http.ResponseWriter, r *http.Request) error { return nil }), func(t *testing.T, dial func(testing.TB) *h2Client) {
		c := dial(t)
		c.WriteSettings()
		bomb := request("/")
		for range 40 {
			bomb = append(bomb, "a", strings.Repeat("a", 4000))
		}
		for name, tt := range map[string]struct {
			header []string
			want   string
		}{
			"few":                 {request("/", "a", strings.Repeat("~", maxFields-400)), "200"},
			"one too large":       {request("/", "a", strings.Repeat("~", maxFields-100)), "431 "},
			"many":                {request("/", slices.Repeat([]string{"abcdefgh", "1"}, 10000)...), "431 "},
			"one again and again": {bomb, "431 "},
			"large in disguise":   {request("/" + strings.Repeat("%", MaxHeaderBytes/2)), "431 "},
		} {
			if got := c.outcome(c.open(true, tt.header)); got[:min(4, len(got))] != tt.want {
				t.Errorf("%s: %.80s", name, got)
			}
			if got := c.outcome(c.open(true, request("/"))); got != "200" {
				t.Errorf("after %s: %s", name, got)
			}
		}
	})
}

// What breaks the rules of frames or of HPACK ends the connection by its name.
func TestBrokenFrames(t *testing.T) {
	eachH2(t, options(func(w http.ResponseWriter, r *http.Request) error { return nil }), func(t *testing.T, dial func(testing.TB) *h2Client) {
		for name, tt := range map[string]struct {
			send func(c *h2Client)
			want string
		}{
			"HPACK":                  {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 1, []byte{0xff, 0x7f}) }, "goaway COMPRESSION_ERROR"},
			"HPACK, cut off":         {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 1, []byte{0x40, 5}) }, "goaway COMPRESSION_ERROR"},
			"HPACK, table too large": {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 1, []byte{0x3f, 0xff, 0x7f}) }, "goaway COMPRESSION_ERROR"},
			"a frame within a block": {func(c *h2Client) {
				c.WriteRawFrame(http2.FrameHeaders, flagEndStream, 1, c.encode(request("/")))
				c.WriteData(1, true, nil)
			}, "goaway PROTOCOL_ERROR"},
			"another stream within a block": {func(c *h2Client) {
				c.WriteRawFrame(http2.FrameHeaders, flagEndStream, 1, c.encode(request("/")))
				c.WriteContinuation(3, true, nil)
			}, "goaway PROTOCOL_ERROR"},
			"CONTINUATION of nothing": {func(c *h2Client) { c.WriteContinuation(1, true, nil) }, "goaway PROTOCOL_ERROR"},
			"HEADERS on stream 0":     {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 0, nil) }, "goaway PROTOCOL_ERROR"},
			"a large frame":           {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 1, make([]byte, maxFrame+1)) }, "goaway FRAME_SIZE_ERROR"},
			"padding over the end":    {func(c *h2Client) { c.WriteRawFrame(http2.FrameHeaders, flagEndHeaders|flagPadded, 1, []byte{9, 0}) }, "reset PROTOCOL_ERROR"},
			"a block without end": {func(c *h2Client) {
				c.WriteRawFrame(http2.FrameHeaders, flagEndStream, 1, nil)
				for c.WriteContinuation(1, false, bytes.Repeat([]byte{0x20}, maxFrame)) == nil {
				}
			}, "closed"},
		} {
			c := dial(t)
			c.WriteSettings()
			tt.send(c)
			if got := c.outcome(1); got != tt.want && !(tt.want == "closed" && strings.HasPrefix(got, "goaway ")) {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
	})
}

// A handler sees of a well-formed request what it sees without h2, however
// the request is cut into frames.
func TestH2ChangesNothing(t *testing.T) {
	o := options(func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %d %q %q %q", r.Method, r.RequestURI, r.Host, r.Proto, r.ContentLength, r.Header, body, r.Trailer)
		return err
	})
	_, with := start(t, o, nil)
	without := httptest.NewUnstartedServer(o.Handler)
	without.Config.Protocols = new(http.Protocols)
	without.Config.Protocols.SetUnencryptedHTTP2(true)
	without.Start()
	defer without.Close()
	var clients []*h2Client
	for _, addr := range []string{with, without.Listener.Addr().String()} {
		conn, _ := dial(t, addr)
		c := dialH2(t, conn)
		c.WriteSettings()
		clients = append(clients, c)
	}
	header := request("/a%20b?c", "cookie", "a=1", "x", "1", "y", "", "cookie", "b=2", "x", "2", "user-agent", "t\xc3\xa9st", "te", "trailers", "trailer", "t, u", "accept", "*/*", "x", "3")
	header[1] = "POST"
	trailer := []string{"t", "1", "u", "2", "t", "3", "v", "4"}
	random := rand.New(rand.NewPCG(1, 2))
	ask := func(say func(c *h2Client, id uint32)) {
		t.Helper()
		var got []string
		for _, c := range clients {
			id := c.stream
			c.stream += 2
			say(c, id)
			got = append(got, c.outcome(id))
		}
		if got[0] != got[1] || !strings.HasPrefix(got[0], "200 POST /a%20b?c") {
			t.Fatalf("%.500s\nwithout: %.500s", got[0], got[1])
		}
	}
	for _, size := range []int{1, 2, 3, 5, 8, 13, 21, 34} { // more would be a flood
		ask(func(c *h2Client, id uint32) {
			c.header(id, false, header, size)
			c.WriteData(id, false, []byte("body"))
			c.header(id, true, trailer, size)
		})
	}
	for range 100 {
		at, from, table := random.IntN(len(header)/2-4)*2+8, random.IntN(20), uint32(random.IntN(5000))
		ask(func(c *h2Client, id uint32) {
			some := slices.Concat(header[:at], []string{"n", fmt.Sprint(from), "long", strings.Repeat("z", from*800)})
			if from%4 == 0 {
				c.enc.SetMaxDynamicTableSize(table)
			}
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(some[:min(len(some), at+2+from%2*2)]), EndHeaders: true,
				EndStream: from%3 == 0, PadLength: uint8(from), Priority: http2.PriorityParam{StreamDep: uint32(from) * 2, Exclusive: true, Weight: 9}})
			if from%3 != 0 {
				c.WriteDataPadded(id, true, bytes.Repeat([]byte("b"), from*100), make([]byte, from))
			}
		})
	}
}

// Of equal settings in one frame the last one counts.
func TestSettingsThatComeAgain(t *testing.T) {
	for _, tt := range []struct {
		send []uint32
		want string
	}{
		{[]uint32{4, 100, 4, 1}, "acknowledged"},
		{[]uint32{3, 1, 4, 1 << 31, 4, 1}, "goaway FLOW_CONTROL_ERROR"},
		{[]uint32{1, 0, 1, 4096}, "goaway PROTOCOL_ERROR"},
		{[]uint32{2, 2}, "goaway PROTOCOL_ERROR"},
	} {
		_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error { return nil }), nil)
		conn, _ := dial(t, addr)
		c := dialH2(t, conn)
		c.WriteSettings(settings(tt.send...)...)
		if got := c.acknowledged(); got != tt.want {
			t.Errorf("%d: %s, want %s", tt.send, got, tt.want)
		}
	}
	for in, out := range map[string]string{
		"":                         "",
		"\x00\x04\x00\x00\x00\x01": "\x00\x04\x00\x00\x00\x01",
		"\x00\x04\x00\x00\x00\x01\x00\x03\x00\x00\x00\x09\x00\x04\x00\x00\x00\x02": "\x00\x03\x00\x00\x00\x09\x00\x04\x00\x00\x00\x02",
	} {
		if got := string(distinct([]byte(in))); got != out {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

// HTTP/2 is not spoken with a cipher that RFC 9113, appendix A prohibits.
func TestWeakCiphers(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error { return nil }), &tls.Config{Certificates: cert.TLS.Certificates})
	for suite, want := range map[uint16]string{
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:          "goaway INADEQUATE_SECURITY",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:       "200",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "200",
	} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		if err != nil {
			t.Fatal(err)
		}
		c := dialH2(t, conn)
		c.WriteSettings()
		if got := c.outcome(c.open(true, request("/"))); got != want {
			t.Errorf("%s: %s, want %s", tls.CipherSuiteName(suite), got, want)
		}
	}
}
