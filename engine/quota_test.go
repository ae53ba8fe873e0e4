package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// A Worker with a Durable Object over the quota is stopped within a minute, and
// told why when it does not start; it runs again once the quota has room.
func TestObjectsQuota(t *testing.T) {
	clock := newTestClock()
	b := newBench(t, func(o *Options) { clock.use(o); o.ObjectsQuota = 1 << 20 })
	b.deploy(b.counter(0))
	b.want("/do/", "1")
	poll.Until(t, "the request is over", func() bool { cell, ok := b.cellOf("do"); return ok && cell.InFlight == 0 })
	clock.advance(2 * time.Minute)
	clock.advance(time.Second)
	b.want("/do/", "2") // it is below the quota

	files, err := filepath.Glob(filepath.Join(b.objectsDir("do"), "do-Counter", "*.sqlite"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	fat := filepath.Join(filepath.Dir(files[0]), strings.Repeat("f", 64)+".sqlite")
	if err := os.WriteFile(fat, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.advance(30 * time.Second)
	clock.advance(45 * time.Second)
	poll.Until(t, "its cell is stopped", func() bool { return len(b.Cells()) == 0 })
	_, body, err := b.ask("/do/")
	if text := body + errText(err); !strings.Contains(text, "raise quotas.durable_object") {
		t.Errorf("over the quota: %s", text)
	}
	if err := os.Remove(fat); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Minute) // whatever the wait for the next try is
	clock.advance(time.Second)
	b.want("/do/", "3")
}

// All Durable Objects of a Worker share a bound: with one byte over it the Worker
// does not start.
func TestWorkerObjectsQuota(t *testing.T) {
	clock := newTestClock()
	b := newBench(t, func(o *Options) { clock.use(o); o.WorkerObjectsQuota = 2 << 20 })
	write := func(class string, size int) string {
		t.Helper()
		path := filepath.Join(b.objectsDir("do"), class, strings.Repeat("f", 64)+".sqlite")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("do-One", 1<<20)
	other := write("do-Other", 1<<20)
	if err := b.overQuota("do"); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	write("do-Other", 1<<20+1)
	b.deploy(b.counter(0))
	_, body, err := b.ask("/do/")
	if text := body + errText(err); !strings.Contains(text, "take 2097153 bytes and the quota is 2097152: raise quotas.worker_durable_objects") {
		t.Errorf("over the quota: %s", text)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Minute) // whatever the wait for the next try is
	clock.advance(time.Second)
	b.want("/do/", "1")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
