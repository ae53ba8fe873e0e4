// Package selvagetest runs a whole platform inside of a test: in a temporary
// directory, with a clock that the test moves, and without sockets unless a
// Worker is in JavaScript. Tests with a platform each can run in parallel.
package selvagetest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/platform"
)

// Start is when the clock of every platform begins: a full hour on a Thursday.
var Start = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// Platform is a platform under test.
type Platform struct {
	*selvage.Platform
	t       testing.TB
	workers []platform.Builtin

	mu  sync.Mutex
	now time.Time
}

// New starts a platform with the Workers of the options and closes it when the
// test ends. What the platform and its Workers log is part of the test's output.
func New(t testing.TB, options ...selvage.Option) *Platform {
	t.Helper()
	p := &Platform{t: t, now: Start}
	defaults := []selvage.Option{
		selvage.WithData(t.TempDir()),
		selvage.WithLogger(slog.New(slog.NewTextHandler(output{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))),
		selvage.WithClock(p.Now),
		selvage.WithPlatform(func(o *platform.Options) { p.workers = o.Builtins }),
	}
	var err error
	if p.Platform, err = selvage.New(t.Context(), append(defaults, options...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// output is the test's log.
type output struct{ t testing.TB }

func (o output) Write(p []byte) (int, error) {
	o.t.Logf("%s", strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// Now is the time on the platform's clock. It stands still until Advance.
func (p *Platform) Now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// Advance moves the clock. Cron triggers of the Workers in Go and of embedded
// projects that come due on the way fire in order, each with the clock at its
// minute; Advance waits for their handlers. A handler that fails fails the test.
func (p *Platform) Advance(d time.Duration) {
	p.t.Helper()
	end := p.Now().Add(d)
	for minute := p.Now().Truncate(time.Minute).Add(time.Minute); !minute.After(end); minute = minute.Add(time.Minute) {
		p.set(minute)
		for _, w := range p.workers {
			for _, text := range w.Worker.Crons {
				if e, err := cron.Parse(text); err != nil || !e.Matches(minute) {
					continue
				}
				if err := p.Scheduled(p.t.Context(), w.Worker.Name, text, minute); err != nil {
					p.t.Errorf("cron %q at %s: %v", text, minute.Format(time.RFC3339), err)
				}
			}
		}
	}
	p.set(end)
}

func (p *Platform) set(now time.Time) {
	p.mu.Lock()
	p.now = now
	p.mu.Unlock()
}

// Client returns an http.Client whose requests enter the edge, without a
// socket: http://api.localhost/ is the Worker api, http://localhost/ the first
// one. It follows no redirects.
func (p *Platform) Client() *http.Client {
	edge := hop.Direct(func(w http.ResponseWriter, r *http.Request) error {
		p.Handler().ServeHTTP(w, r)
		return nil
	})
	return &http.Client{Transport: edge, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Response is a response with its body.
type Response struct {
	*http.Response
	Text string
}

// Get asks for a URL; see Client. A request that gets no response ends the test.
func (p *Platform) Get(url string) Response {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.Do(r)
}

// Do sends a request and reads the response. It ends the test if there is none.
func (p *Platform) Do(r *http.Request) Response {
	p.t.Helper()
	res, err := p.Client().Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%s %s: read the response: %v", r.Method, r.URL, err)
	}
	return Response{res, string(body)}
}
