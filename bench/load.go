package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is a closed loop: each connection sends its next request when it has
// the answer to the last one.
type load struct {
	connections int
	duration    time.Duration
}

type result struct {
	requests int
	// rate is successful requests per second.
	rate     float64
	p50, p99 time.Duration
	// failed counts answers other than 200; any is reported.
	failed int
	// cpu is the processor time that the side's processes spent per request,
	// and of it what was spent in workerd; load is the generator's own.
	cpu, engine, load time.Duration
}

// target is an address and what is sent to it, in turns.
type target struct {
	addr     string
	requests [][]byte
}

// request is one with a Host and, if it is a POST, a body.
func request(host, path, body string) []byte {
	if body == "" {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, host, len(body), body)
}

// run measures requests to the targets of a row of s after a short warm-up.
func (l load) run(ctx context.Context, s *side, targets []target) (result, error) {
	warm := load{connections: l.connections, duration: l.duration / 6}
	if _, err := warm.once(ctx, targets); err != nil {
		return result{}, err
	}
	all, engine, own := s.cpu()
	r, err := l.once(ctx, targets)
	if err != nil {
		return result{}, err
	}
	allAfter, engineAfter, ownAfter := s.cpu()
	n := time.Duration(r.requests)
	r.cpu, r.engine, r.load = (allAfter-all)/n, (engineAfter-engine)/n, (ownAfter-own)/n
	return r, nil
}

// once divides the connections among the targets.
func (l load) once(ctx context.Context, targets []target) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration)
	defer cancel()
	var (
		mu        sync.Mutex
		latencies []time.Duration
		failed    int
		errs      []error
		wg        sync.WaitGroup
	)
	start := time.Now()
	for i := range l.connections {
		wg.Go(func() {
			t := targets[i%len(targets)]
			mine, bad, err := t.oneConnection(ctx, i%len(t.requests))
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, mine...)
			failed += bad
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if len(latencies) == 0 {
		return result{}, fmt.Errorf("no request succeeded, %d failed: %w", failed, errors.Join(errs...))
	}
	slices.Sort(latencies)
	return result{
		requests: len(latencies) + failed,

		rate:   float64(len(latencies)) / took.Seconds(),
		p50:    latencies[len(latencies)/2],
		p99:    latencies[len(latencies)*99/100],
		failed: failed + len(errs),
	}, nil
}

// oneConnection keeps one connection busy, from the request at next on. It writes requests and reads answers
// by hand: the load generator shares the cores with what it measures.
func (t target) oneConnection(ctx context.Context, next int) (latencies []time.Duration, failed int, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		conn.SetDeadline(end.Add(10 * time.Second)) // longer than any answer should take
	}
	reader := bufio.NewReader(conn)
	for ; ctx.Err() == nil; next = (next + 1) % len(t.requests) {
		start := time.Now()
		if _, err := conn.Write(t.requests[next]); err != nil {
			return latencies, failed, err
		}
		status, err := readAnswer(reader)
		if err != nil {
			return latencies, failed, err
		}
		if status != http.StatusOK {
			failed++
			continue
		}
		latencies = append(latencies, time.Since(start))
	}
	return latencies, failed, nil
}

// readAnswer reads one whole response and returns its status.
func readAnswer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." {
		return 0, fmt.Errorf("not a response: %.40q", line)
	}
	status, err = strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("not a response: %.40q", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= len("\r\n") {
			break
		}
		const name = "content-length:"
		if line[0]|0x20 == 'c' && len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, err
			}
		}
	}
	if length >= 0 {
		_, err = r.Discard(length)
		return status, err
	}
	// Without a length the body is chunked, on every side.
	_, err = io.Copy(io.Discard, httputil.NewChunkedReader(r))
	if err == nil {
		_, err = r.ReadSlice('\n') // the empty trailer
	}
	return status, err
}
