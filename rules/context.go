package rules

import (
	"net/http"
	"net/netip"
	"time"
)

type address = netip.Addr

// Context is a request, and where there is one its response, as expressions see
// it. Whoever has rules evaluated fills in the exported fields and calls Reset
// when it is done with the request, after which the Context can be used for the
// next one: it keeps the memory that evaluations need.
//
// Strings that come out of an evaluation may lie in that memory. They are good
// until Reset; what lives longer is to be cloned. A Context is for one
// goroutine at a time.
type Context struct {
	Method string
	// Scheme is http or https, as the client used it.
	Scheme string
	// Host is in lower case and ASCII, without port and trailing dot.
	Host string
	// Version is "HTTP/1.1", "HTTP/2", …
	Version string
	// Path begins with a slash. Path and Query are as they are written, escapes
	// included; Query comes without its question mark.
	Path, Query string
	// RawPath and RawQuery are those of the request before any rule changed it.
	RawPath, RawQuery string
	// Header has names in Go's canonical form. HostHeader is the header Host, which
	// is not in it.
	Header     http.Header
	HostHeader string

	ClientIP, ServerIP netip.Addr
	ServerPort         uint16

	// Ray is the Ray ID without the colo.
	Ray   string
	Start time.Time
	// TLSVersion and TLSCipher are Cloudflare's names; empty without TLS.
	TLSVersion, TLSCipher string
	// UpstreamZone is the zone of the Worker that sent the request.
	UpstreamZone string
	// Body returns the beginning of the body. It is called at most once, by the
	// first expression that looks at the body; nil is a request without one.
	Body func() Body

	// Status is the response's; 0 while there is none.
	Status int
	// ResponseHeader is what is going to be sent, RawResponseHeader what came,
	// before any rule changed it.
	ResponseHeader, RawResponseHeader http.Header
	// ErrorCode is Cloudflare's number (1000 to 1999) of an error that the edge
	// answered with; ErrorType one of the words of cf.response.error_type.
	ErrorCode int
	ErrorType string

	seed   [16]byte
	seeded bool
	derived
	memory
}

// MaxBody is how much of a body expressions see, in bytes.
//
// Source: https://developers.cloudflare.com/waf/managed-rules/#maximum-body-size
const MaxBody = 128 << 10

// Body is the beginning of a request's body.
type Body struct {
	Data []byte
	// Size of all of it; that of Data if it is not known.
	Size int64
	// Truncated: there is more than Data.
	Truncated bool
}

// derived is what is made of the fields when it is first asked for.
type derived struct {
	uri, fullURI, rawURI, rawFullURI string
	args, rawArgs, cookies, form     *pairs
	headers, response, rawResponse   *pairs
	languages                        []string
	languagesRead, bodyRead          bool
	body                             Body
	parts                            *parts
	document                         string // JSON that was looked into last
	documentValid                    bool
	pairsMemory                      [7]pairs
}

// Reset forgets the request.
func (c *Context) Reset() {
	m, kept := c.memory, c.pairsMemory
	m.reset()
	for i := range kept {
		kept[i].reset()
	}
	*c = Context{memory: m}
	c.pairsMemory = kept
}

// Changed forgets what was made of fields, after a rule has changed one. Strings
// that were handed out stay good.
func (c *Context) Changed() {
	body, read, kept := c.body, c.bodyRead, c.pairsMemory
	c.derived = derived{body: body, bodyRead: read, pairsMemory: kept}
}

// beginning is the beginning of the body.
func (c *Context) beginning() *Body {
	if !c.bodyRead {
		c.bodyRead = true
		if c.Body != nil {
			c.body = c.Body()
		}
	}
	return &c.body
}
