package http1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder notes what reaches a Worker.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (c *recorder) serve(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.seen = append(c.seen, r.Method+" "+r.RequestURI+" "+string(body))
	c.mu.Unlock()
	return nil
}

func (c *recorder) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := strings.Join(c.seen, "; ")
	c.seen = nil
	return s
}

const okHost = "Host: a.example\r\n"

// refused are requests that no Worker may see, each followed on the wire by
// what a smuggler would like to be a request of its own.
var refused = map[string]string{
	"two different lengths":         "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
	"the same length twice":         "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	"a list of lengths":             "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 1, 1\r\n\r\nx",
	"signed length":                 "POST / HTTP/1.1\r\n" + okHost + "Content-Length: +1\r\n\r\nx",
	"negative length":               "POST / HTTP/1.1\r\n" + okHost + "Content-Length: -1\r\n\r\nx",
	"hexadecimal length":            "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 0x1\r\n\r\nx",
	"empty length":                  "POST / HTTP/1.1\r\n" + okHost + "Content-Length:\r\n\r\n",
	"huge length":                   "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 99999999999999999999\r\n\r\n",
	"length with underscore":        "POST / HTTP/1.1\r\n" + okHost + "Content_Length: 1\r\n\r\nx",
	"length and coding":             "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"coding and length":             "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"two codings":                   "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"gzip, chunked":                 "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"identity":                      "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: identity\r\n\r\n",
	"xchunked":                      "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"vertical tab before chunked":   "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	"quoted chunked":                "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
	"coding with underscore":        "POST / HTTP/1.1\r\n" + okHost + "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
	"coding in HTTP/1.0":            "POST / HTTP/1.0\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"folded coding":                 "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"folded header":                 "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\r\n\t2\r\n\r\n",
	"first header folded":           "GET / HTTP/1.1\r\n " + okHost + "\r\n",
	"space before colon":            "GET / HTTP/1.1\r\n" + okHost + "X-A : 1\r\n\r\n",
	"space before coding's colon":   "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"tab in name":                   "GET / HTTP/1.1\r\n" + okHost + "X\tA: 1\r\n\r\n",
	"empty name":                    "GET / HTTP/1.1\r\n" + okHost + ": 1\r\n\r\n",
	"no colon":                      "GET / HTTP/1.1\r\n" + okHost + "X-A\r\n\r\n",
	"non-ASCII name":                "GET / HTTP/1.1\r\n" + okHost + "X-\xc3\xa4: 1\r\n\r\n",
	"parenthesis in name":           "GET / HTTP/1.1\r\n" + okHost + "X(A): 1\r\n\r\n",
	"NUL in value":                  "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\x002\r\n\r\n",
	"DEL in value":                  "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\x7f\r\n\r\n",
	"bare CR in value":              "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\rX-B: 2\r\n\r\n",
	"bare LF ends a header":         "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\nX-B: 2\r\n\r\n",
	"bare LF ends the request line": "GET / HTTP/1.1\n" + okHost + "\r\n",
	"bare LF ends the header":       "GET / HTTP/1.1\r\n" + okHost + "\n",
	"CR CR LF":                      "GET / HTTP/1.1\r\n" + okHost + "X-A: 1\r\r\n\r\n",
	"no host":                       "GET / HTTP/1.1\r\n\r\n",
	"no host in HTTP/1.0":           "GET / HTTP/1.0\r\n\r\n",
	"two hosts":                     "GET / HTTP/1.1\r\n" + okHost + "Host: b.example\r\n\r\n",
	"the same host twice":           "GET / HTTP/1.1\r\n" + okHost + okHost + "\r\n",
	"empty host":                    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"host with slash":               "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"host with user":                "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
	"host with space":               "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
	"host list":                     "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
	"host with markup":              "GET / HTTP/1.1\r\nHost: <b>\r\n\r\n",
	"host with percent":             "GET / HTTP/1.1\r\nHost: a%2e\r\n\r\n",
	"host with empty label":         "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n",
	"host with empty port":          "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
	"host with word as port":        "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
	"unclosed bracket":              "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
	"zone in host":                  "GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n",
	"target of another host":        "GET http://b.example/ HTTP/1.1\r\n" + okHost + "\r\n",
	"target with user":              "GET http://u@a.example/ HTTP/1.1\r\n" + okHost + "\r\n",
	"target with other scheme":      "GET ftp://a.example/ HTTP/1.1\r\n" + okHost + "\r\n",
	"target without slash":          "GET a.example HTTP/1.1\r\n" + okHost + "\r\n",
	"star for GET":                  "GET * HTTP/1.1\r\n" + okHost + "\r\n",
	"target without host":           "GET http:///x HTTP/1.1\r\n" + okHost + "\r\n",
	"two spaces":                    "GET  / HTTP/1.1\r\n" + okHost + "\r\n",
	"space in target":               "GET /a b HTTP/1.1\r\n" + okHost + "\r\n",
	"tab in request line":           "GET\t/ HTTP/1.1\r\n" + okHost + "\r\n",
	"NUL in target":                 "GET /\x00 HTTP/1.1\r\n" + okHost + "\r\n",
	"no version":                    "GET /\r\n" + okHost + "\r\n",
	"version 1.2":                   "GET / HTTP/1.2\r\n" + okHost + "\r\n",
	"version 2 in text":             "GET / HTTP/2.0\r\n" + okHost + "\r\n",
	"lower-case version":            "GET / http/1.1\r\n" + okHost + "\r\n",
	"colon in method":               "GE:T / HTTP/1.1\r\n" + okHost + "\r\n",
	"blank line first":              "\r\nGET / HTTP/1.1\r\n" + okHost + "\r\n",
	"upgrade with body":             "POST / HTTP/1.1\r\n" + okHost + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",

	"chunk size with sign":       chunked + "+1\r\nx\r\n0\r\n\r\n",
	"chunk size with 0x":         chunked + "0x1\r\nx\r\n0\r\n\r\n",
	"chunk size with space":      chunked + "1 \r\nx\r\n0\r\n\r\n",
	"chunk size after space":     chunked + " 1\r\nx\r\n0\r\n\r\n",
	"chunk size with underscore": chunked + "1_0\r\nx\r\n0\r\n\r\n",
	"no chunk size":              chunked + "\r\nx\r\n0\r\n\r\n",
	"chunk size too large":       chunked + "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
	"chunk size ends in LF":      chunked + "1\nx\r\n0\r\n\r\n",
	"chunk ends in LF":           chunked + "1\r\nx\n0\r\n\r\n",
	"chunk longer than its size": chunked + "1\r\nxy\r\n0\r\n\r\n",
	"chunk extension ends in LF": chunked + "1;a\nx\r\n0\r\n\r\n",
	"chunk extension with CR":    chunked + "1;a\rb\r\nx\r\n0\r\n\r\n",
	"trailer ends in LF":         chunked + "0\r\nX-A: 1\n\r\n",
	"length in trailer":          chunked + "0\r\nContent-Length: 1\r\n\r\n",
	"folded trailer":             chunked + "0\r\nX-A: 1\r\n 2\r\n\r\n",
	"last chunk ends in LF":      chunked + "0\n\r\n",
	"body ends in LF":            chunked + "0\r\n\n",
}

const chunked = "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n"

func TestMalformedRequestsAreRefused(t *testing.T) {
	var c recorder
	_, addr := start(t, options(c.serve), nil)
	for name, request := range refused {
		for _, step := range []int{0, 1} { // at once, and byte by byte
			t.Run(name, func(t *testing.T) {
				conn, br := dial(t, addr)
				wire := request + "GET /smuggled HTTP/1.1\r\n" + okHost + "\r\n"
				if step == 0 {
					io.WriteString(conn, wire)
				} else {
					for i := range wire {
						if _, err := io.WriteString(conn, wire[i:i+1]); err != nil {
							break // refused already
						}
					}
				}
				conn.(*net.TCPConn).CloseWrite()
				res, err := http.ReadResponse(br, nil)
				if err == nil {
					if res.StatusCode != 400 {
						t.Errorf("status %d", res.StatusCode)
					}
					io.ReadAll(res.Body)
				} else if step == 0 {
					t.Errorf("no response: %v", err) // byte by byte, a reset may overtake it
				}
				if rest, _ := io.ReadAll(br); len(rest) > 0 {
					t.Errorf("answered more: %q", rest)
				}
				if seen := c.take(); seen != "" {
					t.Errorf("reached the Worker: %s", seen)
				}
			})
		}
	}
}

func TestWellFormedRequestsPass(t *testing.T) {
	var c recorder
	_, addr := start(t, options(c.serve), nil)
	for name, tc := range map[string]struct{ request, seen string }{
		"two on one connection": {"GET /1 HTTP/1.1\r\n" + okHost + "\r\nGET /2 HTTP/1.1\r\n" + okHost + "Connection: close\r\n\r\n", "GET /1 ; GET /2 "},
		"length, then another":  {"POST /1 HTTP/1.1\r\n" + okHost + "Content-Length: 4\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\n" + okHost + "\r\n", "POST /1 \r\n\r\n; GET /2 "},
		"chunks, then another":  {chunked + "4;ext=\"v\"\r\nab\r\n\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nGET /2 HTTP/1.1\r\n" + okHost + "\r\n", "POST / ab\r\n0123456789; GET /2 "},
		"absolute form":         {"GET http://A.example/x?y HTTP/1.1\r\n" + okHost + "\r\n", "GET http://A.example/x?y "},
		"OPTIONS *":             {"OPTIONS * HTTP/1.1\r\n" + okHost + "\r\n", "OPTIONS * "},
		"HTTP/1.0":              {"GET / HTTP/1.0\r\n" + okHost + "\r\n", "GET / "},
		"odd method and value":  {"M-SEARCH / HTTP/1.1\r\n" + okHost + "X-A: \t\xc3\xa4 \t\r\nX_B:\r\n\r\n", "M-SEARCH / "},
		"fragment":              {"GET /a#b HTTP/1.1\r\n" + okHost + "\r\n", "GET /a#b "},
		"a bare percent":        {"GET /sale-100% HTTP/1.1\r\n" + okHost + "\r\nGET /%zz?%zz HTTP/1.1\r\n" + okHost + "\r\n", "GET /sale-100% ; GET /%zz?%zz "},
		"half an escape, body":  {"POST /%e HTTP/1.1\r\n" + okHost + "Content-Length: 2\r\n\r\nabHEAD /%E0%A4%A HTTP/1.1\r\n" + okHost + "\r\n", "POST /%e ab; HEAD /%E0%A4%A "},
		"raw characters":        {"GET /caf\xc3\xa9<\"|^`{}>?<\" HTTP/1.1\r\n" + okHost + "\r\n", "GET /caf\xc3\xa9<\"|^`{}>?<\" "},
		"a disguise, as sent":   {"GET " + disguise + "%2F HTTP/1.1\r\n" + okHost + "\r\n", "GET " + disguise + "%2F "},
		"absolute, half escape": {"GET http://A.example/% HTTP/1.1\r\n" + okHost + "\r\n", "GET http://A.example/% "},
		"IPv6 host":             {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / "},
		"trailing dot":          {"GET / HTTP/1.1\r\nHost: a.example.:80\r\n\r\n", "GET / "},
		"upgrade to h2c":        {"GET /1 HTTP/1.1\r\n" + okHost + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", "GET /1 "},
		"body of a GET":         {"GET / HTTP/1.1\r\n" + okHost + "Content-Length: 1\r\n\r\nx", "GET / x"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, br := dial(t, addr)
			io.WriteString(conn, tc.request)
			conn.(*net.TCPConn).CloseWrite()
			all, _ := io.ReadAll(br)
			if n := bytes.Count(all, []byte("HTTP/1.1 200 OK")) + bytes.Count(all, []byte("HTTP/1.0 200 OK")); n != strings.Count(tc.seen, ";")+1 {
				t.Errorf("answers %q", all)
			}
			if seen := c.take(); seen != tc.seen {
				t.Errorf("the Worker saw %q, want %q", seen, tc.seen)
			}
		})
	}
}

func TestOtherRefusals(t *testing.T) {
	var c recorder
	_, addr := start(t, options(c.serve), nil)
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"header too large":  {"GET / HTTP/1.1\r\n" + okHost + "X-A: " + strings.Repeat("a", 140<<10) + "\r\n\r\n", 431},
		"many headers":      {"GET / HTTP/1.1\r\n" + okHost + strings.Repeat("X-Abcdefgh: 1\r\n", 10000) + "\r\n", 431},
		"other expectation": {"POST / HTTP/1.1\r\n" + okHost + "Expect: much\r\n\r\n", 417},
	} {
		t.Run(name, func(t *testing.T) {
			conn, br := dial(t, addr)
			go io.WriteString(conn, tc.request)
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != tc.status || c.take() != "" {
				t.Errorf("%v %v", res, err)
			}
		})
	}
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	var c recorder
	o := options(c.serve)
	o.HeaderTimeout = 50 * time.Millisecond
	_, addr := start(t, o, nil)
	conn, br := dial(t, addr)
	io.WriteString(conn, "GET / HTTP/1.1\r\nX-Slow: ")
	if _, err := io.ReadAll(br); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

// FuzzWire feeds connections of any bytes, in pieces, to the scanner. However
// they are cut, the verdict is the same, and what passes is read by net/http
// as the same number of requests or fewer.
func FuzzWire(f *testing.F) {
	for _, r := range refused {
		f.Add([]byte(r), 3)
	}
	f.Add([]byte(chunked+"4\r\nabcd\r\n0\r\n\r\nGET / HTTP/1.1\r\n"+okHost+"\r\n"), 1)
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		if step <= 0 || len(data) > 1<<12 {
			return
		}
		var whole, cut wire
		one, a := whole.scan(data)
		var many []byte
		var b error
		for rest := data; len(rest) > 0 && b == nil; {
			n := min(step, len(rest))
			var part []byte
			part, b = cut.scan(rest[:n])
			many = append(many, part...)
			rest = rest[n:]
		}
		if (a == nil) != (b == nil) {
			t.Fatalf("whole: %v, in pieces: %v", a, b)
		}
		if a == nil && whole.state != cut.state {
			t.Fatalf("state %d, in pieces %d", whole.state, cut.state)
		}
		if a == nil && !bytes.Equal(one, many) {
			t.Fatalf("passed on %q, in pieces %q", one, many)
		}
	})
}
