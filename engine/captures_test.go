package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

// A time finds the state of that time; an object that is used by nobody is captured
// on its own, and when its cell ends.
func TestRecoveryByTime(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(pastVersion(b))
	b.get("/past/a/add/one")
	poll.Until(t, "a tick of the files' clock has passed", tick())
	one := time.Now()
	poll.Until(t, "a tick of the files' clock has passed", tick())
	b.recovery.captureAll(t.Context(), b.workers["past"].Shares[0].Version)
	b.get("/past/a/add/two")
	poll.Until(t, "a tick of the files' clock has passed", tick())
	two := time.Now()
	ids, err := objectsIn(filepath.Join(b.objectsDir("past"), "past-Room"))
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	b.killCell("past")
	history := b.recovery.history("past", objectID{"past-Room", ids[0]})
	poll.Until(t, "its last state is kept", func() bool { return !history.Changed() })
	b.get("/past/a/add/three")
	for at, want := range map[time.Time]string{one: "one", two: "one,two", time.Now(): "one,two,three"} {
		b.bookmark("/past/a/next/" + b.bookmark(fmt.Sprint("/past/a/at/", at.UnixMilli())))
		b.get("/past/a/abort")
		var lines string
		fmt.Sscanf(strings.ReplaceAll(b.get("/past/a/look"), `"`, " "), "{ lines : %s", &lines)
		if lines != want {
			t.Errorf("%v: %s, want %s", at, lines, want)
		}
		b.get("/past/a/add/more")
	}
}

// tick gives a condition that holds when the clock by which files are marked, which
// is coarse, has moved on.
func tick() func() bool {
	began := time.Now()
	return func() bool { return time.Since(began) > 30*time.Millisecond }
}

// histories are the files with the earlier states of the objects of a class.
func (b *bench) histories(key string) (files []string) {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(b.o.Dir, historyFolder, key, strings.Repeat("?", 64)))
	if err != nil {
		b.t.Fatal(err)
	}
	return files
}

// Objects that have changed are captured within a minute, and no others; the history
// of a class that is gone is deleted after an hour.
func TestCapturesOnTheirOwn(t *testing.T) {
	clock := newTestClock()
	b := newBench(t, clock.use)
	v := b.deploy(pastVersion(b))
	b.get("/past/a/add/one")
	b.get("/past/b/add/one")
	minute := func() { clock.advance(captureEvery); clock.advance(time.Second) }
	minute()
	poll.Until(t, "both objects are captured", func() bool { return len(b.histories("past-Room")) == 2 })
	sizes := func() (list []int64) {
		for _, path := range b.histories("past-Room") {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, info.Size())
		}
		return list
	}
	poll.Until(t, "captures are over", func() bool { return !b.recovery.busy.Load() })
	before := sizes()
	b.get("/past/a/add/two")
	minute()
	poll.Until(t, "the one that has changed is captured", func() bool { return sizes()[0] != before[0] || sizes()[1] != before[1] })
	poll.Until(t, "captures are over", func() bool { return !b.recovery.busy.Load() })
	if after := sizes(); after[0] != before[0] && after[1] != before[1] {
		t.Errorf("sizes were %v and are %v: both were captured", before, after)
	}

	kept := b.bookmark("/past/a/current")
	b.set()
	poll.Until(t, "the cell is gone", func() bool { return len(b.Cells()) == 0 })
	minute()
	poll.Until(t, "the class is missed", func() bool { return !b.recovery.busy.Load() })
	if len(b.histories("past-Room")) != 2 {
		t.Fatal("the history is gone at once")
	}
	b.deploy(v) // it was a mistake
	b.bookmark("/past/a/next/" + kept)
	b.want("/past/a/abort", `"Error: again"`)
	b.want("/past/a/look", `{"lines":"one,two","born":"one,two","kept":"two"}`)
	b.set()
	poll.Until(t, "the cell is gone", func() bool { return len(b.Cells()) == 0 })
	for range 4 {
		clock.advance(sweepEvery)
		clock.advance(time.Second)
		poll.Until(t, "the sweep is over", func() bool { return !b.recovery.busy.Load() })
	}
	if left := b.histories("*"); len(left) > 0 {
		t.Errorf("left of a class that is gone: %s", left)
	}
}

// The history of an object is bounded, whatever the object does.
func TestHistoryQuota(t *testing.T) {
	b := newBench(t, func(o *Options) { o.HistoryQuota = 256 << 10 })
	v := b.version("past", strings.Replace(past, "async clear()", `async fill(n) {
    for (let i = 0; i < n; i++) {
      await this.ctx.storage.put("blob", crypto.getRandomValues(new Uint8Array(20000)));
      this.last = await this.current();
    }
    return this.last;
  }
  async clear()`, 1), pastVersion(b).Bindings...)
	v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "past-Room"}}
	b.deploy(v)
	b.get("/past/a/add/one")
	first := b.bookmark("/past/a/current")
	last := b.bookmark("/past/a/fill/60")
	files := b.histories("past-Room")
	if len(files) != 1 {
		t.Fatalf("histories: %s", files)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Size() > 3*256<<10 {
		t.Errorf("the history has %d bytes, %v", info.Size(), err)
	}
	b.bookmark("/past/a/next/" + last)
	if got := b.get("/past/a/next/" + first); !strings.HasPrefix(got, `"Error: That is too old: the oldest state`) {
		t.Errorf("the first state: %s", got)
	}
}
