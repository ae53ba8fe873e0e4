package hop

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
	"golang.org/x/net/http/httpguts"
)

// hopByHop are the headers that concern one connection only, besides those
// that Connection names.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// removeHopByHop removes them from h.
func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// upgrade returns "websocket" if the client asks for one. No other protocol is
// switched to: h2c would let a client talk past everything in front of the hop.
func upgrade(r *http.Request) string {
	if r.ProtoMajor == 1 && httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") {
		return "websocket"
	}
	return ""
}

// request makes the outgoing request. The returned body is nil without one.
func (h *Hop) request(r *http.Request, c *Call, up string) (*http.Request, *body) {
	header := make(http.Header, len(r.Header)+8)
	outgoing(header, r, c, up)
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // keeps the transport from sending its own
	}
	out := &http.Request{
		Method:        r.Method,
		URL:           upstreamURL(r.URL, c),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Host:          r.Host,
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer,
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		out.ContentLength = 0
		return out, nil
	}
	b := &body{src: r.Body, http1: r.ProtoMajor == 1}
	out.Body = b
	return out, b
}

// outgoing puts the header of the outgoing request into header.
func outgoing(header http.Header, r *http.Request, c *Call, up string) {
	for k, v := range r.Header {
		header[k] = v
	}
	trailers := httpguts.HeaderValuesContainsToken(header["Te"], "trailers")
	removeHopByHop(header)
	// The server side answers 100 Continue itself, when the body is first read.
	delete(header, "Expect")
	if trailers {
		header["Te"] = []string{"trailers"}
	}
	if up != "" {
		header["Connection"] = []string{"Upgrade"}
		header["Upgrade"] = []string{up}
	}
	if c.Set != nil {
		c.Set(header)
	}
}

// upstreamURL is u at the upstream of c, byte for byte as the client wrote it.
func upstreamURL(u *url.URL, c *Call) *url.URL {
	t := &url.URL{Scheme: c.Scheme, Host: c.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: target.Query(u), ForceQuery: u.ForceQuery}
	if t.Scheme == "" {
		t.Scheme = "http"
	}
	if t.Host == "" {
		t.Host = "cell"
	}
	path := target.Path(u)
	switch {
	case u.Path == "*" && u.Host == "": // OPTIONS *
		t.Path, t.Opaque = "", "*"
	case t.EscapedPath() == path:
	case strings.HasPrefix(path, "//"): // or it would be taken for a host
		t.Opaque = "//" + t.Host + path
	default:
		t.Opaque = path
	}
	return t
}

// body is the client's body on its way out. It remembers how reading ended, to
// tell the client's failures from the upstream's and to know whether the
// client's connection can be used again.
type body struct {
	src   io.ReadCloser
	http1 bool

	mu  sync.Mutex
	end error // first error of Read, io.EOF for a whole body
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if err != nil {
		b.mu.Lock()
		if b.end == nil {
			b.end = err
		}
		b.mu.Unlock()
	}
	return n, err
}

// Close does nothing: the server owns the body, and its Close waits for a Read
// in progress. See release.
func (b *body) Close() error { return nil }

// whole reports whether the body was read to its end.
func (b *body) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end == io.EOF
}

// failed returns the error that cut the body short, or nil.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == io.EOF || b.end == http.ErrBodyReadAfterClose {
		return nil
	}
	return b.end
}

// linger is how long a client that still sends its body after the response may
// go on, so that closing the connection does not take the response with it.
const linger = 500 * time.Millisecond

// release takes the body away from the transport, which may be reading from it
// still, before the handler returns.
func (b *body) release(w http.ResponseWriter) {
	if b.whole() {
		return
	}
	if b.http1 {
		// The deadline frees a Read that waits for the client, and with it Close.
		// Whatever remains on the wire is no request: the connection ends here.
		w.Header().Set("Connection", "close")
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger))
	}
	b.src.Close()
}
