package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimitsOfPoints(t *testing.T) {
	s := open(t, Options{})
	for _, c := range []struct {
		name  string
		point Point
		want  string // empty: it is taken
	}{
		{"nothing", Point{}, ""},
		{"all of it", Point{Index: strings.Repeat("i", 96), Blobs: slicesOf(20, strings.Repeat("b", 800)), Doubles: make([]float64, 20)}, ""},
		{"index", Point{Index: strings.Repeat("i", 97)}, "Size of indexes[0] exceeds 96 bytes"},
		{"blobs", Point{Blobs: make([]string, 21)}, "Maximum of 20 blobs supported"},
		{"doubles", Point{Doubles: make([]float64, 21)}, "Maximum of 20 doubles supported"},
		{"bytes", Point{Blobs: []string{strings.Repeat("b", 16_001)}}, "Cumulative size of blobs exceeds 16000 bytes"},
	} {
		err := s.Write("set", c.point)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := ask(t, s, "SELECT count() FROM set"); got != "2" {
		t.Errorf("%s points are there, want 2", got)
	}
}

func slicesOf(n int, s string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// Points are written within a second, without anybody asking, and are there
// after the store was closed.
func TestFlush(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenStore(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, "set", Point{Doubles: []float64{1}})
		if s.Pending() != 1 {
			t.Error("the point is not in memory")
		}
		time.Sleep(flushAfter)
		synctest.Wait()
		if s.Pending() != 0 {
			t.Error("the point is not written after a second")
		}
		write(t, s, "set", Point{Doubles: []float64{2}})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := OpenStore(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := ask(t, s, "SELECT sum(double1) FROM set"); got != "3" {
		t.Errorf("after closing the sum is %s, want 3", got)
	}
}

// Sums that heed the sample interval are exact for an index value, whatever else
// is written, and near for what the sample is of.
func TestSampling(t *testing.T) {
	s := open(t, Options{})
	for i := range 3500 {
		write(t, s, "set", Point{Index: "busy", Doubles: []float64{float64(i % 2)}})
		if i%100 == 0 {
			write(t, s, "set", Point{Index: "calm"})
		}
	}
	got := ask(t, s, "SELECT index1, count(), sum(_sample_interval), min(_sample_interval) FROM set GROUP BY index1 ORDER BY index1")
	if want := "busy\t1000\t3500\t3\ncalm\t35\t35\t1"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Half of the points are 1: 1750, with a standard deviation of 56.
	if got := ask(t, s, "SELECT sum(double1 * _sample_interval) BETWEEN 1300 AND 2200 FROM set"); got != "1" {
		t.Errorf("the sample is not like the whole: %s", ask(t, s, "SELECT sum(double1 * _sample_interval) FROM set"))
	}
}

// What has no room in memory is dropped, counted and logged, and nothing waits.
func TestMemoryIsBounded(t *testing.T) {
	var log strings.Builder
	s := open(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.writing.Lock() // nothing is written meanwhile
	for i := range 3000 {
		write(t, s, "set", Point{Index: fmt.Sprint(i), Blobs: []string{strings.Repeat("x", 16_000)}})
	}
	if got := s.pending.bytes; got > maxPendingBytes {
		t.Errorf("%d bytes are in memory, want at most %d", got, maxPendingBytes)
	}
	kept := s.Pending()
	s.writing.Unlock()
	if got := ask(t, s, "SELECT count() FROM set"); got != fmt.Sprint(kept) {
		t.Errorf("%s points are there, want %d", got, kept)
	}
	if s.Dropped() != int64(3000-kept) || !strings.Contains(log.String(), "data points are dropped") {
		t.Errorf("%d are said to be dropped of %d that were; log %s", s.Dropped(), 3000-kept, log.String())
	}
}

// Beyond the quota points are lost; what is there can be asked for, and deleted.
func TestQuota(t *testing.T) {
	now := noon
	s := open(t, Options{MaxBytes: 2 << 20, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	fill := func() (failed bool) {
		for range 20 {
			for range 100 {
				write(t, s, "set", Point{Blobs: []string{strings.Repeat("x", 4000)}})
			}
			failed = failed || s.Flush(t.Context()) != nil
		}
		return failed
	}
	if !fill() {
		t.Fatal("8 MB fit into 2 MiB")
	}
	if s.Dropped() == 0 {
		t.Error("what was lost is not counted")
	}
	if got := ask(t, s, "SELECT count() BETWEEN 100 AND 600 FROM set"); got != "1" {
		t.Errorf("count: %s", ask(t, s, "SELECT count() FROM set"))
	}
	now = now.AddDate(0, 4, 0)
	if n, err := s.Sweep(t.Context()); err != nil || n < 100 {
		t.Errorf("swept %d, %v", n, err)
	}
	write(t, s, "set", Point{})
	if err := s.Flush(t.Context()); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
}

// Points are deleted after three months, and data sets without points.
func TestRetention(t *testing.T) {
	now := noon
	s := open(t, Options{Now: func() time.Time { return now }})
	write(t, s, "old", Point{}, Point{})
	write(t, s, "mixed", Point{Doubles: []float64{1}})
	now = noon.AddDate(0, 2, 0)
	write(t, s, "mixed", Point{Doubles: []float64{2}})
	sweep := func(want int) {
		t.Helper()
		if n, err := s.Sweep(context.Background()); err != nil || n != want {
			t.Errorf("swept %d points, %v; want %d", n, err, want)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = noon.AddDate(0, Retention, 0)
	sweep(0)
	now = now.Add(time.Second)
	sweep(3)
	if got := ask(t, s, "SHOW TABLES"); got != "mixed\ttable" {
		t.Errorf("tables: %s", got)
	}
	if got := ask(t, s, "SELECT double1 FROM mixed"); got != "2" {
		t.Errorf("points: %s", got)
	}
	if got := ask(t, s, "SELECT 1 FROM old"); !strings.Contains(got, "unable to find table: old") {
		t.Errorf("the table without points: %s", got)
	}
	write(t, s, "old", Point{})
	if got := ask(t, s, "SELECT count() FROM old"); got != "1" {
		t.Errorf("once more: %s", got)
	}
}

func TestNamesOfDatasets(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "Page_views-2": true, "": false, "a b": false, "ä": false, "a.b": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false} {
		if err := checkDataset(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
