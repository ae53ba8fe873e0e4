package poll_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name                    string
		happens, patience, took time.Duration
		want                    bool
	}{
		{"at once", 0, 0, 0, true},
		{"after a moment", 10 * time.Millisecond, time.Second, 15 * time.Millisecond, true}, // 1+2+4+8
		{"after a while", 5 * time.Second, time.Minute, 5 * time.Second, true},
		{"too late", 2 * time.Minute, time.Minute, time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				got := poll.Within(c.patience, func() bool { return time.Since(start) >= c.happens })
				took := time.Since(start)
				if got != c.want || took < c.took || took > c.took+50*time.Millisecond {
					t.Errorf("%t after %v, want %t after %v", got, took, c.want, c.took)
				}
			})
		})
	}
}
