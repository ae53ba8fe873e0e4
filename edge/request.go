package edge

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// check refuses what no Worker should see, on every version of HTTP. What only
// HTTP/1 can get wrong, wire has refused before.
func check(r *http.Request) *fault.Fault {
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return &fault.Fault{Status: http.StatusMethodNotAllowed, Title: "Method not allowed", Message: "CONNECT and TRACE are not served."}
	case !http1.Token(r.Method):
		return fault.BadRequest.With("The method is not valid.", nil)
	case !http1.ValidHost(r.Host):
		return fault.BadRequest.With("The host is not valid.", nil)
	case !printable(r.RequestURI) || !printable(r.URL.RawQuery):
		return fault.BadRequest.With("The URL holds a space or a control character.", nil)
	}
	if h, ok := r.Header["Host"]; ok { // HTTP/2, beside :authority
		if len(h) != 1 || !strings.EqualFold(h[0], r.Host) {
			return fault.BadRequest.With("The host is given twice.", nil)
		}
		delete(r.Header, "Host")
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// kept are the CF- headers that clients send with good reason: the credentials
// of Access, which are verified wherever they are used.
var kept = map[string]bool{
	"Cf-Access-Client-Id": true, "Cf-Access-Client-Secret": true,
	"Cf-Access-Token": true, "Cf-Access-Jwt-Assertion": true,
}

// clean removes what only we may say: CF- headers, our private headers, and
// whatever Connection names, so that a client cannot have a later hop remove a
// header that we add.
func clean(h http.Header) {
	if c, ok := h["Connection"]; ok {
		upgrade := false
		for _, line := range c {
			for name := range strings.SplitSeq(line, ",") {
				name = textproto.TrimString(name)
				if strings.EqualFold(name, "upgrade") {
					upgrade = true
				} else if !strings.EqualFold(name, "te") {
					h.Del(name)
				}
			}
		}
		delete(h, "Connection")
		if upgrade {
			h["Connection"] = []string{"Upgrade"}
		}
	}
	for k := range h {
		if len(k) > 3 && k[0] == 'C' && k[1] == 'f' && k[2] == '-' && !kept[k] ||
			k[0] == 'S' && strings.HasPrefix(k, "Selvage-") || k == "True-Client-Ip" || k == "X-Real-Ip" {
			delete(h, k)
		}
	}
}

// accept makes the record of a request from outside and sets the headers that
// Cloudflare sets for a Worker.
//
// Source: https://developers.cloudflare.com/fundamentals/reference/http-headers/
func (e *Edge) accept(r *http.Request, record *telemetry.Request) {
	c := connectionOf(r)
	h := r.Header
	client, scheme := c.remote, "http"
	if r.TLS != nil {
		scheme = "https"
	}
	forwarded := ""
	if e.trusts(c.remote) {
		client = e.clientBehind(c.remote, h)
		forwarded = strings.Join(h["X-Forwarded-For"], ", ")
		if p := h.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
			scheme = p
		}
	}
	clean(h)
	*record = telemetry.Request{Ray: telemetry.NewRay(), Scheme: scheme, ClientIP: client, Start: time.Now(), CF: c.requestCF(r), Loops: hop.Loops(h)}
	remote := c.text()
	ip := remote
	if client != c.remote {
		ip = client.String()
	}
	if forwarded != "" {
		remote = forwarded + ", " + remote
	}
	setIdentity(h, record, ip)
	h["X-Forwarded-For"] = []string{remote}
}

// setIdentity sets what a Worker may believe about the client.
func setIdentity(h http.Header, record *telemetry.Request, ip string) {
	visitor := `{"scheme":"http"}`
	if record.Scheme == "https" {
		visitor = `{"scheme":"https"}`
	}
	// One piece of memory for all of them, of which each has its own part.
	v := [...]string{record.Ray + "-" + telemetry.Colo, ip, ip, record.Scheme, visitor}
	h["Cf-Ray"] = v[0:1:1]
	h["Cf-Connecting-Ip"] = v[1:2:2]
	h["X-Real-Ip"] = v[2:3:3]
	h["X-Forwarded-Proto"] = v[3:4:4]
	h["Cf-Visitor"] = v[4:5:5]
}

func (e *Edge) trusts(a netip.Addr) bool {
	for _, p := range e.options.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientBehind finds the client behind trusted proxies: the last address in
// X-Forwarded-For that is not a trusted proxy's. CF-Connecting-IP counts only
// without X-Forwarded-For, because a proxy that adds to the one may pass on a
// client's forgery of the other.
func (e *Edge) clientBehind(remote netip.Addr, h http.Header) netip.Addr {
	list := h["X-Forwarded-For"]
	if len(list) == 0 {
		list = h["Cf-Connecting-Ip"]
	}
	addrs := strings.Split(strings.Join(list, ","), ",")
	for i := len(addrs) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(textproto.TrimString(addrs[i]))
		if err != nil {
			return remote
		}
		remote = a.Unmap().WithZone("")
		if !e.trusts(remote) {
			return remote
		}
	}
	return remote
}

// cfBlob is request.cf, made once per connection as long as its inputs stay.
type cfBlob struct {
	encoding, proto string
	json            json.RawMessage
}

func (c *connection) requestCF(r *http.Request) json.RawMessage {
	encoding := ""
	if v := r.Header["Accept-Encoding"]; len(v) > 0 {
		encoding = v[0]
	}
	if b := c.cf.Load(); b != nil && b.encoding == encoding && b.proto == r.Proto {
		return b.json
	}
	b := &cfBlob{encoding: encoding, proto: r.Proto, json: makeCF(r.Proto, encoding, r.TLS)}
	c.cf.Store(b)
	return b.json
}

// makeCF makes request.cf of what this machine knows. Fields that need a
// database (country, asn, …) are left out rather than guessed.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties
func makeCF(proto, encoding string, t *tls.ConnectionState) json.RawMessage {
	if strings.HasPrefix(proto, "HTTP/2") {
		proto = "HTTP/2"
	}
	cf := struct {
		Colo                 string            `json:"colo"`
		HTTPProtocol         string            `json:"httpProtocol"`
		ClientAcceptEncoding string            `json:"clientAcceptEncoding"`
		RequestPriority      string            `json:"requestPriority"`
		TLSVersion           string            `json:"tlsVersion"`
		TLSCipher            string            `json:"tlsCipher"`
		TLSClientAuth        map[string]string `json:"tlsClientAuth"`
	}{
		Colo: telemetry.Colo, HTTPProtocol: proto, ClientAcceptEncoding: encoding,
		TLSClientAuth: map[string]string{"certPresented": "0", "certVerified": "NONE"},
	}
	if t != nil {
		cf.TLSVersion = strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1)
		cf.TLSCipher = cipherName(t.CipherSuite)
	}
	data, _ := json.Marshal(cf) // strings only
	return data
}

// cipherName is Cloudflare's (BoringSSL's) name of a cipher suite.
func cipherName(id uint16) string {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return "AEAD-AES128-GCM-SHA256"
	case tls.TLS_AES_256_GCM_SHA384:
		return "AEAD-AES256-GCM-SHA384"
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return "AEAD-CHACHA20-POLY1305-SHA256"
	}
	name := strings.TrimPrefix(tls.CipherSuiteName(id), "TLS_")
	name = strings.NewReplacer("_WITH", "", "AES_", "AES", "_SHA256", "-SHA256", "_", "-").Replace(name)
	if strings.Contains(name, "CHACHA20") {
		name = strings.TrimSuffix(name, "-SHA256")
	}
	return name
}

// depth reads the number of Workers that a request has passed through.
// Workers that pass their request on with its headers carry it along.
func depth(h http.Header) int {
	n, err := strconv.Atoi(h.Get("Cf-Ew-Via"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
