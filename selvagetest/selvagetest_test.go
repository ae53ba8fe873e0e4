package selvagetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/selvagetest"
)

type env struct {
	KV      *kv.Namespace      `binding:"CACHE"`
	DB      *d1.Database       `binding:"DB"`
	Limiter *ratelimit.Limiter `binding:"LIMITER"`
}

// worker counts its ticks in KV.
type worker struct {
	*http.ServeMux
	env *env
}

func (w *worker) Scheduled(ctx context.Context, e selvage.ScheduledEvent) error {
	old, err := w.env.KV.Get(ctx, "ticks")
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	return w.env.KV.Put(ctx, "ticks", append(old, e.Time.UTC().Format("15:04 ")...), kv.PutOptions{})
}

func newWorker(env *env) http.Handler {
	w := &worker{http.NewServeMux(), env}
	w.HandleFunc("GET /limit", func(w http.ResponseWriter, r *http.Request) {
		ok, _ := env.Limiter.Limit(r.Context(), "key")
		fmt.Fprint(w, ok)
	})
	w.HandleFunc("GET /get/{key}", func(w http.ResponseWriter, r *http.Request) {
		value, err := env.KV.Get(r.Context(), r.PathValue("key"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Write(value)
	})
	w.HandleFunc("PUT /put/{key}", func(w http.ResponseWriter, r *http.Request) {
		if err := env.KV.Put(r.Context(), r.PathValue("key"), []byte("v"), kv.PutOptions{ExpirationTTL: time.Minute}); err != nil {
			panic(err)
		}
	})
	return w
}

func TestClock(t *testing.T) {
	t.Parallel()
	p := selvagetest.New(t, selvage.Worker("w", newWorker,
		selvage.WithCron("*/30 * * * *", "15 13 * * *"), selvage.WithRateLimit("LIMITER", "1", 1, time.Minute)))
	get := func(path, want string) {
		t.Helper()
		if got := p.Get("http://w.localhost" + path).Text; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	get("/limit", "true")
	get("/limit", "false")
	r, _ := http.NewRequest(http.MethodPut, "http://w.localhost/put/a", nil)
	p.Do(r)
	get("/get/a", "v")
	p.Advance(time.Minute)
	get("/get/a", "key not found\n")
	get("/limit", "true")
	p.Advance(2 * time.Hour)
	get("/get/ticks", "12:30 13:00 13:15 13:30 14:00 ")
}

// Platforms beside each other share nothing.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			p := selvagetest.New(t, selvage.Worker("w", newWorker, selvage.WithRateLimit("LIMITER", "1", 1, time.Minute)))
			if got := p.Get("http://w.localhost/get/a"); got.StatusCode != http.StatusNotFound {
				t.Errorf("%d %s", got.StatusCode, got.Text)
			}
			n, err := p.KV("CACHE")
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Put(t.Context(), "a", []byte(fmt.Sprint(i)), kv.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := p.Get("http://w.localhost/get/a").Text; got != fmt.Sprint(i) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		p := selvagetest.New(b, selvage.Worker("w", newWorker, selvage.WithRateLimit("LIMITER", "1", 1, time.Minute)))
		p.Get("http://w.localhost/get/a")
	}
}
