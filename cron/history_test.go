package cron

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/keyed"
)

func history(t testing.TB) *History {
	t.Helper()
	db, err := keyed.Open(filepath.Join(t.TempDir(), "keyed"), keyed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return NewHistory(db)
}

func minute(n int) time.Time { return time.Date(2026, 11, 25, 12, n, 0, 0, time.UTC) }

func begin(t *testing.T, h *History, worker, expression string, n int) bool {
	t.Helper()
	first, err := h.Begin(Run{Worker: worker, Cron: expression, Time: minute(n)})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestHistory(t *testing.T) {
	h := history(t)
	for n := range 250 {
		if !begin(t, h, "often", "* * * * *", n) {
			t.Fatalf("minute %d is not the first", n)
		}
	}
	if begin(t, h, "often", "* * * * *", 249) {
		t.Error("the same minute twice")
	}
	for name, first := range map[string]bool{"another expression": begin(t, h, "often", "*/1 * * * *", 249), "another Worker": begin(t, h, "oft", "* * * * *", 249)} {
		if !first {
			t.Errorf("%s has not fired for the minute", name)
		}
	}
	ended := Run{Worker: "oft", Cron: "* * * * *", Time: minute(249), Outcome: "exception", Took: 1.5}
	if err := h.End(ended); err != nil {
		t.Fatal(err)
	}
	runs := func(worker string) []Run {
		t.Helper()
		list, err := h.Runs(worker)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := runs("oft"); !slices.Equal(got, []Run{ended}) {
		t.Errorf("runs of oft: %+v", got)
	}
	often := runs("often")
	if len(often) != MaxRuns || !often[0].Time.Equal(minute(249)) || !often[len(often)-1].Time.Equal(minute(151)) {
		t.Errorf("%d runs are kept, from %v to %v", len(often), often[len(often)-1].Time, often[0].Time)
	}
	if all := runs(""); len(all) != MaxRuns+1 || all[0].Worker != "oft" {
		t.Errorf("%d runs of all, the first of %s", len(all), all[0].Worker)
	}
	if n, err := h.Sweep(func(worker string) bool { return worker == "oft" }); n != MaxRuns || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if all := runs(""); len(all) != 1 {
		t.Errorf("%d runs after the sweep", len(all))
	}
}

// scheduled runs a scheduler from and to a time of synctest's clock, which now
// may shift, and returns for which minutes it fired.
func scheduled(t *testing.T, h *History, now func() time.Time, d time.Duration) (fired []string) {
	var source config.Value
	source.Set(&config.Snapshot{Workers: map[string]*config.Worker{"w": {Name: "w", Crons: []string{"* * * * *"}}}})
	minutes := make(chan string, 100)
	s := Scheduler{Source: &source, History: h, Now: now, Fire: func(_ context.Context, _, _ string, at time.Time) (string, error) {
		minutes <- at.Format("15:04")
		return "ok", nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	time.Sleep(d)
	synctest.Wait()
	cancel()
	<-done
	close(minutes)
	for m := range minutes {
		fired = append(fired, m)
	}
	return fired
}

func TestSchedulerFiresOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history(t)
		want := func(what string, got []string, minutes ...string) {
			t.Helper()
			if !slices.Equal(got, minutes) {
				t.Errorf("%s: fired for %v, want %v", what, got, minutes)
			}
		}
		want("two minutes", scheduled(t, h, nil, 2*time.Minute+time.Second), "00:01", "00:02")
		// A server that starts again within the minute, and one that was down.
		want("again", scheduled(t, h, nil, time.Minute), "00:03")
		time.Sleep(5 * time.Minute)
		want("after downtime", scheduled(t, h, nil, time.Minute), "00:09")
		// The clock is set back by three minutes: those that have fired do not again.
		back := func() time.Time { return time.Now().Add(-3 * time.Minute) }
		want("set back", scheduled(t, h, back, 5*time.Minute), "00:07", "00:08", "00:10", "00:11")
		// The clock is slowed down, so that the timer ends before the minute begins.
		slow := time.Now()
		want("slow", scheduled(t, h, func() time.Time { return slow.Add(time.Since(slow) * 99 / 100) }, 3*time.Minute), "00:15", "00:16")
		runs, err := h.Runs("w")
		if err != nil || len(runs) != 10 || slices.ContainsFunc(runs, func(r Run) bool { return r.Outcome != "ok" }) {
			t.Errorf("%v: %+v", err, runs)
		}
	})
}

// crashChild begins runs for the minutes from args[1] on, each of them twice, as a
// scheduler would that was started again, and tells which were the first.
func crashChild(args []string) error {
	db, err := keyed.Open(filepath.Join(args[0], "keyed"), keyed.Options{})
	if err != nil {
		return err
	}
	h := NewHistory(db)
	from, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for n := from; ; n++ {
		for range 2 {
			r := Run{Worker: "w", Cron: "* * * * *", Time: minute(n)}
			first, err := h.Begin(r)
			if err != nil {
				return err
			}
			if first { // here the Worker gets the event
				os.Stdout.WriteString(fmt.Sprintf("%d\n", n))
				r.Outcome = "ok"
				if err := h.End(r); err != nil {
					return err
				}
			}
		}
	}
}

// Whenever the server is killed, and though it begins again with minutes that it
// has fired for: no minute has the event twice.
func TestKill(t *testing.T) {
	crashtest.Child(crashChild)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	fired := map[int]bool{}
	next := 0
	for range 6 {
		c := crashtest.Start(t, dir, fmt.Sprint(max(next-50, 0)))
		left := 1 + r.IntN(40)
		for line := range c.Lines() {
			n, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			if fired[n] {
				t.Errorf("minute %d has the event twice", n)
			}
			fired[n] = true
			next = max(next, n+1)
			if left--; left == 0 {
				time.AfterFunc(time.Duration(r.IntN(2000))*time.Microsecond, c.Kill)
			}
		}
	}
	if len(fired) < 6 {
		t.Errorf("only %d minutes had the event", len(fired))
	}
}
