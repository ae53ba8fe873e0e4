package telemetry

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines is where a handler writes, also from the goroutine of a timer.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what has been written since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// logTo writes records to l without their times.
func logTo(l *lines) *slog.Logger {
	return slog.New(Thin(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
}

// The first ten of equal lines are written, then how many more there were.
func TestThin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lines
		log := logTo(&b)
		engine := log.With("store", "keyed")
		for i := range 1000 {
			engine.Error(fmt.Sprintf("[JOB %d] file %06d: no space left on device", i, 7*i))
		}
		if n := strings.Count(b.take(), "no space left"); n != 10 {
			t.Errorf("%d lines at once", n)
		}
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		want := `level=ERROR msg="[JOB 999] file 006993: no space left on device (repeated 990 times in 10s)" store=keyed` + "\n"
		if got := b.take(); got != want {
			t.Errorf("got  %swant %s", got, want)
		}
		engine.Error("[JOB 1] file 000001: no space left on device")
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		if got := b.take(); strings.Count(got, "\n") != 1 || strings.Contains(got, "repeated") {
			t.Errorf("once more: %s", got)
		}
	})
}

// Lines that differ in anything but numbers of the message are all written.
func TestThinKeepsWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lines
		log := logTo(&b)
		for i := range 20 {
			log.Info("request", "ray", i)
			log.With("ray", i).Info("request failed")
			log.WithGroup(fmt.Sprint("g", i)).Info("grouped", "a", 1)
			log.Log(t.Context(), slog.Level(i), "leveled")
			log.Info("text " + strings.Repeat("x", i))
		}
		if n := strings.Count(b.take(), "\n"); n != 100 {
			t.Errorf("%d of 100 lines", n)
		}
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		if got := b.take(); strings.Contains(got, "repeated") {
			t.Error(got)
		}
	})
}

// What is remembered is bounded: beyond that every line is written.
func TestThinForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lines
		log := logTo(&b)
		for i := range thinKinds {
			log.Info("known", "i", i)
		}
		b.take()
		for range 20 {
			log.Info("one too many")
		}
		if n := strings.Count(b.take(), "\n"); n != 20 {
			t.Errorf("%d of 20 lines", n)
		}
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		for range 20 {
			log.Info("one too many")
		}
		if n := strings.Count(b.take(), "\n"); n != 10 {
			t.Errorf("%d lines after the interval, want 10", n)
		}
	})
}
