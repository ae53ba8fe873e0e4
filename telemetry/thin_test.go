package telemetry

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// logTo writes records to a buffer without their times.
func logTo(b *bytes.Buffer) *slog.Logger {
	return slog.New(Thin(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
}

// The first ten of equal lines are written, then how many more there were.
func TestThin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := logTo(&b)
		engine := log.With("store", "keyed")
		for i := range 1000 {
			engine.Error(fmt.Sprintf("[JOB %d] file %06d: no space left on device", i, 7*i))
		}
		if n := strings.Count(b.String(), "no space left"); n != 10 {
			t.Errorf("%d lines at once", n)
		}
		b.Reset()
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		if want := `level=ERROR msg="[JOB 999] file 006993: no space left on device (repeated 990 times in 10s)" store=keyed` + "\n"; b.String() != want {
			t.Errorf("got  %swant %s", b.String(), want)
		}
		b.Reset()
		engine.Error("[JOB 1] file 000001: no space left on device")
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		if n := strings.Count(b.String(), "\n"); n != 1 || strings.Contains(b.String(), "repeated") {
			t.Errorf("once more: %s", b.String())
		}
	})
}

// Lines that differ in anything but numbers of the message are all written.
func TestThinKeepsWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := logTo(&b)
		for i := range 20 {
			log.Info("request", "ray", i)
			log.With("ray", i).Info("request failed")
			log.WithGroup(fmt.Sprint("g", i)).Info("grouped", "a", 1)
			log.Log(t.Context(), slog.Level(i), "leveled")
			log.Info("text " + strings.Repeat("x", i))
		}
		if n := strings.Count(b.String(), "\n"); n != 100 {
			t.Errorf("%d of 100 lines", n)
		}
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		if strings.Contains(b.String(), "repeated") {
			t.Error(b.String())
		}
	})
}

// What is remembered is bounded: beyond that every line is written.
func TestThinForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := logTo(&b)
		for i := range thinKinds {
			log.Info("known", "i", i)
		}
		b.Reset()
		for range 20 {
			log.Info("one too many")
		}
		if n := strings.Count(b.String(), "\n"); n != 20 {
			t.Errorf("%d of 20 lines", n)
		}
		time.Sleep(thinInterval + time.Second)
		synctest.Wait()
		b.Reset()
		for range 20 {
			log.Info("one too many")
		}
		if n := strings.Count(b.String(), "\n"); n != 10 {
			t.Errorf("%d lines after the interval, want 10", n)
		}
	})
}
