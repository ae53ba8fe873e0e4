package queue

import (
	"context"
	"testing"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// A backlog slows nothing: what 32 senders at once get, with and without one.
func BenchmarkSend(b *testing.B) {
	for name, backlog := range map[string]int{"empty": 0, "backlog of a million": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			db, err := keyed.Open(b.TempDir(), keyed.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			s, err := OpenStore(db, Options{})
			if err != nil {
				b.Fatal(err)
			}
			q, err := s.Ensure("jobs")
			if err != nil {
				b.Fatal(err)
			}
			p := q.Producer(-1)
			message := Message{Body: []byte("a line of text"), ContentType: Text}
			batch := make([]Message, MaxBatchMessages)
			for i := range batch {
				batch[i] = message
			}
			for range backlog / len(batch) {
				if err := p.SendBatch(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
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
		})
	}
}
