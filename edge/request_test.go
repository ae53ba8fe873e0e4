package edge

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/edge/http1"
)

func TestMethodsThatAreNotServed(t *testing.T) {
	_, addr := start(t, Options{}, nil, func(http.ResponseWriter, *http.Request) error {
		t.Error("reached the Worker")
		return nil
	})
	for name, request := range map[string]string{
		"CONNECT": "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
		"TRACE":   "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
	} {
		if res, _ := ask(t, addr, request); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

// FuzzRequest sends any bytes through a whole edge: no panic, and no Worker
// sees a request for a host or with a target that could not be told apart.
func FuzzRequest(f *testing.F) {
	const host = "Host: a.example\r\n"
	for _, r := range []string{
		"GET / HTTP/1.1\r\n" + host + "\r\n",
		"GET http://b.example/ HTTP/1.1\r\n" + host + "\r\n",
		"GET http:///x HTTP/1.1\r\n" + host + "\r\n",
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Connection: CF-Ray, close\r\nCF-Ray: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\n" + host + "\r\nGET /%2e%2e//x?%zz HTTP/1.1\r\n" + host + "\r\n",
		"GET /\x00 HTTP/1.1\r\n" + host + "\r\n", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
	} {
		f.Add([]byte(r))
	}
	_, addr := start(f, Options{Dev: true}, nil, func(w http.ResponseWriter, r *http.Request) error {
		if !http1.ValidHost(r.Host) || !printable(r.RequestURI) || r.Header.Get("Transfer-Encoding") != "" || len(r.TransferEncoding) > 1 {
			panic("let through: " + r.Host + r.RequestURI)
		}
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write(data)
		conn.(*net.TCPConn).CloseWrite()
		if answer, _ := io.ReadAll(conn); strings.Contains(string(answer), "panic") {
			t.Fatalf("%q: %q", data, answer)
		}
	})
}
