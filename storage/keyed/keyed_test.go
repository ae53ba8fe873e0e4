package keyed

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func open(t testing.TB, dir string) *DB {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func get(t *testing.T, d *DB, key string) string {
	t.Helper()
	v, found, err := d.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if !found {
		return "(none)"
	}
	return string(v.Bytes)
}

func TestBatchTakesEffectTogether(t *testing.T) {
	d := open(t, t.TempDir())
	for i := range 10 {
		if err := d.Set(fmt.Appendf(nil, "qa%d", i), []byte("old")); err != nil {
			t.Fatal(err)
		}
	}
	b := d.Batch()
	defer b.Close()
	b.DeleteRange([]byte("qa2"), []byte("qa5"))
	b.Set([]byte("qa3"), []byte("new"))
	b.Delete([]byte("qa9"))
	if got := get(t, d, "qa3"); got != "old" {
		t.Errorf("before commit: %s", got)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	d.Scan([]byte("qa"), After([]byte("qa")), func(k, v []byte) bool {
		keys = append(keys, string(k)+"="+string(v))
		return len(keys) < 4
	})
	if got, want := strings.Join(keys, " "), "qa0=old qa1=old qa3=new qa5=old"; got != want {
		t.Errorf("scan: got %s, want %s", got, want)
	}
	if got := get(t, d, "qa9"); got != "(none)" {
		t.Errorf("deleted key: %s", got)
	}
}

func TestAfterIsTheLeastUpperBound(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\x01": "a\xff\x02", "\xff\xff": "", "": ""} {
		if got := string(After([]byte(prefix))); got != want {
			t.Errorf("After(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func TestOneProcessHoldsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another selvage") {
		t.Errorf("second open: %v", err)
	}
}

func TestCheckpointIsACopyOfTheMoment(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "live"))
	d.Set([]byte("ka"), []byte("1"))
	copied := filepath.Join(t.TempDir(), "copy")
	if err := d.Checkpoint(copied); err != nil {
		t.Fatal(err)
	}
	d.Set([]byte("ka"), []byte("2"))
	if got := get(t, open(t, copied), "ka"); got != "1" {
		t.Errorf("checkpoint holds %s, want 1", got)
	}
}

// A counter begins with 1, and counts what was committed.
func TestNext(t *testing.T) {
	d := open(t, t.TempDir())
	for _, step := range []struct {
		want   uint64
		commit bool
	}{{1, true}, {2, false}, {2, true}, {3, true}} {
		b := d.Batch()
		n, err := b.Next([]byte("q number"))
		if err == nil && step.commit {
			err = b.Commit()
		}
		b.Close()
		if n != step.want || err != nil {
			t.Errorf("got %d, %v, want %d", n, err, step.want)
		}
	}
}
