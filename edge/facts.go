package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/telemetry"
)

var facts = sync.Pool{New: func() any { return new(rules.Context) }}

// Facts is r as rules see it, for a stage. With body, rules may look at the
// beginning of the request's body; the stages after still get all of it. The
// caller gives the facts back by Forget.
func Facts(r *http.Request, body bool) *rules.Context {
	c := facts.Get().(*rules.Context)
	record := telemetry.RequestFrom(r.Context())
	c.Method, c.Version = r.Method, r.Proto
	if r.ProtoMajor == 2 {
		c.Version = "HTTP/2"
	}
	c.Host, c.HostHeader = canonical(r.Host), r.Host
	c.Path, c.Query = target.Path(r.URL), r.URL.RawQuery
	// Rules rewrite the URL; RequestURI stays what it was.
	c.RawPath, c.RawQuery = c.Path, c.Query
	if r.RequestURI != "" {
		c.RawPath, c.RawQuery, _ = strings.Cut(r.RequestURI, "?")
	}
	c.Header = r.Header
	c.Scheme, c.ClientIP, c.Ray, c.Start = record.Scheme, record.ClientIP, record.Ray, record.Start
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if t, ok := a.(*net.TCPAddr); ok {
			c.ServerIP, c.ServerPort = address(t), uint16(t.Port)
		}
	}
	if r.TLS != nil {
		c.TLSVersion, c.TLSCipher = tlsVersion(r.TLS), cipherName(r.TLS.CipherSuite)
	}
	if w := r.Header["Cf-Worker"]; len(w) > 0 {
		c.UpstreamZone = w[0]
	}
	if body && r.Body != nil && r.Body != http.NoBody {
		c.Body = func() rules.Body { return beginning(r) }
	}
	return c
}

// Forget takes back what Facts has given.
func Forget(c *rules.Context) {
	c.Reset()
	facts.Put(c)
}

func tlsVersion(t *tls.ConnectionState) string {
	return strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1)
}

// beginning reads the beginning of r's body, and puts it back. What goes wrong
// with the rest is for whoever reads it.
func beginning(r *http.Request) rules.Body {
	data, err := io.ReadAll(io.LimitReader(r.Body, rules.MaxBody))
	b := rules.Body{Data: data, Size: max(r.ContentLength, int64(len(data)))}
	b.Truncated = len(data) == rules.MaxBody && b.Size != rules.MaxBody || err != nil
	rest := io.Reader(r.Body)
	if err != nil {
		rest = broken{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), rest), r.Body}
	return b
}

// broken is the rest of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Rewrite gives a request, which the edge is serving, another path and query, as
// they are written. What a URL cannot hold is encoded, and dot segments are
// resolved, so that whoever reads the URL next sees the same path as the Worker.
func Rewrite(r *http.Request, path, query string) {
	if r.RequestURI == "" { // a Worker's
		r.RequestURI = target.URI(r.URL)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	target.Set(r.URL, normalPath(config.Normalization{Scope: config.NormalizeNothing}, path))
	r.URL.RawQuery, r.URL.ForceQuery = encodeQuery(query), false
}
