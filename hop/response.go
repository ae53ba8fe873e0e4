package hop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/selvage-edge/selvage/hop/await"
)

// informational passes on a 1xx response. 100 is the server's own business.
func (x *exchange) informational(code int, header textproto.MIMEHeader) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.w == nil || code == http.StatusContinue {
		return nil
	}
	h := x.w.Header()
	before := make(http.Header, len(header))
	for k, v := range header {
		before[k] = h[k]
		h[k] = v
	}
	x.w.WriteHeader(code)
	for k, v := range before { // they belong to the 1xx response alone
		if v == nil {
			delete(h, k)
		} else {
			h[k] = v
		}
	}
	return nil
}

// respond writes the response and returns the number of body bytes written.
func respond(w http.ResponseWriter, r *http.Request, res *http.Response, b *body) int64 {
	defer res.Body.Close()
	removeHopByHop(res.Header)
	h := w.Header()
	for k, v := range res.Header {
		if have, ok := h[k]; ok && k != "Content-Length" {
			h[k] = append(have[:len(have):len(have)], v...)
		} else {
			h[k] = v
		}
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	announced := len(res.Trailer)
	if announced > 0 {
		names := make([]string, 0, announced)
		for k := range res.Trailer {
			names = append(names, k)
		}
		h["Trailer"] = []string{strings.Join(names, ", ")}
	}
	rc := http.NewResponseController(w)
	if b != nil && !b.whole() && b.http1 {
		// The upstream answers before it has the whole body. Without full duplex
		// net/http would now take the rest of the body for itself; with it, it
		// no longer checks how the body ends, so the connection must not be
		// used for another request.
		rc.EnableFullDuplex()
		h["Connection"] = []string{"close"}
	}
	w.WriteHeader(res.StatusCode)

	// A body without a length is a stream: each part goes out as it comes.
	stream := res.ContentLength < 0 && r.Method != http.MethodHead
	if stream {
		rc.Flush()
	}
	n, err := copyBody(w, res.Body, func() {
		if stream {
			rc.Flush()
		}
	})
	if b != nil {
		b.release(w)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(res.Trailer) > 0 {
		rc.Flush() // a response that was sent at once would have no place for them
		for k, v := range res.Trailer {
			if len(res.Trailer) != announced {
				k = http.TrailerPrefix + k
			}
			h[k] = v
		}
	}
	return n
}

// copyBody copies src to dst and calls wrote after each part.
func copyBody(dst io.Writer, src io.Reader, wrote func()) (int64, error) {
	if src == http.NoBody {
		return 0, nil
	}
	var total int64
	if wait := await.Readable(src); wait != nil {
		err := relay(src, wait, func(p []byte) error {
			n, err := dst.Write(p)
			if total += int64(n); err == nil {
				wrote()
			}
			return err
		})
		return total, err
	}
	buf := buffers.Get().(*[buffer]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			m, werr := dst.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
			wrote()
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// switchProtocols joins the client's connection with the upstream's.
func switchProtocols(w http.ResponseWriter, r *http.Request, res *http.Response, c *Call, up string) (int64, error) {
	upstream, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		res.Body.Close()
		return 0, &Error{Kind: Broken, Err: errors.New("101 on a connection that cannot switch protocols")}
	}
	if up == "" || !httpguts.HeaderValuesContainsToken(res.Header["Upgrade"], up) {
		upstream.Close()
		return 0, &Error{Kind: Broken, Err: fmt.Errorf("101 to protocol %q, asked for %q", res.Header.Get("Upgrade"), up)}
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close()
		return 0, &Error{Kind: Broken, Err: fmt.Errorf("take over the client's connection: %w", err)}
	}
	removeHopByHop(res.Header)
	h := w.Header()
	for k, v := range res.Header {
		h[k] = v
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{up}
	buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(buffered)
	buffered.WriteString("\r\n")
	if err := buffered.Flush(); err != nil {
		client.Close()
		upstream.Close()
		return 0, nil // the client has left: there is nobody to tell
	}
	first, _ := buffered.Peek(buffered.Reader.Buffered())
	s := &socket{client: client, first: bytes.Clone(first), upstream: upstream, patience: farewell}
	return s.join(r.Context(), c.Restart), nil
}
