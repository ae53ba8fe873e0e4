package http1

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// wire checks the bytes of an HTTP/1 connection before net/http reads them.
//
// net/http forgives what RFC 9112 lets a server forgive: bare line feeds, folded
// headers, Content-Length beside Transfer-Encoding. Whoever stands in front of
// or behind us may forgive differently, and the difference is how requests are
// smuggled; and after net/http has parsed a request, nothing tells that it
// forgave. So the framing is parsed here once more, strictly, and a connection
// that deviates ends with 400 before the request is complete.
//
// A request line is passed on when it is complete, and with a target that
// net/http takes (see disguise).
//
// Invariant: the blank line that completes a header is never passed on before
// the whole header was found good. The zero value is ready for a new connection.
type wire struct {
	state wireState
	line  []byte // an unfinished line from earlier reads
	// tolerant: what is malformed is not looked at further, and left to net/http.
	tolerant bool
	broken   error // what the next scan returns
	left     int64 // bytes left of a body or chunk
	first    bool  // a request was seen on this connection
	http2    bool  // it began with the preface of HTTP/2

	// of the message being read
	http10, connect, upgrade        bool
	hosts, lengths, codings, chunks int
	length                          int64
	target, host                    string
}

type wireState int

const (
	wireStart   wireState = iota // request line
	wireHeader                   // header lines
	wireBody                     // left bytes of body
	wireSize                     // chunk size line
	wireChunk                    // left bytes of a chunk
	wireCRLF                     // the line end after a chunk
	wireTrailer                  // trailer lines
	wireOpaque                   // HTTP/2, or a WebSocket: no longer ours
)

// maxLine bounds what is kept of an unfinished line. net/http's own limit on a
// header (431) comes first.
const maxLine = MaxHeaderBytes + 8<<10

// errWire is what Read returns for a connection that deviates. net/http answers
// it with a plain 400 and closes. Requests that arrived whole in the same read
// are not answered: who sends such a thing after them gets nothing.
type errWire string

func (e errWire) Error() string { return "malformed request: " + string(e) }

// scan takes the next bytes of the connection and returns what is to be passed
// on: as a rule p itself or its beginning. An error is final.
func (w *wire) scan(p []byte) ([]byte, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	pass := passage{all: p}
	for rest := p; len(rest) > 0; {
		switch w.state {
		case wireOpaque:
			return pass.upTo(len(p)), nil
		case wireBody, wireChunk:
			n := min(w.left, int64(len(rest)))
			w.left -= n
			rest = rest[n:]
			if w.left > 0 {
				return pass.upTo(len(p)), nil
			}
			if w.state == wireBody {
				w.state = wireStart
			} else {
				w.state = wireCRLF
			}
			continue
		}
		at := len(p) - len(rest)
		var held []byte // of an unfinished request line, which was not passed on
		if w.state == wireStart {
			held = w.line
		}
		if w.tolerant && w.state == wireStart && len(held) == 0 && !tokenChar[rest[0]] {
			w.state = wireOpaque // a WebSocket's frame
			continue
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			switch {
			case len(w.line)+len(rest) <= maxLine:
				w.line = append(w.line, rest...)
				if w.state == wireStart {
					return pass.upTo(at), nil
				}
			case w.state != wireStart:
				return nil, errWire("line too long")
			default:
				pass.replace(at, at, held) // net/http says 431
				w.line, w.broken = nil, errWire("line too long")
			}
			return pass.upTo(len(p)), nil
		}
		end := at + i + 1
		line := p[at:end]
		if len(w.line) > 0 {
			w.line = append(w.line, line...)
			line, held = w.line, w.line[:len(held)]
		}
		rest = p[end:]
		start := w.state == wireStart
		disguised, err := w.check(line)
		if err != nil && !w.tolerant {
			return nil, err
		}
		switch {
		case err != nil:
			pass.replace(at, at, held)
			w.state = wireOpaque
		case disguised != "":
			pass.replace(at, end, []byte(disguised))
		case start && len(held) > 0:
			pass.replace(at, end, line)
		}
		w.line = w.line[:0]
		if cap(w.line) > 4<<10 {
			w.line = nil
		}
	}
	return pass.upTo(len(p)), nil
}

// gaveUp reports whether something was left to net/http.
func (w *wire) gaveUp() bool { return w.tolerant && w.state == wireOpaque }

// rest is what was held back when the connection ended.
func (w *wire) rest() []byte {
	if w.state != wireStart {
		return nil
	}
	w.state = wireOpaque
	return w.line
}

// passage is what is passed on of all.
type passage struct {
	all     []byte
	out     []byte // of all[:done], if something of it was replaced
	done    int
	changed bool
}

func (p *passage) replace(from, to int, with []byte) {
	p.out = append(append(p.out, p.all[p.done:from]...), with...)
	p.done, p.changed = to, true
}

func (p *passage) upTo(end int) []byte {
	if !p.changed {
		return p.all[:end]
	}
	return append(p.out, p.all[p.done:end]...)
}

// check handles one line with its end. A request line whose target needs it
// comes back in disguise.
func (w *wire) check(line []byte) (disguised string, err error) {
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "", errWire("a line ends in a bare LF")
	}
	line = line[:len(line)-2]
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", errWire("control character")
		}
	}
	start := w.state == wireStart
	if err := w.take(line); err != nil || !start {
		return "", err
	}
	method, rest, _ := strings.Cut(string(line), " ")
	if t, proto, _ := strings.Cut(rest, " "); needsDisguise(t) {
		return method + " " + hide(t) + " " + proto + "\r\n", nil
	}
	return "", nil
}

// take handles one line, without its end.
func (w *wire) take(line []byte) error {
	switch w.state {
	case wireStart:
		return w.request(string(line))
	case wireHeader:
		if len(line) == 0 {
			return w.framing()
		}
		return w.header(line)
	case wireSize:
		return w.size(line)
	case wireCRLF:
		if len(line) > 0 {
			return errWire("chunk longer than its size")
		}
		w.state = wireSize
	case wireTrailer:
		if len(line) == 0 {
			w.state = wireStart
			return nil
		}
		name, _, err := field(line)
		if err != nil {
			return err
		}
		switch strings.ToLower(string(name)) {
		case "host", "content-length", "transfer-encoding":
			return errWire("framing header in a trailer")
		}
	}
	return nil
}

func (w *wire) request(line string) error {
	if !w.first && line == "PRI * HTTP/2.0" {
		w.state, w.http2 = wireOpaque, true
		return nil
	}
	method, rest, _ := strings.Cut(line, " ")
	target, proto, ok := strings.Cut(rest, " ")
	if !ok || !Token(method) || target == "" || strings.ContainsAny(target, " \t") {
		return errWire("request line")
	}
	if proto != "HTTP/1.1" && proto != "HTTP/1.0" {
		return errWire("HTTP version")
	}
	*w = wire{state: wireHeader, line: w.line, tolerant: w.tolerant, first: true, http10: proto == "HTTP/1.0", connect: method == "CONNECT"}
	switch {
	case w.connect:
	case target[0] == '/':
	case target == "*" && method == "OPTIONS":
	default: // absolute form: its authority must be the Host
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return errWire("request target")
		}
		w.target = rest
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			w.target = rest[:i]
		}
		if w.target == "" {
			return errWire("request target without a host")
		}
	}
	return nil
}

func (w *wire) header(line []byte) error {
	name, value, err := field(line)
	if err != nil {
		return err
	}
	switch len(name) {
	case len("Host"):
		if equalFold(name, "Host") {
			w.hosts++
			w.host = string(value)
		}
	case len("Upgrade"):
		if equalFold(name, "Upgrade") && IsWebSocket([]string{string(value)}) {
			w.upgrade = true
		}
	case len("Content-Length"):
		if equalFold(name, "Content-Length") || equalFold(name, "Content_Length") {
			w.lengths++
			for _, c := range value {
				if c < '0' || c > '9' {
					return errWire("Content-Length")
				}
			}
			if w.length, err = strconv.ParseInt(string(value), 10, 63); err != nil || name[7] == '_' {
				return errWire("Content-Length")
			}
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "Transfer-Encoding") || equalFold(name, "Transfer_Encoding") {
			w.codings++
			if !strings.EqualFold(string(value), "chunked") || name[8] == '_' {
				return errWire("Transfer-Encoding other than chunked")
			}
		}
	}
	return nil
}

// framing decides, at the end of a header, what follows it.
func (w *wire) framing() error {
	switch {
	case w.hosts != 1:
		return errWire("not exactly one Host")
	case !ValidHost(w.host) && !w.connect:
		return errWire("Host")
	case w.target != "" && !strings.EqualFold(w.target, w.host):
		return errWire("request target differs from Host")
	case w.lengths > 1:
		return errWire("more than one Content-Length")
	case w.codings > 1:
		return errWire("more than one Transfer-Encoding")
	case w.codings > 0 && (w.lengths > 0 || w.http10):
		return errWire("Transfer-Encoding beside Content-Length or in HTTP/1.0")
	case w.upgrade && (w.codings > 0 || w.length > 0):
		return errWire("Upgrade with a body")
	case w.connect && w.tolerant:
		w.state = wireOpaque
	case w.upgrade && !w.tolerant:
		w.state = wireOpaque // see IsWebSocket
	case w.codings > 0:
		w.state, w.chunks = wireSize, 0
	case w.length > 0:
		w.state, w.left = wireBody, w.length
	default:
		w.state = wireStart
	}
	return nil
}

func (w *wire) size(line []byte) error {
	digits := line
	if i := bytes.IndexByte(line, ';'); i >= 0 { // an extension, which may be ignored
		digits = line[:i]
	}
	if len(digits) == 0 || len(digits) > 15 || len(line) > 1<<10 {
		return errWire("chunk size")
	}
	n := int64(0)
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return errWire("chunk size")
		}
	}
	w.left, w.state = n, wireChunk
	if n == 0 {
		w.state = wireTrailer
	}
	return nil
}

// field splits a header line and checks the name. Folded lines have none.
func field(line []byte) (name, value []byte, err error) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !Token(string(line[:i])) {
		return nil, nil, errWire(fmt.Sprintf("header name %.40q", line))
	}
	return line[:i], bytes.Trim(line[i+1:], " \t"), nil
}

// IsWebSocket takes the values of Upgrade. It errs on the side of yes. What
// follows such a request on the connection is not looked at: the response of a
// handler that does not switch protocols must end the connection.
func IsWebSocket(upgrade []string) bool {
	for _, v := range upgrade {
		if strings.Contains(strings.ToLower(v), "websocket") {
			return true
		}
	}
	return false
}

// equalFold compares names, which are ASCII.
func equalFold(name []byte, s string) bool { return strings.EqualFold(string(name), s) }

// tokenChar says which bytes may be in a method or a header's name.
var tokenChar = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// Token reports whether s may be a method or a header's name.
func Token(s string) bool {
	for i := range len(s) {
		if !tokenChar[s[i]] {
			return false
		}
	}
	return s != ""
}

// ValidHost reports whether s is a host name or address, with or without a
// port. Names in other scripts come as xn--, as browsers send them.
func ValidHost(s string) bool {
	if len(s) == 0 || len(s) > 260 {
		return false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		a, err := netip.ParseAddr(s[1:end])
		return err == nil && a.Is6() && a.Zone() == "" && validPort(s[end+1:])
	}
	name := s
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if !validPort(s[i:]) {
			return false
		}
		name = s[:i]
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && name[i-1] != '.':
		default:
			return false
		}
	}
	return name != ""
}

// validPort takes "" and ":port".
func validPort(s string) bool {
	if s == "" {
		return true
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s[0] == ':' && len(s) > 1 && len(s) <= 6
}
