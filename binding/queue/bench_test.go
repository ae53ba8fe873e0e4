package queue

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

var benchBacklog = flag.Int("queue.backlog", 1_000_000, "messages of the backlog of BenchmarkSend")

// A backlog slows nothing: what 32 senders at once get, with and without one. Nor
// does it take memory or a longer start: the store is opened anew before it is
// measured.
func BenchmarkSend(b *testing.B) {
	message := Message{Body: []byte("a line of text"), ContentType: Text}
	for _, backlog := range []int{0, *benchBacklog} {
		dir := b.TempDir()
		fill(b, dir, message, backlog)
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			began := time.Now()
			db, q := openJobs(b, dir)
			opened := time.Since(began)
			defer db.Close()
			p := q.Producer(-1)
			b.SetParallelism(16)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := p.Send(context.Background(), message); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(q.Metrics().Count), "messages")
			b.ReportMetric(float64(opened.Milliseconds()), "ms-to-open")
			b.ReportMetric(resident(), "resident-MB")
		})
	}
}

func openJobs(b *testing.B, dir string) (*keyed.DB, *Queue) {
	b.Helper()
	db, err := keyed.Open(dir, keyed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := OpenStore(db, Options{})
	if err != nil {
		b.Fatal(err)
	}
	q, err := s.Ensure("jobs")
	if err != nil {
		b.Fatal(err)
	}
	return db, q
}

// fill sends n messages to an empty queue.
func fill(b *testing.B, dir string, m Message, n int) {
	b.Helper()
	db, q := openJobs(b, dir)
	defer db.Close()
	p := q.Producer(-1)
	batch := make([]Message, MaxBatchMessages)
	for i := range batch {
		batch[i] = m
	}
	for range n / len(batch) {
		if err := p.SendBatch(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// resident is this process's memory in MB; 0 where it cannot be told.
func resident() float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var kb float64
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}
