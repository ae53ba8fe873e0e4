package capture_test

import (
	"fmt"
	"testing"

	"github.com/selvage-edge/selvage/storage/capture"
)

// BenchmarkCapture is what a capture of a database costs in which one row has
// changed since the last one, and a look at one in which nothing has.
func BenchmarkCapture(b *testing.B) {
	for _, kib := range []int{20, 1000, 20000} {
		x := newBench(b, capture.Options{})
		x.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
		for i := range max(kib/100, 1) {
			x.exec("INSERT INTO kv VALUES (?, randomblob(?))", i, min(kib, 100)*1000)
		}
		x.capture()
		b.Run(fmt.Sprintf("changed/%d kB", kib), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				x.exec("UPDATE kv SET v = randomblob(100) WHERE k = 0")
				b.StartTimer()
				x.capture()
			}
		})
		b.Run(fmt.Sprintf("synced/%d kB", kib), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				x.exec("UPDATE kv SET v = randomblob(100) WHERE k = 0")
				b.StartTimer()
				if _, err := x.history.Capture(b.Context(), capture.How{Sync: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("unchanged/%d kB", kib), func(b *testing.B) {
			for b.Loop() {
				x.fresh().Changed()
			}
		})
	}
}
