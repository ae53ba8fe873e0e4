package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// from connects from one of this machine's loopback addresses.
func from(t *testing.T, client, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

const get, slow = "GET / HTTP/1.1\r\n" + okHost + "\r\n", "GET /slow HTTP/1.1\r\n" + okHost + "\r\n"

func answered(t *testing.T, c net.Conn, br *bufio.Reader) {
	t.Helper()
	io.WriteString(c, get)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
}

func closedByServer(t *testing.T, br *bufio.Reader) {
	t.Helper()
	var timeout net.Error
	if _, err := br.ReadByte(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the connection is open: %v", err)
	}
}

// few is a server of few places. Requests for /slow last until release ends.
func few(t *testing.T, change func(*Options)) (v *Server, addr string, begun, release chan bool) {
	begun, release = make(chan bool, 16), make(chan bool)
	o := options(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/slow" {
			begun <- true
			<-release
		}
		return nil
	})
	change(&o)
	v, addr = start(t, o, nil)
	return v, addr, begun, release
}

func TestOneClientKeepsNobodyOut(t *testing.T) {
	v, addr, begun, release := few(t, func(o *Options) { o.MaxConnsPerClient = 2 })
	for range 2 {
		c, _ := from(t, "127.0.0.2", addr)
		io.WriteString(c, slow)
		<-begun
	}
	_, third := from(t, "127.0.0.2", addr)
	closedByServer(t, third)
	c, br := from(t, "127.0.0.3", addr)
	answered(t, c, br)
	if n := v.Connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
	close(release)
}

func TestTheLongestIdleOfAClientGivesWay(t *testing.T) {
	_, addr, _, _ := few(t, func(o *Options) { o.MaxConnsPerClient = 2 })
	a, first := from(t, "127.0.0.2", addr)
	answered(t, a, first)
	b, second := from(t, "127.0.0.2", addr)
	answered(t, b, second)
	answered(t, a, first) // now the second is idle longer
	c, third := from(t, "127.0.0.2", addr)
	answered(t, c, third)
	closedByServer(t, second)
	answered(t, a, first)
}

func TestTheLongestIdleOfAllGivesWay(t *testing.T) {
	_, addr, begun, release := few(t, func(o *Options) { o.MaxConns = 3 })
	busy, _ := from(t, "127.0.0.2", addr)
	io.WriteString(busy, slow)
	<-begun
	a, first := from(t, "127.0.0.3", addr)
	answered(t, a, first)
	b, second := from(t, "127.0.0.4", addr)
	answered(t, b, second)
	c, third := from(t, "127.0.0.5", addr)
	answered(t, c, third)
	closedByServer(t, first)
	answered(t, b, second)
	close(release)
}

// While everybody is busy a newcomer waits.
func TestWaitForAPlace(t *testing.T) {
	_, addr, begun, release := few(t, func(o *Options) { o.MaxConns = 1 })
	busy, br := from(t, "127.0.0.2", addr)
	io.WriteString(busy, slow)
	<-begun
	c, next := from(t, "127.0.0.3", addr)
	io.WriteString(c, get)
	release <- true
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	if res, err := http.ReadResponse(next, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	closedByServer(t, br)
}

func TestExemptClients(t *testing.T) {
	_, addr, _, _ := few(t, func(o *Options) {
		o.MaxConnsPerClient = 1
		o.Exempt = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.9") }
	})
	a, first := from(t, "127.0.0.9", addr)
	answered(t, a, first)
	b, second := from(t, "127.0.0.9", addr)
	answered(t, b, second)
	answered(t, a, first)
}

// What was counted is forgotten with the connection.
func TestPlacesAreGivenBack(t *testing.T) {
	v, addr, _, _ := few(t, func(*Options) {})
	for i := range 20 {
		c, br := from(t, fmt.Sprintf("127.0.0.%d", 2+i%4), addr)
		answered(t, c, br)
		c.Close()
	}
	poll.Until(t, "no connection is left", func() bool { return v.Connections() == 0 })
	v.places.mu.Lock()
	defer v.places.mu.Unlock()
	if n := len(v.places.clients); n != 0 {
		t.Errorf("%d clients are still known", n)
	}
}

func TestClients(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64",
	} {
		if got := clientOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := clientOf(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("a unix socket counts for %s", got)
	}
}

// A body of which nothing comes is given up; one that comes slowly is not.
func TestStalledBodies(t *testing.T) {
	for _, c := range []struct {
		name string
		wait time.Duration
		want string
	}{{"slow", 59 * time.Second, "200 OK"}, {"stalled", 61 * time.Second, "400 Bad Request"}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failed error
				o := options(func(w http.ResponseWriter, r *http.Request) error {
					_, failed = io.ReadAll(r.Body)
					return failed
				})
				o.BodyTimeout = time.Minute
				v := New(o)
				l := &pipes{conns: make(chan net.Conn)}
				served := make(chan error, 1)
				go func() { served <- v.Serve(t.Context(), l, nil) }()
				client, server := net.Pipe()
				defer client.Close()
				l.conns <- server
				var writer sync.WaitGroup
				defer writer.Wait()
				writer.Go(func() {
					io.WriteString(client, "POST / HTTP/1.1\r\n"+okHost+"Content-Length: 3\r\n\r\n")
					for range 3 {
						time.Sleep(c.wait) // of the bubble's clock
						if _, err := io.WriteString(client, "x"); err != nil {
							return
						}
					}
				})
				res, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil || res.Status != c.want || (failed != nil) != (c.name == "stalled") || failed != nil && failed != ErrStalled {
					t.Errorf("%v %v, the handler had %v", res, err, failed)
				}
				client.Close()
				if err := v.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				<-served
			})
		})
	}
}
