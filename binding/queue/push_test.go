package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// worker stands for the engine and a Worker: it notes the batches that it gets
// and does with them as a test says.
type worker struct {
	mu      sync.Mutex
	batches []string // "seconds worker queue: body×attempts …"
	atOnce  int
	most    int
	start   time.Time
	// handle decides about a batch. Nil: all is well.
	handle func(ctx context.Context, texts []string, ids []string) (binding.Outcome, error)
}

func (w *worker) Send(ctx context.Context, name string, e binding.Event) (binding.Outcome, error) {
	head, _ := json.Marshal(e.Head)
	var batch struct {
		Queue    string
		Messages []message
	}
	if err := json.Unmarshal(head, &batch); err != nil {
		return binding.Outcome{}, err
	}
	body, err := io.ReadAll(e.Body)
	if err != nil || int64(len(body)) != e.Size {
		return binding.Outcome{}, fmt.Errorf("%d bytes, not %d: %v", len(body), e.Size, err)
	}
	var texts, ids, shown []string
	for _, m := range batch.Messages {
		text := string(body[:m.Size])
		if m.Body != nil && json.Unmarshal(m.Body, &text) != nil {
			text = string(m.Body) // not that of a text
		}
		texts, ids = append(texts, text), append(ids, m.ID)
		shown = append(shown, fmt.Sprint(text, "×", m.Attempts))
		body = body[m.Size:]
	}
	w.mu.Lock()
	w.batches = append(w.batches, fmt.Sprintf("%v %s %s: %s", time.Since(w.start).Seconds(), name, batch.Queue, strings.Join(shown, " ")))
	w.atOnce++
	w.most = max(w.most, w.atOnce)
	w.mu.Unlock()
	defer func() { w.mu.Lock(); w.atOnce--; w.mu.Unlock() }()
	if w.handle == nil {
		return binding.Outcome{Outcome: "ok"}, nil
	}
	return w.handle(ctx, texts, ids)
}

func (w *worker) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.batches
	w.batches = nil
	return list
}

// says is an outcome with what a handler decided.
func says(outcome string, a answer) (binding.Outcome, error) {
	data, err := json.Marshal(a)
	return binding.Outcome{Outcome: outcome, Result: data}, err
}

// running is a kind that delivers, in a bubble whose time passes by itself.
type running struct {
	*testing.T
	*worker
	k      *Kind
	source *config.Value
	stop   func()
	looks  atomic.Int64 // at the clock: whoever works looks at it
}

// run gives f a kind that runs. Time is that of testing/synctest.
func run(t *testing.T, f func(r *running)) {
	synctest.Test(t, func(t *testing.T) {
		db, err := keyed.Open(t.TempDir(), keyed.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := &running{T: t, worker: &worker{start: time.Now()}, source: &config.Value{}}
		now := func() time.Time { r.looks.Add(1); return time.Now() }
		s, err := OpenStore(db, Options{Now: now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		r.k = &Kind{store: s}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.k.Run(ctx, r.worker, r.source) }()
		r.stop = sync.OnceFunc(func() { cancel(); <-ended })
		f(r)
		r.stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// consumed makes a queue with a Worker as its consumer.
func (r *running) consumed(name string, c Consumer) *Queue {
	r.Helper()
	q, err := r.k.store.Ensure(name)
	if err != nil {
		r.Fatal(err)
	}
	c.Type, c.Script = typeWorker, "w"
	if _, err := q.SetConsumer(c); err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
	return q
}

func (r *running) send(q *Queue, texts ...string) {
	r.Helper()
	for _, text := range texts {
		if err := q.Producer(-1).Send(r.Context(), Message{Body: []byte(text), ContentType: Text}); err != nil {
			r.Fatal(err)
		}
	}
}

// after lets time pass and compares the batches that came meanwhile.
func (r *running) after(d time.Duration, want ...string) {
	r.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := r.got(); !slices.Equal(got, want) {
		r.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func (r *running) empty(q *Queue) {
	r.Helper()
	if m := q.Metrics(); m.Count != 0 {
		r.Errorf("%d messages are left", m.Count)
	}
}

// A batch goes when it is full, or when its first message has waited for as
// long as it may.
func TestBatching(t *testing.T) {
	run(t, func(r *running) {
		q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{BatchSize: number(3), MaxWaitTime: number(2000)}})
		r.send(q, "a", "b")
		r.after(time.Second)
		r.send(q, "c", "d")
		r.after(0, "1 w jobs: a×1 b×1 c×1")
		r.after(2*time.Second, "3 w jobs: d×1")
		r.empty(q)
		r.after(time.Hour)
		r.send(q, "e")
		r.after(1999 * time.Millisecond)
		r.after(time.Millisecond, "3605 w jobs: e×1")
	})
}

// Queues without messages cost nothing, however many there are and whatever they had:
// for a day nobody looks at them.
func TestIdleQueues(t *testing.T) {
	run(t, func(r *running) {
		for i := range 50 {
			q := r.consumed(fmt.Sprint("jobs-", i), Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
			if i%2 == 0 {
				r.send(q, "a")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(r.got()); n != 25 {
			t.Fatalf("%d batches, want 25", n)
		}
		looks := r.looks.Load()
		if looks == 0 {
			t.Fatal("nobody has looked at the clock")
		}
		r.after(24 * time.Hour)
		if n := r.looks.Load() - looks; n > 0 {
			t.Errorf("idle queues were looked at %d times", n)
		}
	})
}

func TestDelayedMessagesWakeTheConsumer(t *testing.T) {
	run(t, func(r *running) {
		q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		if err := q.Producer(90*time.Second).SendJSON(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r.after(89 * time.Second)
		r.after(time.Second, "90 w jobs: 1×1")
	})
}

// What the handler decides is done: message by message first, then for the
// batch, then by the outcome.
func TestSettlement(t *testing.T) {
	ten, zero := 10, 0
	for name, c := range map[string]struct {
		outcome string
		answer  func(ids []string) answer
		acked   string
		retries []string // when they come again
	}{
		"all is well":          {"ok", func([]string) answer { return answer{} }, "a b c", nil},
		"ackAll":               {"ok", func([]string) answer { return answer{AckAll: true} }, "a b c", nil},
		"ackAll, then failed":  {"exception", func([]string) answer { return answer{AckAll: true} }, "a b c", nil},
		"failed":               {"exception", func([]string) answer { return answer{} }, "", []string{"30 w jobs: a×2 b×2 c×2"}},
		"too slow":             {"exceededWallTime", func([]string) answer { return answer{} }, "", []string{"30 w jobs: a×2 b×2 c×2"}},
		"retryAll":             {"ok", func([]string) answer { return answer{RetryBatch: retryBatch{Retry: true}} }, "", []string{"30 w jobs: a×2 b×2 c×2"}},
		"retryAll, delayed":    {"ok", func([]string) answer { return answer{RetryBatch: retryBatch{true, &ten}} }, "", []string{"10 w jobs: a×2 b×2 c×2"}},
		"acknowledged, failed": {"exception", func(ids []string) answer { return answer{ExplicitAcks: ids[1:2]} }, "b", []string{"30 w jobs: a×2 c×2"}},
		"one retried": {"ok", func(ids []string) answer { return answer{Retries: []retryMessage{{ids[0], &ten}, {ids[2], nil}}} }, "b",
			[]string{"10 w jobs: a×2", "30 w jobs: c×2"}},
		"retried at once, in a delayed batch": {"ok", func(ids []string) answer {
			return answer{RetryBatch: retryBatch{true, &ten}, Retries: []retryMessage{{ids[0], &zero}}}
		}, "", []string{"0 w jobs: a×2", "10 w jobs: b×2 c×2"}},
		"one retried, the rest acknowledged": {"ok", func(ids []string) answer { return answer{AckAll: true, Retries: []retryMessage{{ids[1], nil}}} }, "a c",
			[]string{"30 w jobs: b×2"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *running) {
				first := true
				r.handle = func(_ context.Context, _ []string, ids []string) (binding.Outcome, error) {
					if !first {
						return binding.Outcome{Outcome: "ok"}, nil
					}
					first = false
					return says(c.outcome, c.answer(ids))
				}
				q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{BatchSize: number(3), MaxWaitTime: number(0), RetryDelay: number(30)}})
				if err := q.Producer(-1).SendBatch(t.Context(), []Message{
					{Body: []byte("a"), ContentType: Text}, {Body: []byte("b"), ContentType: Text}, {Body: []byte("c"), ContentType: Text}}); err != nil {
					t.Fatal(err)
				}
				r.after(time.Minute, append([]string{"0 w jobs: a×1 b×1 c×1"}, c.retries...)...)
				r.empty(q)
			})
		})
	}
}

// A message that was tried too often goes into the dead letter queue, whose
// consumer gets it as a new one with the same id.
func TestDeadLetters(t *testing.T) {
	run(t, func(r *running) {
		ids, tries := map[string]string{}, 0
		r.handle = func(_ context.Context, texts, got []string) (binding.Outcome, error) {
			for i, id := range got {
				if before := ids[texts[i]]; before != "" && before != id {
					t.Errorf("%s was %s and is %s", texts[i], before, id)
				}
				ids[texts[i]] = id
			}
			if tries++; tries <= 2 || texts[0] == "worse" {
				return binding.Outcome{Outcome: "exception"}, nil
			}
			return binding.Outcome{Outcome: "ok"}, nil
		}
		r.consumed("dead", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		q := r.consumed("jobs", Consumer{DeadLetterQueue: "dead", Settings: ConsumerSettings{MaxWaitTime: number(0), MaxRetries: number(1), RetryDelay: number(5)}})
		r.send(q, "bad")
		r.after(time.Minute, "0 w jobs: bad×1", "5 w jobs: bad×2", "5 w dead: bad×1")
		r.empty(q)
		none := r.consumed("none", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0), MaxRetries: number(0)}})
		r.send(none, "worse")
		r.after(time.Minute, "60 w none: worse×1")
		r.empty(none)
	})
}

// A Worker that cannot be reached costs no attempt, and is left alone for longer
// each time. After an error that may have come later, the attempt counts.
func TestUnreachableWorker(t *testing.T) {
	run(t, func(r *running) {
		tries := 0
		r.handle = func(context.Context, []string, []string) (binding.Outcome, error) {
			switch tries++; tries {
			case 1, 2, 3:
				return binding.Outcome{}, fmt.Errorf("no such Worker: %w", binding.ErrNotBegun)
			case 4:
				return binding.Outcome{}, errors.New("the connection broke")
			}
			return binding.Outcome{Outcome: "ok"}, nil
		}
		q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		r.send(q, "a")
		r.after(time.Hour, "0 w jobs: a×1", "1 w jobs: a×1", "3 w jobs: a×1", "7 w jobs: a×1", "7 w jobs: a×2")
		r.empty(q)
	})
}

// Concurrency grows with success while there is more to do, up to the limit, and
// shrinks with failure.
func TestConcurrency(t *testing.T) {
	for name, c := range map[string]struct {
		limit *int
		fail  bool
		most  int
	}{"by itself": {nil, false, MaxConcurrency}, "limited": {number(3), false, 3}, "failing": {nil, true, 1}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *running) {
				r.handle = func(context.Context, []string, []string) (binding.Outcome, error) {
					time.Sleep(time.Second)
					if c.fail {
						return binding.Outcome{Outcome: "exception"}, nil
					}
					return binding.Outcome{Outcome: "ok"}, nil
				}
				q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{BatchSize: number(1), MaxConcurrency: c.limit, MaxRetries: number(0)}})
				list := make([]Message, 100)
				for i := range list {
					list[i] = Message{Body: []byte("x"), ContentType: Text}
				}
				for range 10 {
					if err := q.Producer(-1).SendBatch(t.Context(), list); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				if r.most != c.most || len(r.got()) != 1000 {
					t.Errorf("%d batches at once, want %d", r.most, c.most)
				}
				r.empty(q)
			})
		})
	}
}

func TestPauseAndReconfigure(t *testing.T) {
	run(t, func(r *running) {
		q := r.consumed("jobs", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		set := func(paused bool) {
			if err := q.Update("jobs", Settings{DeliveryPaused: paused, Retention: 3600}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set(true)
		r.send(q, "a", "b")
		r.after(time.Minute)
		set(false)
		r.after(0, "60 w jobs: a×1 b×1")

		c := *q.Info().Consumer
		c.Script = "other"
		if _, err := q.SetConsumer(c); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.send(q, "c")
		r.after(0, "60 other jobs: c×1")
		if err := q.RemoveConsumer(c.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.send(q, "d")
		r.after(time.Minute)

		// A Worker that names the queue itself.
		trigger, _ := config.NewBinding("jobs", "queue", map[string]any{"settings": map[string]int{"max_wait_time_ms": 1000}})
		wrong, _ := config.NewBinding("jobs", "queue", map[string]any{"settings": map[string]int{"batch_size": 1000}})
		r.source.Set(&config.Snapshot{Workers: map[string]*config.Worker{
			"dev":   {Name: "dev", Triggers: []config.Binding{trigger}},
			"later": {Name: "later", Triggers: []config.Binding{trigger}}, // the queue has one
			"a":     {Name: "a", Triggers: []config.Binding{wrong}},
		}})
		r.after(time.Second, "121 dev jobs: d×1")
		r.source.Set(&config.Snapshot{})
		r.send(q, "e")
		r.after(time.Minute)
	})
}

// When the platform stops, batches may go on for a while; what is not done then
// is there for the next start.
func TestStop(t *testing.T) {
	run(t, func(r *running) {
		r.handle = func(ctx context.Context, texts, _ []string) (binding.Outcome, error) {
			d := time.Second
			if texts[0] == "slow" {
				d = time.Hour
			}
			select {
			case <-time.After(d):
				return binding.Outcome{Outcome: "ok"}, nil
			case <-ctx.Done():
				return binding.Outcome{}, context.Cause(ctx)
			}
		}
		slow := r.consumed("slow", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		quick := r.consumed("quick", Consumer{Settings: ConsumerSettings{MaxWaitTime: number(0)}})
		r.send(slow, "slow")
		r.send(quick, "quick")
		synctest.Wait()
		before := time.Now()
		r.stop()
		if took := time.Since(before); took != drain {
			t.Errorf("stopping took %v", took)
		}
		r.empty(quick)
		list, _, err := slow.take(1)
		if err != nil || len(list) != 1 || list[0].attempts != 0 {
			t.Errorf("left is %v %v", list, err)
		}
	})
}

// What is JSON or a text travels as JSON, as long as that stays small; the rest
// follows it, in the order of the messages.
func TestEventBodies(t *testing.T) {
	long := strings.Repeat("<", maxInline)
	b := &Batch{Messages: []*Received{
		{ContentType: JSON, Body: []byte(`{"a":[1,"ü"]}`)}, {ContentType: Bytes, Body: []byte("12")}, {ContentType: Text, Body: []byte("ü\x00")},
		{ContentType: Text, Body: []byte("\xff")}, {ContentType: Text, Body: []byte(long)}, {ContentType: V8}, {ContentType: Text}, {ContentType: JSON, Body: []byte(`null`)},
	}}
	e := b.event()
	head, err := json.Marshal(e.Head)
	if err != nil || len(head) > 6*maxInline {
		t.Fatalf("%d bytes, %v", len(head), err)
	}
	var got struct{ Messages []message }
	if err := json.Unmarshal(head, &got); err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, m := range got.Messages {
		shown = append(shown, fmt.Sprint(string(m.Body), m.ContentType, m.Size))
	}
	if want := []string{`{"a":[1,"ü"]}0`, "bytes2", `"ü\u0000"0`, "text1", fmt.Sprint("text", maxInline), "v80", `""0`, "null0"}; !slices.Equal(shown, want) {
		t.Errorf("got %q, want %q", shown, want)
	}
	if body, err := io.ReadAll(e.Body); err != nil || string(body) != "12\xff"+long || e.Size != int64(len(body)) {
		t.Errorf("the body has %d bytes, not %d: %v", len(body), e.Size, err)
	}
}
