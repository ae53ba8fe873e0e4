package rollout

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// BenchmarkDeploy measures deploys, one after the other, of a Worker that gets
// one request after each. It reports medians: put-ms until the deploy was
// answered, first-ms for the first request after that, new-ms until the new
// version answered; and stale, the part of the first requests that an older
// version answered, and the cells there are after the last one.
func BenchmarkDeploy(b *testing.B) {
	for _, previews := range []bool{false, true} {
		b.Run(fmt.Sprintf("previews=%t", previews), func(b *testing.B) {
			s := servertest.Start(b)
			put(b, s, 0)
			subdomain(b, s, previews)
			client := &http.Client{}
			defer client.CloseIdleConnections()
			answer := func() int64 {
				n, err := ask(client, s.Edge)
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			answer()
			var puts, firsts, news []time.Duration
			stale, n := 0, int64(0)
			for b.Loop() {
				n++
				begin := time.Now()
				put(b, s, int(n))
				done := time.Now()
				puts = append(puts, done.Sub(begin))
				first := answer()
				firsts = append(firsts, time.Since(done))
				if first != n {
					stale++
				}
				for first != n {
					first = answer()
				}
				news = append(news, time.Since(done))
			}
			median := func(d []time.Duration) float64 {
				slices.Sort(d)
				return float64(d[len(d)/2].Microseconds()) / 1000
			}
			b.ReportMetric(median(puts), "put-ms")
			b.ReportMetric(median(firsts), "first-ms")
			b.ReportMetric(median(news), "new-ms")
			b.ReportMetric(float64(stale)/float64(len(firsts)), "stale")
			b.ReportMetric(float64(cells(b, s, "running")+cells(b, s, "draining")), "cells")
			b.ReportMetric(0, "ns/op")
		})
	}
}
