package hop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/selvage-edge/selvage/hop/target"
)

// Direct is a handler of this process as an [http.RoundTripper]: no socket and
// no copy of the body lies between client and handler, and both stream. It
// passes on trailers, WebSockets (the response's Body is then an
// io.ReadWriteCloser, as with http.Transport) and the client's cancellation.
//
// An error that the handler returns before it has answered is RoundTrip's. A
// handler that panics with http.ErrAbortHandler breaks the body off; with
// anything else, the panic is the error.
type Direct func(w http.ResponseWriter, r *http.Request) error

var _ http.RoundTripper = Direct(nil)

// errBrokenOff ends the body of a response whose handler gave up.
var errBrokenOff = errors.New("the response broke off")

// RoundTrip implements http.RoundTripper.
func (d Direct) RoundTrip(out *http.Request) (*http.Response, error) {
	if out.URL == nil {
		return nil, errors.New("request has no URL")
	}
	ctx, cancel := context.WithCancelCause(out.Context())
	in := incoming(ctx, out)
	x := &answer{header: http.Header{}, ready: make(chan struct{}), request: out}
	x.reader, x.writer = io.Pipe()
	x.cancel = cancel
	go x.serve(d, in)
	select {
	case <-x.ready:
	case <-ctx.Done():
		// The handler may be writing at this moment; its answer is not wanted.
		x.writer.CloseWithError(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	if x.err != nil {
		cancel(x.err)
		return nil, x.err
	}
	return x.response, nil
}

// incoming makes the request that a server would have read.
func incoming(ctx context.Context, out *http.Request) *http.Request {
	in := out.WithContext(ctx)
	in.Header = out.Header.Clone()
	if in.Header == nil {
		in.Header = http.Header{}
	}
	in.URL = &url.URL{Path: out.URL.Path, RawPath: out.URL.RawPath, RawQuery: out.URL.RawQuery, ForceQuery: out.URL.ForceQuery, Opaque: out.URL.Opaque}
	if in.URL.Path == "" {
		in.URL.Path = "/"
	}
	in.RequestURI = target.URI(in.URL)
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if in.Host == "" {
		in.Host = out.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	} else if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // for a client zero means unknown
	}
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.RemoteAddr = "127.0.0.1:0"
	in.Close, in.Response = false, nil
	if user := out.URL.User; user != nil && in.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		in.SetBasicAuth(user.Username(), password)
	}
	return in
}

// answer is the http.ResponseWriter of a Direct.
type answer struct {
	request *http.Request
	reader  *io.PipeReader
	writer  *io.PipeWriter
	cancel  context.CancelCauseFunc

	header http.Header
	once   sync.Once
	ready  chan struct{} // closed when response or err is set
	wrote  bool          // used by the handler's goroutine alone
	taken  bool

	response *http.Response
	err      error
}

func (x *answer) serve(d Direct, in *http.Request) {
	defer in.Body.Close()
	finished := false
	defer func() {
		if p := recover(); p != nil {
			err := errBrokenOff
			if p != http.ErrAbortHandler {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			x.fail(err)
		} else if !finished {
			x.fail(errBrokenOff) // runtime.Goexit
		}
	}()
	err := d(x, in)
	finished = true
	if x.taken {
		return
	}
	if err != nil {
		x.fail(err)
		return
	}
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
	x.trailers()
	x.writer.Close()
	// The context stays: the client reads on. It ends with the client's own.
}

// fail ends the exchange with an error: RoundTrip's, or of the body.
func (x *answer) fail(err error) {
	x.once.Do(func() { x.err = err; close(x.ready) })
	x.writer.CloseWithError(err)
}

// Header implements http.ResponseWriter.
func (x *answer) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *answer) WriteHeader(status int) {
	if x.wrote || status < 200 && status != http.StatusSwitchingProtocols {
		return // informational responses have no reader here
	}
	x.wrote = true
	h := x.header.Clone()
	for k, v := range h {
		if v == nil || strings.HasPrefix(k, http.TrailerPrefix) {
			delete(h, k)
		}
	}
	res := &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: -1, Request: x.request, Trailer: http.Header{},
		Body: &reply{x.reader, x.cancel},
	}
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			res.Trailer[http.CanonicalHeaderKey(strings.TrimSpace(name))] = nil
		}
	}
	delete(h, "Trailer")
	if n := h.Get("Content-Length"); n != "" {
		var length int64
		if _, err := fmt.Sscan(n, &length); err == nil {
			res.ContentLength = length
		}
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		res.ContentLength = 0
	}
	x.once.Do(func() { x.response = res; close(x.ready) })
}

// Write implements http.ResponseWriter.
func (x *answer) Write(p []byte) (int, error) {
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
	if x.request.Method == http.MethodHead {
		return len(p), nil
	}
	return x.writer.Write(p)
}

// Flush implements http.Flusher: nothing is held back.
func (x *answer) Flush() {
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
}

// EnableFullDuplex is for http.ResponseController: it is always on.
func (x *answer) EnableFullDuplex() error { return nil }

// trailers moves the handler's trailers to the response before its body ends.
func (x *answer) trailers() {
	for k, v := range x.header {
		if name, ok := strings.CutPrefix(k, http.TrailerPrefix); ok {
			x.response.Trailer[http.CanonicalHeaderKey(name)] = v
		}
	}
	for k := range x.response.Trailer {
		if v := x.header[k]; v != nil {
			x.response.Trailer[k] = v
		}
	}
}

// Hijack implements http.Hijacker for a handler that switches protocols. What
// it writes must begin with a response's header.
func (x *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if x.wrote {
		return nil, nil, errors.New("hijack: the response has begun")
	}
	x.wrote, x.taken = true, true
	server, client := net.Pipe()
	go func() {
		from := bufio.NewReader(client)
		res, err := http.ReadResponse(from, x.request)
		if err != nil {
			client.Close()
			x.fail(fmt.Errorf("switch protocols: %w", err))
			return
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			res.Body = &switched{Reader: from, Conn: client}
		}
		x.once.Do(func() { x.response = res; close(x.ready) })
	}()
	return server, bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server)), nil
}

// switched is the body of a 101 response.
type switched struct {
	io.Reader
	net.Conn
}

func (s *switched) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// reply is the body of a response: closing it tells the handler that nobody
// reads on.
type reply struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
}

func (r *reply) Close() error {
	err := r.PipeReader.Close()
	r.cancel(context.Canceled)
	return err
}
