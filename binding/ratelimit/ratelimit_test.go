package ratelimit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// clock is a time that a test moves by hand.
type clock struct{ unix atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.unix.Load(), 0) }

func limiter(t *testing.T, s *Store, namespace string, limit int, period time.Duration) *Limiter {
	t.Helper()
	l, err := s.Limiter(namespace, limit, period)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func allowed(t *testing.T, l *Limiter, key string) bool {
	t.Helper()
	ok, err := l.Limit(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestWindowsAreAlignedToTheEpoch(t *testing.T) {
	var c clock
	c.unix.Store(1_000_009)
	l := limiter(t, NewStore(c.now), "1", 2, ShortPeriod)
	for i, want := range []bool{true, true, false, false} {
		if got := allowed(t, l, "a"); got != want {
			t.Errorf("use %d: %v", i, got)
		}
	}
	c.unix.Store(1_000_010) // a second later, but the next window
	if !allowed(t, l, "a") {
		t.Error("the next window did not start afresh")
	}
}

func TestCountersAreApart(t *testing.T) {
	var c clock
	s := NewStore(c.now)
	one := limiter(t, s, "1", 1, LongPeriod)
	if !allowed(t, one, "a") || allowed(t, one, "a") {
		t.Fatal("a limit of 1 does not mean one")
	}
	for name, ok := range map[string]bool{
		"other key":       allowed(t, one, "b"),
		"other namespace": allowed(t, limiter(t, s, "2", 1, LongPeriod), "a"),
		"other period":    allowed(t, limiter(t, s, "1", 1, ShortPeriod), "a"),
		"higher limit":    allowed(t, limiter(t, s, "1", 2, LongPeriod), "a"),
	} {
		if !ok {
			t.Errorf("%s: refused", name)
		}
	}
	if allowed(t, limiter(t, s, "1", 2, LongPeriod), "a") {
		t.Error("limiters of one namespace do not share counters")
	}
}

// Under concurrency exactly as many pass as the limit says.
func TestExact(t *testing.T) {
	var c clock
	l := limiter(t, NewStore(c.now), "1", 100, LongPeriod)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, _ := l.Limit(context.Background(), "k"); ok {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d of 400 passed, want 100", passed.Load())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var c clock
	s := NewStore(c.now)
	l := limiter(t, s, "1", 1, LongPeriod)
	if !allowed(t, l, "early") {
		t.Fatal("refused")
	}
	for i := range 2 * MaxKeys {
		allowed(t, l, fmt.Sprint(i))
	}
	var keys int
	for i := range s.shards {
		keys += len(s.shards[i].windows[1].counts["1"])
	}
	if keys > MaxKeys {
		t.Errorf("%d keys are kept, want at most %d", keys, MaxKeys)
	}
	if allowed(t, l, "early") {
		t.Error("a flood of keys made room for a key that was at its limit")
	}
	if !allowed(t, limiter(t, s, "2", 1, LongPeriod), "x") || allowed(t, limiter(t, s, "2", 1, LongPeriod), "x") {
		t.Error("a flood in one namespace switched off another")
	}
}

func TestRefusedSettings(t *testing.T) {
	s := NewStore(nil)
	if _, err := s.Limiter("1", 0, LongPeriod); err == nil {
		t.Error("limit 0 is accepted")
	}
	if _, err := s.Limiter("1", 1, time.Second); err == nil {
		t.Error("period 1 s is accepted")
	}
	for raw, want := range map[string]string{
		`{}`:                   "namespace_id",
		`{"namespace_id":"1"}`: "simple.limit",
		`{"namespace_id":"1","simple":{"limit":-1,"period":10}}`: "simple.limit is -1",
		`{"namespace_id":"1","simple":{"limit":1,"period":30}}`:  "simple.period is 30",
		`{"namespace_id":1}`: "namespace_id",
	} {
		err := (&Kind{}).Validate(config.Binding{Name: "L", Type: "ratelimit", Raw: []byte(raw)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// worker evaluates the calls in the query string.
const worker = `export default {
  async fetch(request, env) {
    const calls = {
      none: [], null: [null], key: [{ key: "a" }], empty: [{}], unicode: [{ key: "ü/?\u0000" }],
      extra: [{ key: "a", x: 1, y: 2 }], number: [{ key: 1 }], limit: [{ limit: "1" }], period: [{ period: 30 }],
      text: [{ period: "10" }], higher: [{ key: "a", limit: 3 }], zero: [{ key: "z", limit: 0 }], inf: [{ key: "a", limit: Infinity }],
    };
    try {
      return Response.json(await env.L.limit(...calls[new URL(request.url).pathname.slice(1)]));
    } catch (e) {
      return new Response(e.name + ": " + e.message);
    }
  },
};`

func TestBindingInWorkerd(t *testing.T) {
	var c clock
	k := &Kind{NewStore(c.now)}
	b, err := config.NewBinding("L", k.Type(), map[string]any{"namespace_id": "1", "simple": map[string]int{"limit": 2, "period": 60}})
	if err != nil {
		t.Fatal(err)
	}
	cell := celltest.Run(t, worker, map[string]func(string) binding.Mount{"L": func(service string) binding.Mount {
		m, err := k.Mount(b, binding.Site{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
	const yes, no = `{"success":true}`, `{"success":false}`
	for _, step := range []struct{ call, want string }{
		{"key", yes}, {"key", yes}, {"key", no}, {"key", no},
		{"higher", yes}, {"higher", no}, {"inf", yes},
		{"empty", yes}, {"unicode", yes}, {"zero", no},
		{"none", "Error: invalid rate limit options"},
		{"null", "Error: invalid rate limit options"},
		{"extra", "Error: bad rate limit options: [x,y]"},
		{"number", "Error: invalid key: 1"},
		{"limit", "Error: limit must be a number: 1"},
		{"period", "Error: unsupported period: 30"},
		{"text", "Error: period must be a number: 10"},
	} {
		if got := cell.Get("/" + step.call); got != step.want {
			t.Errorf("%s: %s, want %s", step.call, got, step.want)
		}
	}
	c.unix.Store(60)
	if got := cell.Get("/key"); got != yes {
		t.Errorf("next window: %s", got)
	}
}

func BenchmarkLimit(b *testing.B) {
	l, _ := NewStore(nil).Limiter("1", 1<<30, LongPeriod)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			l.Limit(context.Background(), "user-123")
		}
	})
}
