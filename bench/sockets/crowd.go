package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// crowd is the clients of one measurement. It reads by hand, and little, for it
// shares the processors with what it measures.
type crowd struct {
	address, host string
	conns         []net.Conn
	ticks         chan time.Time // one for each message that a client has got
	made          int            // instances of the object so far
}

// abreast is how many clients connect at a time.
const abreast = 64

// open connects n clients and waits until all are served.
func (c *crowd) open(ctx context.Context, kind string, n int) error {
	c.ticks = make(chan time.Time, n)
	var (
		mu    sync.Mutex
		errs  error
		wg    sync.WaitGroup
		place = make(chan struct{}, abreast)
	)
	for i := range n {
		place <- struct{}{}
		wg.Go(func() {
			defer func() { <-place }()
			conn, r, err := c.connect(ctx, kind, i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if errs == nil {
					errs = err
				}
				return
			}
			c.conns = append(c.conns, conn)
			go c.listen(r)
		})
		mu.Lock()
		failed := errs != nil
		mu.Unlock()
		if failed {
			break
		}
	}
	wg.Wait()
	if kind == "sse" && errs == nil {
		_, err := c.collect(ctx, time.Now()) // each stream begins with one
		errs = err
	}
	return errs
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// connect makes one connection and reads the header of its response. An address
// may have 1,024 of them, so every thousand come from another one.
func (c *crowd) connect(ctx context.Context, kind string, i int) (net.Conn, *bufio.Reader, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i/1000))}
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: 30 * time.Second}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, nil, err
	}
	request := "GET /" + kind + " HTTP/1.1\r\nHost: " + c.host + "\r\n"
	status := "200"
	if kind != "sse" {
		request += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		status = "101"
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReaderSize(conn, 512)
	_, err = io.WriteString(conn, request+"\r\n")
	line, readErr := r.ReadString('\n')
	switch err = errors.Join(err, readErr); {
	case err != nil:
	case !strings.Contains(line, " "+status+" "):
		err = fmt.Errorf("the answer is %q", line)
	default:
		for line != "\r\n" && err == nil {
			line, err = r.ReadString('\n')
		}
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("connection %d: %w", i+1, err)
	}
	conn.SetDeadline(time.Time{})
	return conn, r, nil
}

// listen notes when messages come. Neither chunks nor frames begin with the
// word, and nothing else is sent.
func (c *crowd) listen(r *bufio.Reader) {
	for {
		word, err := r.ReadSlice('k')
		if err != nil {
			return
		}
		if bytes.HasSuffix(word, []byte("tick")) {
			c.ticks <- time.Now()
		}
	}
}

// tick has the object send to all, and says when the clients got it.
func (c *crowd) tick(ctx context.Context) ([]time.Duration, error) {
	begin := time.Now()
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "GET /tick HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	_, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	var n int
	if _, err := fmt.Sscan(string(body), &n, &c.made); err != nil || n != len(c.conns) {
		return nil, fmt.Errorf("the object has sent to %d connections of %d: %q", n, len(c.conns), answer)
	}
	return c.collect(ctx, begin)
}

// collect waits for one message at each client.
func (c *crowd) collect(ctx context.Context, begin time.Time) ([]time.Duration, error) {
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	var list []time.Duration
	for len(list) < len(c.conns) {
		select {
		case at := <-c.ticks:
			list = append(list, at.Sub(begin))
		case <-late.C:
			return nil, fmt.Errorf("%d of %d clients got the message within a minute", len(list), len(c.conns))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return list, nil
}
