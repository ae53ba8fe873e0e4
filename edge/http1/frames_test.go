package http1

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// floods are what a client may send for ever, frame by frame.
var floods = map[string]func(f *http2.Framer, header []byte, i uint32) error{
	"rapid reset": func(f *http2.Framer, header []byte, i uint32) error {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 3, BlockFragment: header, EndHeaders: true, EndStream: true})
		return f.WriteRSTStream(2*i+3, http2.ErrCodeCancel)
	},
	"empty CONTINUATION": func(f *http2.Framer, header []byte, i uint32) error {
		if i == 0 {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: header})
		}
		return f.WriteContinuation(3, false, nil)
	},
	"SETTINGS":      func(f *http2.Framer, _ []byte, _ uint32) error { return f.WriteSettings() },
	"PING":          func(f *http2.Framer, _ []byte, _ uint32) error { return f.WritePing(false, [8]byte{}) },
	"PRIORITY":      func(f *http2.Framer, _ []byte, i uint32) error { return f.WritePriority(3, http2.PriorityParam{}) },
	"WINDOW_UPDATE": func(f *http2.Framer, _ []byte, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
	"unknown": func(f *http2.Framer, _ []byte, _ uint32) error {
		return f.WriteRawFrame(0xee, 0, 0, nil)
	},
	"empty DATA": func(f *http2.Framer, header []byte, i uint32) error {
		if i == 0 {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: header, EndHeaders: true})
		}
		return f.WriteData(3, false, nil)
	},
	"padded DATA": func(f *http2.Framer, header []byte, i uint32) error {
		if i == 0 {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: header, EndHeaders: true})
		}
		return f.WriteDataPadded(3, false, nil, make([]byte, 4))
	},
}

func TestFloodsEnd(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	handler := func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
	_, plain := start(t, options(handler), nil)
	_, secure := start(t, options(handler), &tls.Config{Certificates: cert.TLS.Certificates})
	for name, flood := range floods {
		for addr, over := range map[string]string{plain: "h2c", secure: "TLS"} {
			t.Run(name+" over "+over, func(t *testing.T) {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				if over == "TLS" {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				go io.Copy(io.Discard, conn)
				io.WriteString(conn, http2.ClientPreface)
				f := http2.NewFramer(conn, nil)
				f.WriteSettings()
				var header bytes.Buffer
				enc := hpack.NewEncoder(&header)
				for _, h := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "a.example"}} {
					enc.WriteField(h)
				}
				for i := range uint32(1 << 20) {
					if err := flood(f, header.Bytes(), i); err != nil {
						if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
							t.Fatal("the connection does not end")
						}
						return
					}
				}
				t.Error("a million frames, and the connection is open")
			})
		}
	}
}

// Who negotiates HTTP/2 speaks it: HTTP/1 would not be checked.
func TestHTTP2IsSpokenWhereNegotiated(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	_, addr := start(t, options(func(http.ResponseWriter, *http.Request) error {
		t.Error("reached the handler")
		return nil
	}), &tls.Config{Certificates: cert.TLS.Certificates})
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "GET / HTTP/1.1\r\n"+okHost+"X: a\nY: b\r\n\r\n")
	if all, _ := io.ReadAll(conn); len(all) > 0 {
		t.Errorf("%q", all)
	}
}

// A download whose client updates its window for every 4 KB goes on, whatever
// its length.
func TestDownloadsAreNoFlood(t *testing.T) {
	var f frames
	for range 100_000 {
		f.wrote(4 << 10)
		if err := f.count(frameHead{kind: 8, length: 4, stream: 1}); err != nil {
			t.Fatal(err)
		}
	}
}
