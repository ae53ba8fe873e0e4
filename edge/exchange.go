package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// exchange is the response of one request, and its record.
type exchange struct {
	http.ResponseWriter
	record telemetry.Request
	asked  string // canonical host that is routed, if the request has another one now
	to     destination
	status int // 0: nothing was written yet
	bytes  int64
	closes bool // the connection ends with this response
	failed *fault.Fault
	header func(status int, h http.Header, failed *fault.Fault)
}

type exchangeKey struct{}

// Rename gives a request, which the edge is serving, another host without
// changing which Worker it goes to. It is for stages.
func Rename(r *http.Request, host string) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok && x.asked == "" {
		x.asked = canonical(r.Host)
	}
	r.Host = host
}

// HostOf is the host that a request is routed by, in lower case and without port.
func HostOf(r *http.Request) string {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok && x.asked != "" {
		return x.asked
	}
	return canonical(r.Host)
}

// OnHeader has f called when the header of the response to r is complete, so
// that it can still change it: also that of an error page, of which failed is
// the reason, but not that of a WebSocket. It is for stages; there is one f for
// each request.
func OnHeader(r *http.Request, f func(status int, h http.Header, failed *fault.Fault)) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.header = f
	}
}

// Refused notes that a stage answers r itself, because of f. It is for OnHeader.
func Refused(r *http.Request, f *fault.Fault) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.failed = f
	}
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader adds the headers that every response has.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		x.status = status
		if x.header != nil && status != http.StatusSwitchingProtocols {
			x.header(status, x.Header(), x.failed)
		}
		x.stamp()
		if x.closes {
			x.Header()["Connection"] = []string{"close"}
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) stamp() {
	h := x.Header()
	v := [...]string{x.record.Ray + "-" + telemetry.Colo, "selvage"}
	h["Cf-Ray"], h["Server"] = v[0:1:1], v[1:2:2]
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom: the kernel may send a file.
func (x *exchange) ReadFrom(r io.Reader) (int64, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := io.Copy(x.ResponseWriter, r)
	x.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (x *exchange) Flush() {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	http.NewResponseController(x.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker; it is how a WebSocket begins.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err == nil {
		x.status = http.StatusSwitchingProtocols
		x.stamp()
	}
	return c, rw, err
}
