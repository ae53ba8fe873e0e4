package analytics

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkWrite writes points of eight values to disk, of many index values.
func BenchmarkWrite(b *testing.B) {
	s := open(b, Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		write(b, s, "set", Point{Index: fmt.Sprint(i % 1000), Blobs: []string{"/a/path", "GET", "DE", "chrome"}, Doubles: []float64{1, 2.5, float64(i), 4}})
		if i%10_000 == 9999 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkQuery groups the last hour of a day of 100,000 points.
func BenchmarkQuery(b *testing.B) {
	s := open(b, Options{})
	for i := range 100_000 {
		write(b, s, "set", Point{Index: fmt.Sprint(i % 1000), Blobs: []string{"/a/path", fmt.Sprint(i % 50)}, Doubles: []float64{float64(i)}, Time: noon.Add(-time.Duration(i) * 864 * time.Millisecond)})
		if i%10_000 == 9999 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, from := range map[string]string{"hour": "'1' HOUR", "day": "'2' DAY"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ask(b, s, "SELECT blob2, sum(_sample_interval), quantileExactWeighted(0.95)(double1, _sample_interval) FROM set WHERE timestamp > NOW() - INTERVAL "+from+" GROUP BY blob2 ORDER BY blob2")
			}
		})
	}
}
