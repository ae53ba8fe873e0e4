package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
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
	// rate is successful requests per second.
	rate     float64
	p50, p99 time.Duration
	// failed counts answers other than 200; any is reported.
	failed int
}

// run measures GET requests to target after a short warm-up.
func (l load) run(ctx context.Context, target string) (result, error) {
	warm := load{connections: l.connections, duration: l.duration / 6}
	if _, err := warm.once(ctx, target); err != nil {
		return result{}, err
	}
	return l.once(ctx, target)
}

func (l load) once(ctx context.Context, target string) (result, error) {
	u, err := url.Parse(target)
	if err != nil {
		return result{}, err
	}
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
	for range l.connections {
		wg.Go(func() {
			mine, bad, err := oneConnection(ctx, u)
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
		rate:   float64(len(latencies)) / took.Seconds(),
		p50:    latencies[len(latencies)/2],
		p99:    latencies[len(latencies)*99/100],
		failed: failed + len(errs),
	}, nil
}

// oneConnection keeps one connection busy. It writes requests by hand: the
// load generator shares the cores with what it measures, so it must be cheap.
func oneConnection(ctx context.Context, u *url.URL) (latencies []time.Duration, failed int, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	request := []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")
	reader := bufio.NewReader(conn)
	for ctx.Err() == nil {
		start := time.Now()
		conn.SetDeadline(start.Add(10 * time.Second))
		if _, err := conn.Write(request); err != nil {
			return latencies, failed, err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return latencies, failed, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return latencies, failed, err
		}
		if response.StatusCode != http.StatusOK {
			failed++
			continue
		}
		latencies = append(latencies, time.Since(start))
	}
	return latencies, failed, nil
}
