package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// result is one measurement.
type result struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server, for each request
}

func median(list []result) result {
	by := func(f func(r result) float64) float64 {
		var v []float64
		for _, r := range list {
			v = append(v, f(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return result{
		rate: by(func(r result) float64 { return r.rate }),
		p50:  time.Duration(by(func(r result) float64 { return float64(r.p50) })),
		p99:  time.Duration(by(func(r result) float64 { return float64(r.p99) })),
		cpu:  time.Duration(by(func(r result) float64 { return float64(r.cpu) })),
	}
}

// putKeys is how many keys each connection puts in turn.
const putKeys = 64

// load sends requests until the time is over.
func (s *side) load(ctx context.Context, o options, r row) (result, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: r.conns, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()
	urls := make([][]string, r.conns)
	for i := range urls {
		for n := range max(1, map[bool]int{true: min(putKeys, int(256*mib/max(r.size, 1)))}[r.put]) {
			u, err := s.url(ctx, o, r, fmt.Sprintf("put/%d/%d", i, n))
			if err != nil {
				return result{}, err
			}
			urls[i] = append(urls[i], u)
		}
	}
	content := make([]byte, r.size)
	fill(content)
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, r.conns)
	cpu, start := s.cpu(), time.Now()
	for i := range r.conns {
		group.Go(func() {
			buffer := make([]byte, 256<<10)
			for n := 0; time.Since(start) < o.seconds && failed.Load() == nil; n++ {
				before := time.Now()
				if err := once(ctx, client, r, urls[i][n%len(urls[i])], content, buffer); err != nil {
					failed.Store(&err)
					return
				}
				took[i] = append(took[i], time.Since(before))
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return result{}, *err
	}
	all, elapsed := slices.Concat(took...), time.Since(start)
	slices.Sort(all)
	return result{
		rate: float64(len(all)) / elapsed.Seconds(),
		p50:  all[len(all)/2], p99: all[len(all)*99/100], cpu: (s.cpu() - cpu) / time.Duration(len(all)),
	}, nil
}

// fill makes bytes that nobody compresses or finds twice.
func fill(p []byte) {
	rand.NewChaCha8([32]byte{1}).Read(p)
}

func once(ctx context.Context, client *http.Client, r row, target string, content, buffer []byte) error {
	method, body := http.MethodGet, io.Reader(nil)
	if r.put {
		// Every content is another one.
		method, body = http.MethodPut, io.MultiReader(fresh(), part(content[min(8, len(content)):]))
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if r.put {
		req.ContentLength = r.size
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(discard{}, resp.Body, buffer)
	if err == nil && (resp.StatusCode != http.StatusOK || !r.put && !r.list && n != r.size) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
	}
	return err
}

// discard is no io.ReaderFrom, so that the buffer is used.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// url is a signed request.
func (s *side) url(ctx context.Context, o options, r row, key string) (string, error) {
	if s.client == nil {
		return "http://" + s.address + "/" + r.name, nil
	}
	query := url.Values{}
	switch {
	case r.list:
		query = url.Values{"list-type": {"2"}, "max-keys": {"1000"}, "start-after": {keyOf(o.keys / 2)}}
		u, err := s.client.Presign(ctx, http.MethodGet, listBucket, "", time.Hour, query)
		return text(u), err
	case r.put:
		u, err := s.client.PresignedPutObject(ctx, bucket, r.name+"/"+key, time.Hour)
		return text(u), err
	}
	u, err := s.client.PresignedGetObject(ctx, bucket, r.name, time.Hour, query)
	return text(u), err
}

func text(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

func keyOf(n int) string { return "folder/" + strconv.Itoa(cmp.Or(n, 0)+10_000_000) + ".jpg" }
