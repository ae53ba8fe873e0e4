package hop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/selvage-edge/selvage/hop/await"
	"github.com/selvage-edge/selvage/hop/target"
	"golang.org/x/net/http/httpguts"
)

// direct is the short way to a single upstream for requests without a body, or
// with a small one that is in memory: the request is written and its response
// read by the goroutine that asks. http.Transport hands both to goroutines of the
// connection, which costs more than everything else on the way; it stays in
// charge of other bodies, which have to be written while the response may already
// be read.
type direct struct {
	dial          func(context.Context) (net.Conn, error)
	maxIdle       int
	idleTimeout   time.Duration
	headerTimeout time.Duration
	maxHeader     int

	mu     sync.Mutex
	idle   []*upstreamConn // the latest used last
	sweep  *time.Timer     // runs while there are idle connections
	closed bool
}

// upstreamConn is one connection. It belongs to one request at a time.
type upstreamConn struct {
	net.Conn
	pool *direct
	r    *bufio.Reader
	out  []byte // the request as it is written
	head []byte // the response's header as it is read
	used time.Time
	// quiet says whether there is nothing to read, neither data nor an end.
	quiet func() bool
}

// suits reports whether a request may take the short way.
func (d *direct) suits(r *http.Request, c *Call) bool {
	return (c.Scheme == "" || c.Scheme == "http") && len(r.Trailer) == 0 &&
		(r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 || len(held(r)) > 0)
}

// maxHeld bounds a body that is written before its response is read. A socket
// takes as much at once, so that an upstream that does not read holds up nobody.
const maxHeld = 16 << 10

// held is the body of a request whose server has it in memory, unread: then
// r.Body has a method Held. Nil for others, and for one of unknown length.
func held(r *http.Request) []byte {
	b, ok := r.Body.(interface{ Held() []byte })
	if !ok || r.ContentLength <= 0 || r.ContentLength > maxHeld {
		return nil
	}
	if data := b.Held(); int64(len(data)) == r.ContentLength {
		return data
	}
	return nil
}

// take returns an idle connection, or nil. One that has anything to read was
// closed by the upstream, or holds what nobody asked for, and is not used.
func (d *direct) take() *upstreamConn {
	for {
		d.mu.Lock()
		n := len(d.idle) - 1
		if n < 0 {
			d.mu.Unlock()
			return nil
		}
		c := d.idle[n]
		d.idle[n] = nil
		d.idle = d.idle[:n]
		d.mu.Unlock()
		if c.quiet() {
			return c
		}
		c.Close()
	}
}

// put gives a connection back whose response was read to its end.
func (d *direct) put(c *upstreamConn) {
	c.used = time.Now()
	d.mu.Lock()
	keep := !d.closed && len(d.idle) < d.maxIdle && c.r.Buffered() == 0
	if keep {
		d.idle = append(d.idle, c)
		if d.sweep == nil {
			d.sweep = time.AfterFunc(d.idleTimeout, d.closeOld)
		}
	}
	d.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// closeOld closes what has been idle for too long.
func (d *direct) closeOld() {
	before := time.Now().Add(-d.idleTimeout)
	d.mu.Lock()
	n := 0
	for n < len(d.idle) && !d.idle[n].used.After(before) {
		n++
	}
	old := append([]*upstreamConn(nil), d.idle[:n]...)
	d.idle = append(d.idle[:0], d.idle[n:]...)
	if len(d.idle) > 0 && !d.closed {
		d.sweep.Reset(time.Until(d.idle[0].used.Add(d.idleTimeout)))
	} else {
		d.sweep = nil
	}
	d.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

func (d *direct) close() {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.closed = nil, true
	if d.sweep != nil {
		d.sweep.Stop()
	}
	d.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

func (d *direct) connect(ctx context.Context) (*upstreamConn, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &upstreamConn{Conn: conn, pool: d, r: bufio.NewReader(conn)}
	c.quiet = quietness(conn)
	return c, nil
}

// quietness makes a check whether c has nothing to read, by a read that does
// not wait. For what is not a socket the answer is always yes; a connection
// that has ended then shows when it is used.
func quietness(c net.Conn) func() bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return func() bool { return true }
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return func() bool { return true }
	}
	var quiet bool
	var one [1]byte
	read := func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), one[:])
		quiet = err == syscall.EAGAIN
		return true // do not wait
	}
	return func() bool { return rc.Read(read) == nil && quiet }
}

// roundTrip sends r with header and reads the header of its response. ok is
// false when the request has to take the other way; nothing was sent then. The
// caller reads the response's body to its end or closes it.
func (d *direct) roundTrip(w http.ResponseWriter, r *http.Request, c *Call, header http.Header) (res *http.Response, reused, ok bool, err error) {
	ctx := r.Context()
	uri := target.URI(r.URL)
	if !plain(uri) || !plain(r.Host) || r.Host == "" || strings.Contains(r.Host, "%") || !httpguts.ValidHostHeader(r.Host) {
		return nil, false, false, nil
	}
	for k, vv := range header {
		if !httpguts.ValidHeaderFieldName(k) {
			return nil, false, false, nil
		}
		for _, v := range vv {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, false, false, nil
			}
		}
	}
	body := held(r)
	for {
		conn := d.take()
		if reused = conn != nil; !reused {
			if conn, err = d.connect(ctx); err != nil {
				return nil, false, true, err
			}
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		n, err := conn.send(r.Method, uri, r.Host, header, body)
		begun := false
		if err == nil {
			res, begun, err = conn.receive(w, r)
		}
		if err == nil && res.StatusCode == http.StatusSwitchingProtocols && stop() {
			switched := &switchedConn{Conn: conn.Conn}
			if conn.r.Buffered() > 0 {
				switched.first = conn.r
			}
			res.Body = switched
			return res, reused, true, nil
		}
		if err == nil {
			res.Body = conn.body(res, stop)
			return res, reused, true, nil
		}
		stop()
		conn.Close()
		// The upstream may have closed an idle connection in this moment. Sending
		// once more is safe if it has seen nothing, or if twice does not matter.
		var timeout net.Error
		late := errors.As(err, &timeout) && timeout.Timeout()
		if reused && !begun && !late && ctx.Err() == nil && (n == 0 || body == nil && repeatable(r.Method)) {
			continue
		}
		return nil, reused, true, err
	}
}

// repeatable methods are those that http.Transport repeats.
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// plain strings have neither spaces nor control characters, and only ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// send writes a request whose parts are valid, and returns how much of it.
func (c *upstreamConn) send(method, uri, host string, header http.Header, body []byte) (int, error) {
	b := append(c.out[:0], method...)
	b = append(append(append(b, ' '), uri...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	for k, vv := range header {
		if k == "Host" || k == "Content-Length" {
			continue
		}
		for _, v := range vv {
			b = append(append(b, k...), ": "...)
			b = append(append(b, textproto.TrimString(v)...), "\r\n"...)
		}
	}
	if len(body) > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(append(b, "\r\n"...), body...)
	if c.out = b; cap(b) > 16<<10 {
		c.out = nil
	}
	return c.Write(b)
}

// receive reads the header of the response and passes on those of informational
// ones. begun: the upstream has said something.
func (c *upstreamConn) receive(w http.ResponseWriter, r *http.Request) (res *http.Response, begun bool, err error) {
	if d := c.pool.headerTimeout; d > 0 {
		c.SetReadDeadline(time.Now().Add(d))
		defer c.SetReadDeadline(time.Time{})
	}
	left := c.pool.maxHeader
	for {
		if begun, err = c.readHead(&left); err != nil {
			return nil, begun, err
		}
		if res, err = parseHead(string(c.head), r); err != nil {
			return nil, true, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, true, nil
		}
		x := exchange{w: w}
		x.informational(res.StatusCode, textproto.MIMEHeader(res.Header))
	}
}

// readHead reads to the empty line, into c.head. left is what the headers of
// this response may still take.
func (c *upstreamConn) readHead(left *int) (begun bool, err error) {
	c.head = c.head[:0]
	if cap(c.head) > 16<<10 {
		c.head = nil
	}
	for start := 0; ; {
		part, err := c.r.ReadSlice('\n')
		c.head = append(c.head, part...)
		begun = len(c.head) > 0
		if *left -= len(part); *left < 0 {
			return begun, errors.New("the response's header is too large")
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF && begun {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return begun, err
		}
		if len(c.head)-start == len("\r\n") && c.head[start] == '\r' {
			return true, nil
		}
		start = len(c.head)
	}
}

// parseHead makes a response of its header. It is strict: cells speak by the
// book, and what two readers could take for different things is refused.
func parseHead(head string, r *http.Request) (*http.Response, error) {
	line, rest, _ := strings.Cut(head, "\r\n")
	proto, status, _ := strings.Cut(line, " ")
	if proto != "HTTP/1.1" && proto != "HTTP/1.0" || len(status) < 3 || len(status) > 3 && status[3] != ' ' || !httpguts.ValidHeaderFieldValue(status) {
		return nil, fmt.Errorf("malformed response: status line %.40q", line)
	}
	code := 0
	for _, d := range []byte(status[:3]) {
		if d < '0' || d > '9' {
			return nil, fmt.Errorf("malformed response: status line %.40q", line)
		}
		code = code*10 + int(d-'0')
	}
	if code < 100 {
		return nil, fmt.Errorf("malformed response: status %d", code)
	}
	res := &http.Response{
		Status: status, StatusCode: code, Proto: proto, ProtoMajor: 1, ProtoMinor: int(proto[7] - '0'),
		Request: r, ContentLength: -1,
	}
	n := strings.Count(rest, "\n")
	values := make([]string, n)
	res.Header = make(http.Header, n)
	for i := range values {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("malformed response: header %.40q", line)
		}
		name = http.CanonicalHeaderKey(name)
		values[i] = value
		if have, ok := res.Header[name]; ok {
			res.Header[name] = append(have, value)
		} else {
			res.Header[name] = values[i : i+1 : i+1]
		}
	}
	return res, frame(res)
}

// frame reads from the header how the response's body is delimited (RFC 9112,
// 6.3): ContentLength is -1 for one in chunks, and for one that ends with the
// connection.
func frame(res *http.Response) error {
	h := res.Header
	res.Close = res.ProtoMinor == 0 || httpguts.HeaderValuesContainsToken(h["Connection"], "close")
	codings, lengths := h["Transfer-Encoding"], h["Content-Length"]
	switch {
	case len(codings) > 1 || len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return fmt.Errorf("malformed response: Transfer-Encoding %q", codings)
	case len(codings) == 1 && (len(lengths) > 0 || res.ProtoMinor == 0):
		return errors.New("malformed response: Transfer-Encoding beside Content-Length or in HTTP/1.0")
	case len(lengths) > 1:
		return fmt.Errorf("malformed response: Content-Length %q", lengths)
	}
	if len(lengths) == 1 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil {
			return fmt.Errorf("malformed response: Content-Length %.40q", lengths[0])
		}
		res.ContentLength = int64(n)
	}
	if len(codings) == 1 {
		res.TransferEncoding = codings
		for _, line := range h["Trailer"] {
			for name := range strings.SplitSeq(line, ",") {
				switch name = http.CanonicalHeaderKey(textproto.TrimString(name)); name {
				case "":
				case "Transfer-Encoding", "Trailer", "Content-Length":
					return fmt.Errorf("malformed response: Trailer %q", name)
				default:
					if res.Trailer == nil {
						res.Trailer = http.Header{}
					}
					res.Trailer[name] = nil
				}
			}
		}
		delete(h, "Trailer")
	}
	switch {
	case res.StatusCode < 200, res.StatusCode == http.StatusNoContent && res.ContentLength <= 0, res.StatusCode == http.StatusNotModified, res.Request.Method == http.MethodHead:
	case res.StatusCode == http.StatusNoContent:
		return errors.New("malformed response: 204 with a Content-Length")
	case res.ContentLength < 0 && len(codings) == 0:
		res.Close = true
	}
	return nil
}

// body makes the reader of the response's body, at whose end the connection
// goes back to the pool. stop ends the watch over the request's context.
func (c *upstreamConn) body(res *http.Response, stop func() bool) io.ReadCloser {
	b := &upstreamBody{c: c, res: res, stop: stop, left: res.ContentLength}
	bodiless := res.Request.Method == http.MethodHead || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified
	switch {
	case bodiless || res.ContentLength == 0:
		if bodiless && res.ContentLength < 0 {
			res.ContentLength = 0
		}
		b.end(true)
		return http.NoBody
	case res.TransferEncoding != nil:
		b.chunks = httputil.NewChunkedReader(c.r)
	}
	return b
}

// switchedConn is a connection after a 101 response.
type switchedConn struct {
	net.Conn
	first *bufio.Reader // what came with the response; nil when that was read
}

func (c *switchedConn) Read(p []byte) (int, error) {
	if c.first != nil {
		if n := c.first.Buffered(); n > 0 {
			return c.first.Read(p[:min(n, len(p))])
		}
		c.first = nil
	}
	return c.Conn.Read(p)
}

// ReadWaiter is for await.Readable.
func (c *switchedConn) ReadWaiter() func() { return waitBehind(&c.first, c.Conn) }

// waitBehind waits for c unless something is left in the buffer before it.
func waitBehind(r **bufio.Reader, c net.Conn) func() {
	wait := await.Readable(c)
	if wait == nil {
		return nil
	}
	return func() {
		if *r == nil || (*r).Buffered() == 0 {
			wait()
		}
	}
}

// CloseWrite ends our half.
func (c *switchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// upstreamBody is the body of a response, read from its connection.
type upstreamBody struct {
	c      *upstreamConn // nil once the body has ended or was closed
	res    *http.Response
	stop   func() bool
	left   int64     // of a body with a length, -1 for others
	chunks io.Reader // of a body in chunks
}

// end lets go of the connection.
func (b *upstreamBody) end(whole bool) {
	c := b.c
	if b.c = nil; c == nil {
		return
	}
	// When stop comes too late the context has ended and closes the connection.
	if b.stop() && whole && !b.res.Close {
		c.pool.put(c)
	} else {
		c.Close()
	}
}

func (b *upstreamBody) Read(p []byte) (n int, err error) {
	switch {
	case b.c == nil:
		return 0, io.EOF
	case b.chunks != nil:
		if n, err = b.chunks.Read(p); err == io.EOF {
			if err = b.trailer(); err == nil {
				err = io.EOF
			}
		}
	case b.left < 0:
		n, err = b.c.r.Read(p)
	default:
		n, err = b.c.r.Read(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		b.end(err == io.EOF)
	}
	return n, err
}

// ReadWaiter is for await.Readable. A body with a length is there soon, and
// waiting for it costs more than the buffer.
func (b *upstreamBody) ReadWaiter() func() {
	if b.c == nil || b.left >= 0 {
		return nil
	}
	return waitBehind(&b.c.r, b.c.Conn)
}

// trailer reads what follows the last chunk.
func (b *upstreamBody) trailer() error {
	left := b.c.pool.maxHeader
	for {
		line, err := b.c.r.ReadSlice('\n')
		if left -= len(line); left < 0 {
			return errors.New("the response's trailer is too large")
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		text, ok := strings.CutSuffix(string(line), "\r\n")
		if text == "" && ok {
			return nil
		}
		name, value, colon := strings.Cut(text, ":")
		value = strings.Trim(value, " \t")
		if !ok || !colon || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || !httpguts.ValidTrailerHeader(name) {
			return fmt.Errorf("malformed response: trailer %.40q", line)
		}
		if b.res.Trailer == nil {
			b.res.Trailer = http.Header{}
		}
		b.res.Trailer.Add(name, value)
	}
}

// Close gives up what was not read.
func (b *upstreamBody) Close() error {
	b.end(false)
	return nil
}
