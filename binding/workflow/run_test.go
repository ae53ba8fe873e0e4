package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// function is a Worker in Go with one Workflow.
type function func(ctx context.Context, e Event, s *Steps) (any, error)

func (f function) Workflow(ctx context.Context, e Event, s *Steps) (any, error) { return f(ctx, e, s) }

func (function) ServeHTTP(http.ResponseWriter, *http.Request) {}

// worker stands for the engine and a Worker.
type worker struct {
	function

	mu      sync.Mutex
	start   time.Time
	notes   []string
	runs    int // in its hands
	most    int
	begun   int
	refused bool // it cannot be reached
	// spoil, if it is set, makes another outcome of each run.
	spoil func(out binding.Outcome, err error) (binding.Outcome, error)
}

// note notes what happens, with the seconds since the start.
func (w *worker) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf("%v "+format, append([]any{time.Since(w.start).Seconds()}, args...)...))
}

func (w *worker) Send(ctx context.Context, name string, e binding.Event) (out binding.Outcome, err error) {
	w.mu.Lock()
	if w.refused {
		w.mu.Unlock()
		w.note("unreached")
		return out, fmt.Errorf("%w: no such Worker", binding.ErrNotBegun)
	}
	w.begun++
	w.runs++
	w.most = max(w.most, w.runs)
	w.mu.Unlock()
	defer func() { w.mu.Lock(); w.runs--; w.mu.Unlock() }()
	if err = e.Call(ctx, w.function); err == nil {
		out.Outcome = "ok"
		out.Result, err = json.Marshal(e.Answer())
	}
	if w.spoil != nil {
		return w.spoil(out, err)
	}
	return out, err
}

// bench is a Workflow "flow" that runs, in a bubble whose time passes by itself.
type bench struct {
	*testing.T
	*worker
	k      *Kind
	db     *keyed.DB
	dir    string
	flow   *Workflow
	source config.Value
	stop   func()
}

func inBubble(t *testing.T, f function, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, worker: &worker{function: f, start: time.Now()}, dir: t.TempDir()}
		b.open()
		test(b)
		b.close()
	})
}

func (b *bench) open() {
	b.Helper()
	var err error
	if b.db, err = keyed.Open(b.dir, keyed.Options{}); err != nil {
		b.Fatal(err)
	}
	s, err := OpenStore(b.db, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.k = &Kind{store: s}
	if b.flow, err = s.Put("flow", Settings{Script: "w", Class: "Flow"}, false); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.k.Run(ctx, b.worker, &b.source) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-ended })
	synctest.Wait()
}

func (b *bench) close() {
	b.Helper()
	b.stop()
	if err := b.db.Close(); err != nil {
		b.Error(err)
	}
}

// held is how many runs there are, how many of them at the Worker, and how many
// instances are in memory.
func (b *bench) held() [3]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow.mu.Lock()
	defer b.flow.mu.Unlock()
	return [3]int{b.k.store.Running(), b.runs, len(b.flow.open)}
}

func (b *bench) create(id string, params any) {
	b.Helper()
	v, err := NewValue(params)
	if err == nil {
		_, err = b.flow.Create(b.Context(), Create{ID: &id, Params: v})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// after lets time pass and compares what was noted meanwhile.
func (b *bench) after(d time.Duration, want ...string) {
	b.Helper()
	time.Sleep(d)
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.notes, want) {
		b.Errorf("got\n%q\nwant\n%q", b.notes, want)
	}
	b.notes = nil
}

// is compares how an instance is doing: its status, and its output or failure.
func (b *bench) is(id, want string) {
	b.Helper()
	synctest.Wait()
	st, err := b.flow.Status(b.Context(), id)
	if err != nil {
		b.Error(err)
		return
	}
	got := string(st.Status)
	if st.Failure != nil {
		got += " " + st.Failure.Error()
	}
	if st.Status == Complete {
		got += " " + string(st.Output.JSON())
	}
	if got != want {
		b.Errorf("got %s, want %s", got, want)
	}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

// once is a step that notes that it runs.
func (w *worker) once(ctx context.Context, s *Steps, name string) (string, error) {
	v, err := s.Do(ctx, name, StepOptions{}, func(context.Context) (any, error) {
		w.note("%s", name)
		return name + "!", nil
	})
	if err != nil {
		return "", err
	}
	var text string
	return text, v.Decode(&text)
}

// A function of steps and sleeps: each step runs once, however often the function
// does, and while it sleeps nothing of it is left.
func TestStepsAndSleeps(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		one, err := b.once(ctx, s, "one")
		if err != nil {
			return nil, err
		}
		if err := s.Sleep(ctx, "night", 8*time.Hour); err != nil {
			return nil, err
		}
		two, err := b.once(ctx, s, "two")
		return one + two, err
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(0, "0 run", "0 one")
		b.is("x", "running")
		b.after(2 * time.Second)
		b.is("x", "waiting")
		if held := b.held(); held != [3]int{} {
			t.Errorf("%v are held while all sleep", held)
		}
		b.after(8*time.Hour, "28800 run", "28800 two")
		b.is("x", `complete "one!two!"`)
	})
}

// Short waits do not end the run.
func TestShortSleep(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		return nil, s.Sleep(ctx, "nap", 2*time.Second)
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(3*time.Second, "0 run")
		b.is("x", "complete null")
	})
}

// Attempts that fail are made again, with pauses that grow, and no longer than
// they may take.
func TestRetries(t *testing.T) {
	fails := func(context.Context) (any, error) { return nil, errors.New("no") }
	for name, c := range map[string]struct {
		options StepOptions
		f       func(ctx context.Context) (any, error)
		notes   []string
		is      string
	}{
		"defaults": {StepOptions{}, fails, []string{"0 try", "10 try", "30 try", "70 try", "150 try", "310 try"}, "errored Error: no"},
		"constant": {StepOptions{Retries: 2, Delay: time.Second, Backoff: "constant"}, fails, []string{"0 try", "1 try", "2 try"}, "errored Error: no"},
		"linear":   {StepOptions{Retries: 3, Delay: time.Second, Backoff: "linear"}, fails, []string{"0 try", "1 try", "3 try", "6 try"}, "errored Error: no"},
		"none":     {StepOptions{Retries: -1}, fails, []string{"0 try"}, "errored Error: no"},
		"final":    {StepOptions{}, func(context.Context) (any, error) { return nil, Final(errors.New("never")) }, []string{"0 try"}, "errored WorkflowFatalError: The execution of the Workflow instance was terminated, as a step threw an NonRetryableError and it was not handled"},
		"too slow": {StepOptions{Retries: -1, Timeout: 3 * time.Second}, func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }, []string{"0 try"}, "errored WorkflowTimeoutError: Execution timed out after 3000ms"},
		"no such":  {StepOptions{Backoff: "random"}, fails, nil, `errored WorkflowFatalError: Step config for "s" is in a invalid format. See https://developers.cloudflare.com/workflows/build/sleeping-and-retrying/`},
		"not storable": {StepOptions{Retries: -1}, func(context.Context) (any, error) { return strings.Repeat("x", MaxValueBytes), nil }, []string{"0 try"},
			"errored WorkflowInternalError: Step s-1 output is too large. Maximum allowed size is 1MiB."},
	} {
		t.Run(name, func(t *testing.T) {
			var b *bench
			inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
				_, err := s.Do(ctx, "s", c.options, func(ctx context.Context) (any, error) { b.note("try"); return c.f(ctx) })
				return nil, err
			}, func(made *bench) {
				b = made
				b.create("x", nil)
				b.after(time.Hour, c.notes...)
				b.is("x", c.is)
			})
		})
	}
}

// An event is taken by the first step that waits for its type, whether it came
// before or after, and by one only.
func TestEvents(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		var list []string
		for range 2 {
			r, err := s.WaitForEvent(ctx, "w", "go", time.Hour)
			if failure := (*Failure)(nil); errors.As(err, &failure) {
				list = append(list, failure.Message)
				continue
			} else if err != nil {
				return nil, err
			}
			list = append(list, fmt.Sprint(r.Type, string(r.Payload.JSON()), r.Sent.Sub(b.start)))
		}
		return list, nil
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.create("early", nil)
		b.after(time.Minute, "0 run", "0 run")
		b.is("x", "waiting")
		b.must(b.flow.SendEvent(t.Context(), "x", "other", Value("0")))
		b.after(time.Minute)
		b.must(b.flow.SendEvent(t.Context(), "x", "go", Value("1")))
		b.after(0, "120 run")
		b.is("x", "running")
		b.after(2*time.Hour, "3600 run", "3720 run", "7200 run")
		b.is("x", `complete ["go12m0s","Execution timed out after 3600000ms"]`)
		b.is("early", `complete ["Execution timed out after 3600000ms","Execution timed out after 3600000ms"]`)
		for i := range 3 {
			b.must(b.flow.SendEvent(t.Context(), "early", "go", Value(fmt.Sprint(i))))
		}
		b.must(b.flow.Restart(t.Context(), "early", nil)) // those are lost
		b.after(0, "7320 run")
		b.must(b.flow.SendEvent(t.Context(), "early", "go", nil))
		b.must(b.flow.SendEvent(t.Context(), "early", "go", Value(`"b"`)))
		b.after(0)
		b.is("early", `complete ["gonull2h2m0s","go\"b\"2h2m0s"]`)
		if err := b.flow.SendEvent(t.Context(), "nobody", "go", nil); !errors.Is(err, ErrNoInstance) {
			t.Error(err)
		}
	})
}

// Steps at the same time: the run ends when all of them wait, and the first that is
// due begins the next one.
func TestParallel(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		var group sync.WaitGroup
		var list [3]string
		var failed [3]error
		for i := range 3 {
			group.Go(func() {
				if failed[i] = s.Sleep(ctx, fmt.Sprint("sleep", i), time.Duration(i)*time.Hour); failed[i] == nil {
					list[i], failed[i] = b.once(ctx, s, fmt.Sprint("do", i))
				}
			})
		}
		group.Wait()
		return list, errors.Join(failed[:]...)
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(3*time.Hour, "0 run", "0 do0", "3600 run", "3600 do1", "7200 run", "7200 do2")
		b.is("x", `complete ["do0!","do1!","do2!"]`)
	})
}

// A pause lets the steps that run come to their end, and what waits waits for as
// long as was left.
func TestPause(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		_, err := s.Do(ctx, "slow", StepOptions{}, func(context.Context) (any, error) {
			b.note("slow")
			time.Sleep(time.Minute)
			return nil, nil
		})
		if err == nil {
			err = s.Sleep(ctx, "sleep", time.Hour)
		}
		return nil, err
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Second, "0 run", "0 slow")
		b.must(b.flow.Pause(t.Context(), "x"))
		b.is("x", "waitingForPause")
		b.after(time.Hour)
		b.is("x", "paused")
		b.must(b.flow.Resume(t.Context(), "x"))
		b.after(time.Minute, "3601 run")
		b.is("x", "waiting")
		b.must(b.flow.Pause(t.Context(), "x"))
		b.must(b.flow.Pause(t.Context(), "x"))
		b.is("x", "paused")
		b.after(24 * time.Hour)
		b.must(b.flow.Resume(t.Context(), "x"))
		b.must(b.flow.Resume(t.Context(), "x"))
		b.after(time.Second, "90061 run")
		b.after(time.Hour, "93601 run")
		b.is("x", "complete null")
		b.must(b.flow.Pause(t.Context(), "x"))
		b.is("x", "complete null")
	})
}

func TestTerminateAndRestart(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		for _, name := range []string{"a", "b", "b"} {
			if _, err := b.once(ctx, s, name); err != nil {
				return nil, err
			}
		}
		return nil, s.Sleep(ctx, "long", time.Hour)
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Minute, "0 a", "0 b", "0 b")
		b.must(b.flow.Terminate(t.Context(), "x"))
		b.is("x", "terminated")
		if err := b.flow.Terminate(t.Context(), "x"); err == nil || err.Error() != "WorkflowError: (instance.cannot_terminate) Cannot terminate instance since its on a finite state" {
			t.Error(err)
		}
		b.after(2 * time.Hour)
		b.must(b.flow.Restart(t.Context(), "x", &From{Name: "b", Count: 2}))
		b.after(time.Minute, "7260 b")
		b.is("x", "waiting")
		b.must(b.flow.Restart(t.Context(), "x", nil))
		b.after(2*time.Hour, "7320 a", "7320 b", "7320 b")
		b.is("x", "complete null")
		if err := b.flow.Restart(t.Context(), "x", &From{Name: "c"}); err == nil || !strings.HasSuffix(err.Error(), `Step "c" not found in execution history`) {
			t.Error(err)
		}
		b.is("x", "complete null")
	})
}

// A run that is cut off begins anew after a pause; one that is again and again
// without a step being done fails.
func TestCutOff(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		b.note("run")
		return nil, nil
	}, func(made *bench) {
		b = made
		b.spoil = func(binding.Outcome, error) (binding.Outcome, error) {
			return binding.Outcome{Outcome: "exceededCpu"}, nil
		}
		b.create("x", nil)
		b.after(time.Hour, "0 run", "0 run", "1 run", "3 run", "7 run", "15 run", "31 run", "63 run", "123 run", "183 run")
		b.is("x", "errored WorkflowInternalError: Attempt failed due to internal workflows error")
	})
}

// What the Worker cannot be reached for is done when it can be.
func TestUnreached(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) { b.note("run"); return nil, nil }, func(made *bench) {
		b = made
		b.refused = true
		b.create("x", nil)
		b.after(10*time.Second, "0 unreached", "1 unreached", "3 unreached", "7 unreached")
		b.is("x", "queued")
		b.mu.Lock()
		b.refused = false
		b.mu.Unlock()
		b.after(time.Minute, "15 run")
		b.is("x", "complete null")
	})
}

// No more than MaxRunning run at once, or as many as the Workflow says; the others
// follow in their order.
func TestConcurrency(t *testing.T) {
	const more = 50
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		_, err := s.Do(ctx, "s", StepOptions{}, func(context.Context) (any, error) { time.Sleep(time.Second); return nil, nil })
		return nil, err
	}, func(made *bench) {
		b = made
		for i := range MaxRunning + more {
			b.create(fmt.Sprint("i", i), nil)
		}
		b.after(500 * time.Millisecond)
		counts, err := b.flow.counts(t.Context())
		b.must(err)
		if counts[Running] != MaxRunning || counts[Queued] != more {
			t.Errorf("%v", counts)
		}
		b.after(time.Minute)
		b.mu.Lock()
		most := b.most
		b.mu.Unlock()
		if counts, _ := b.flow.counts(t.Context()); counts[Complete] != MaxRunning+more || most != MaxRunning {
			t.Errorf("%v, %d at once", counts, most)
		}
		b.mu.Lock()
		b.most = 0
		b.mu.Unlock()
		if _, err := b.k.store.Put("flow", Settings{Script: "w", Class: "Flow", Concurrency: 3}, true); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			b.create(fmt.Sprint("few", i), nil)
		}
		b.after(500 * time.Millisecond)
		if counts, _ := b.flow.counts(t.Context()); counts[Running] != 3 || counts[Queued] != 7 {
			t.Errorf("%v", counts)
		}
		b.after(4 * time.Second)
		if counts, _ := b.flow.counts(t.Context()); counts[Queued]+counts[Running] != 0 || b.most != 3 {
			t.Errorf("%v, %d at once", counts, b.most)
		}
	})
}

// An instance that has ended is kept for as long as it says.
func TestRetention(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		if e.ID == "bad" {
			return nil, errors.New("bad")
		}
		return b.once(ctx, s, "s")
	}, func(made *bench) {
		b = made
		for _, id := range []string{"good", "bad"} {
			_, err := b.flow.Create(t.Context(), Create{ID: &id, SuccessRetention: 1000, ErrorRetention: 5000})
			b.must(err)
		}
		b.create("long", nil)
		b.after(2*time.Second, "0 s", "0 s")
		if _, err := b.flow.Status(t.Context(), "good"); !errors.Is(err, ErrNoInstance) {
			t.Errorf("good: %v", err)
		}
		b.is("bad", "errored Error: bad")
		b.after(10 * time.Second)
		if _, err := b.flow.Status(t.Context(), "bad"); !errors.Is(err, ErrNoInstance) {
			t.Errorf("bad: %v", err)
		}
		b.must(b.flow.named("long", func(in *instance) error {
			if kept := in.rec.Due - in.rec.Ended; kept != DefaultRetention.Milliseconds() {
				t.Errorf("kept for %d ms", kept)
			}
			return nil
		}))
	})
}

// A stop in the middle of a step is no failure of the step.
func TestStop(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		_, err := s.Do(ctx, "s", StepOptions{Retries: -1}, func(ctx context.Context) (any, error) {
			b.note("try")
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Minute):
				return nil, nil
			}
		})
		return nil, err
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Second, "0 try")
		b.close()
		b.open()
		b.after(time.Hour, "6 try")
		b.is("x", "complete null")
	})
}

// Steps of one name are told apart by their number.
func TestLimits(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		for i := 0; ; i++ {
			_, err := s.Do(ctx, "s", StepOptions{}, func(context.Context) (any, error) { return i, nil })
			if err != nil {
				return nil, err
			}
		}
	}, func(made *bench) {
		b = made
		_, err := b.k.store.Put("flow", Settings{Script: "w", Class: "Flow", Steps: 20}, true)
		b.must(err)
		b.create("x", nil)
		b.after(time.Second)
		b.is("x", "errored WorkflowFatalError: The limit of 20 steps has been reached. This limit can be changed in your worker configuration.")
	})
}

func TestCreate(t *testing.T) {
	inBubble(t, func(context.Context, Event, *Steps) (any, error) { return nil, nil }, func(b *bench) {
		ctx := t.Context()
		id := func(s string) *string { return &s }
		for _, bad := range []string{"", "-a", "a b", "a.b", "ü", strings.Repeat("x", MaxIDChars+1)} {
			if _, err := b.flow.Create(ctx, Create{ID: &bad}); !errors.Is(err, ErrInvalidID) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if _, err := b.flow.Create(ctx, Create{Params: make(Value, MaxValueBytes+1)}); err == nil || !strings.Contains(err.Error(), "params_too_large") {
			t.Error(err)
		}
		ids, err := b.flow.CreateBatch(ctx, []Create{{ID: id("a")}, {ID: id("b")}, {ID: id("a")}})
		if err != nil || !reflect.DeepEqual(ids, []string{"a", "b"}) {
			t.Errorf("%v %v", ids, err)
		}
		if _, err := b.flow.Create(ctx, Create{ID: id("a")}); !errors.Is(err, ErrExists) || err.Error() != `WorkflowError: (instance.already_exists) Workflow instance with id "a" already exists` {
			t.Error(err)
		}
		big := make([]Create, 20)
		for i := range big {
			big[i].Params = make(Value, MaxValueBytes)
		}
		if ids, err := b.flow.CreateBatch(ctx, big); err != nil || len(ids) != len(big) {
			t.Errorf("%d %v", len(ids), err)
		}
		b.must(b.flow.Delete())
		if _, err := b.flow.Create(ctx, Create{}); !errors.Is(err, ErrNoWorkflow) {
			t.Error(err)
		}
		rows := 0
		b.must(b.db.Scan([]byte{keyed.SpaceWorkflow}, []byte{keyed.SpaceWorkflow + 1}, func(key, _ []byte) bool { rows++; return true }))
		if rows != 1 {
			t.Errorf("%d rows are left of a Workflow that was deleted, want its number only", rows)
		}
	})
}
