package dev

import (
	"errors"
	"net"
	"strconv"
	"sync"
)

// listenBoth listens on host; for "localhost" on both of its addresses, since
// browsers and tools differ in which one they try.
func listenBoth(host string, port int) (net.Listener, error) {
	if host != "localhost" {
		return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	}
	four, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	_, chosen, _ := net.SplitHostPort(four.Addr().String())
	six, err := net.Listen("tcp6", net.JoinHostPort("::1", chosen))
	if err != nil {
		return four, nil // a machine without IPv6
	}
	return newPair(four, six), nil
}

// pair accepts from two listeners.
type pair struct {
	net.Listener // the first; gives the address
	second       net.Listener
	accepted     chan accepted
	closed       chan struct{}
	close        func() error
}

type accepted struct {
	conn net.Conn
	err  error
}

func newPair(first, second net.Listener) *pair {
	p := &pair{Listener: first, second: second, accepted: make(chan accepted), closed: make(chan struct{})}
	p.close = sync.OnceValue(func() error {
		close(p.closed)
		return errors.Join(first.Close(), second.Close())
	})
	for _, l := range []net.Listener{first, second} {
		go func() {
			for {
				conn, err := l.Accept()
				select {
				case p.accepted <- accepted{conn, err}:
				case <-p.closed:
					if conn != nil {
						conn.Close()
					}
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
	return p
}

func (p *pair) Accept() (net.Conn, error) {
	select {
	case a := <-p.accepted:
		return a.conn, a.err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pair) Close() error { return p.close() }
