package http1

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Client says what it is told to, well-formed or not.
type h2Client struct {
	t testing.TB
	net.Conn
	*http2.Framer
	stream uint32
	enc    *hpack.Encoder
	block  bytes.Buffer
}

// dialH2 begins a connection. It says nothing of its own besides the preface.
func dialH2(t testing.TB, conn net.Conn) *h2Client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &h2Client{t: t, Conn: conn, Framer: http2.NewFramer(conn, conn), stream: 1}
	c.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	c.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.block)
	io.WriteString(conn, http2.ClientPreface)
	return c
}

// eachH2 calls f with a connection to a server of o without TLS, and to one
// with it.
func eachH2(t *testing.T, o Options, f func(t *testing.T, dial func(t testing.TB) *h2Client)) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	_, plain := start(t, o, nil)
	_, secure := start(t, o, &tls.Config{Certificates: cert.TLS.Certificates})
	t.Run("h2c", func(t *testing.T) {
		f(t, func(t testing.TB) *h2Client {
			conn, _ := dial(t, plain)
			return dialH2(t, conn)
		})
	})
	t.Run("TLS", func(t *testing.T) {
		f(t, func(t testing.TB) *h2Client {
			conn, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			return dialH2(t, conn)
		})
	})
}

// request is the header of a GET for path, and more.
func request(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":path", path, ":authority", "a.example"}, more...)
}

// encode makes a header block of names and values.
func (c *h2Client) encode(fields []string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.block.Bytes()
}

// open begins a request, and returns its stream.
func (c *h2Client) open(end bool, fields []string) uint32 {
	id := c.stream
	c.stream += 2
	c.header(id, end, fields, maxFrame)
	return id
}

// header sends a header or a trailer in frames of so many bytes.
func (c *h2Client) header(id uint32, end bool, fields []string, size int) {
	block := c.encode(fields)
	part := block[:min(len(block), size)]
	block = block[len(part):]
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		part = block[:min(len(block), size)]
		block = block[len(part):]
		c.WriteContinuation(id, len(block) == 0, part)
	}
}

// outcome waits for what becomes of a stream: the response's status and body,
// "reset CODE", "goaway CODE" or "closed".
func (c *h2Client) outcome(id uint32) string {
	c.t.Helper()
	said := ""
	for {
		f, err := c.ReadFrame()
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				said = f.PseudoValue("status")
			}
		case *http2.DataFrame:
			if f.StreamID == id && len(f.Data()) > 0 {
				said += " " + string(f.Data())
			}
			if n := len(f.Data()); n > 0 {
				c.WriteWindowUpdate(0, uint32(n))
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset " + f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		}
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				c.t.Fatalf("stream %d: nothing comes after %q", id, said)
			}
			return "closed"
		}
		if f.Header().StreamID == id && f.Header().Flags.Has(http2.FlagDataEndStream) && said != "" {
			return said
		}
	}
}

// acknowledged waits for the acknowledgement of SETTINGS, or the end.
func (c *h2Client) acknowledged() string {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				return "acknowledged"
			}
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		}
	}
}

func settings(idsAndValues ...uint32) (s []http2.Setting) {
	for i := 0; i < len(idsAndValues); i += 2 {
		s = append(s, http2.Setting{ID: http2.SettingID(idsAndValues[i]), Val: idsAndValues[i+1]})
	}
	return s
}
