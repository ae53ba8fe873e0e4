package engine

import "time"

// clock is the time by which cells are watched, idle ones stopped, and those
// that failed tried again. Tests move one of their own.
type clock struct {
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
	// every tells the time again and again until stop is called.
	every func(time.Duration) (ticks <-chan time.Time, stop func())
}

var systemClock = clock{
	now:   time.Now,
	after: time.After,
	every: func(d time.Duration) (<-chan time.Time, func()) {
		t := time.NewTicker(d)
		return t.C, t.Stop
	},
}
