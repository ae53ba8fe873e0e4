package d1

import (
	"testing"
	"time"
)

// TestIdle: an unused database is closed after Options.Idle and opened again
// by the next call.
func TestIdle(t *testing.T) {
	now := time.Unix(1000, 0)
	s, err := OpenStore(t.TempDir(), Options{Now: func() time.Time { return now }, Idle: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := s.Ensure(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		after time.Duration
		call  bool
		open  int64
	}{{0, true, 1}, {time.Hour, false, 1}, {time.Second, false, 0}, {0, true, 1}, {30 * time.Minute, true, 1}, {time.Hour, false, 1}}
	for i, step := range steps {
		now = now.Add(step.after)
		if step.call {
			if _, err := db.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS t(a)"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.closeIdle(); err != nil {
			t.Error(err)
		}
		if got := s.open.Load(); got != step.open {
			t.Errorf("step %d: %d files are open, want %d", i, got, step.open)
		}
	}
}
