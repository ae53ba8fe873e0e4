package http1

import (
	"crypto/tls"
	"net"
	"strings"
)

// h2Conn is an HTTP/2 connection over TLS. It does not tell net/http of the
// TLS, which would want the *tls.Conn itself, past [h2]: net/http finds the
// preface, as without TLS, and ServeHTTP gives each request its TLS.
type h2Conn struct {
	net.Conn // never asked for its ConnectionState
	conn     *tls.Conn
	h2       *h2
}

func newH2Conn(c *tls.Conn) *h2Conn { return &h2Conn{Conn: c, conn: c, h2: newH2(c)} }

// Read is called by one goroutine at a time.
func (c *h2Conn) Read(p []byte) (int, error) { return c.h2.Read(p) }

func (c *h2Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.h2.frames.wrote(n)
	return n, err
}

// inadequate is what a client hears whose TLS does not do for HTTP/2: empty
// SETTINGS, and GOAWAY with INADEQUATE_SECURITY.
const inadequate = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x0c"

// adequate reports whether HTTP/2 may be spoken (RFC 9113, 9.2 and appendix A):
// over TLS 1.3, and over 1.2 with an ephemeral key and an AEAD cipher.
func adequate(state tls.ConnectionState) bool {
	if state.Version != tls.VersionTLS12 {
		return state.Version > tls.VersionTLS12
	}
	suite := tls.CipherSuiteName(state.CipherSuite)
	return strings.HasPrefix(suite, "TLS_ECDHE_") && (strings.Contains(suite, "_GCM_") || strings.Contains(suite, "_CHACHA20_"))
}
