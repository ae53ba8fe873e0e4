package keyed

import (
	"errors"
	"syscall"
	"testing"
)

func TestFullDiskRefusesCommitsAndRecovers(t *testing.T) {
	d := open(t, t.TempDir())
	if err := d.Set([]byte("qa"), []byte("before")); err != nil {
		t.Fatal(err)
	}
	free := uint64(reserveBytes - 1)
	d.free = func() (uint64, error) { return free, nil }
	batch := func(commit func(Batch) error) error {
		b := d.Batch()
		defer b.Close()
		b.Set([]byte("qa"), []byte("lost"))
		return commit(b)
	}
	for name, write := range map[string]func() error{
		"set":             func() error { return d.Set([]byte("qa"), []byte("lost")) },
		"delete":          func() error { return d.Delete([]byte("qa")) },
		"commit":          func() error { return batch(Batch.Commit) },
		"unsynced commit": func() error { return batch(Batch.CommitUnsynced) },
	} {
		if err := write(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v, want ENOSPC", name, err)
		}
		if got := get(t, d, "qa"); got != "before" {
			t.Errorf("%s: the value is %q", name, got)
		}
	}
	free = reserveBytes
	if err := d.Set([]byte("qa"), []byte("after")); err != nil || get(t, d, "qa") != "after" {
		t.Errorf("with space again: %v, %s", err, get(t, d, "qa"))
	}
}
