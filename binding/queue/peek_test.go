package queue

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func (f *fixture) peek(q *Queue, n int) (texts string, refs []string) {
	f.Helper()
	list, err := q.Peek(n)
	f.ok(err)
	var bodies []string
	for _, m := range list {
		bodies, refs = append(bodies, string(m.Body)), append(refs, m.Ref)
	}
	return strings.Join(bodies, " "), refs
}

// Looking at messages changes nothing for those who take them.
func TestPeek(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	if texts, _ := f.peek(q, 10); texts != "" {
		t.Errorf("an empty queue shows %q", texts)
	}
	f.send(q, "a", "b", strings.Repeat("c", InlineBytes+1))
	f.ok(q.Producer(-1).Send(t.Context(), Message{Body: []byte("late"), ContentType: Text, Delay: time.Minute}))
	want := "a b " + strings.Repeat("c", InlineBytes+1) + " late"
	if texts, _ := f.peek(q, 10); texts != want {
		t.Errorf("shown are %q", texts)
	}
	if texts, _ := f.peek(q, 2); texts != "a b" {
		t.Errorf("two are %q", texts)
	}
	if _, err := q.Peek(101); err == nil || !strings.Contains(err.Error(), "batch_size is 101") {
		t.Errorf("101 messages: %v", err)
	}
	held := f.ready(q, "a b "+strings.Repeat("c", InlineBytes+1))
	if texts, _ := f.peek(q, 10); texts != want {
		t.Errorf("while they are delivered shown are %q", texts)
	}
	q.release(held)
	f.ok(q.Delete())
	if _, err := q.Peek(1); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a queue that is deleted: %v", err)
	}
}

// What is purged by its ref is gone for good; what somebody has, or has moved,
// stays.
func TestPurgeMessages(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.send(q, "a", "b", "c", "d")
	_, refs := f.peek(q, 10)
	purge := func(want int, warning string, refs ...string) {
		t.Helper()
		n, warnings, err := q.PurgeMessages(refs)
		f.ok(err)
		got := ""
		for _, w := range warnings {
			got += w
		}
		if n != want || (warning == "") != (got == "") || !strings.Contains(got, warning) {
			t.Errorf("purged %d, %v; want %d, %q", n, warnings, want, warning)
		}
	}
	list, _ := f.take(q, 1)
	purge(1, "being delivered", refs[0], refs[1])
	f.holds(q, 3, 3)
	f.ok(q.settle(&settlement{acked: list}))
	f.holds(q, 2, 2)
	purge(0, "not of a message in this queue", refs[1])
	purge(0, "malformed", "x")
	purge(1, "named twice", refs[2], refs[2])
	f.reopen()
	q = f.queue("jobs")
	f.holds(q, 1, 1)
	// A message that was pulled and is ready again has another ref.
	if _, err := q.SetConsumer(Consumer{Type: typePull}); err != nil {
		t.Fatal(err)
	}
	if pulled, err := q.Pull(1, time.Second); err != nil || len(pulled) != 1 {
		t.Fatal(pulled, err)
	}
	purge(0, "not of a message in this queue", refs[3])
	_, refs = f.peek(q, 10)
	purge(1, "", refs...)
	f.holds(q, 0, 0)
	f.pass(2 * time.Second)
	if left := f.ready(q, ""); len(left) > 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// A queue says why its consumer's Worker must stay.
func TestConsumersHoldTheirWorkers(t *testing.T) {
	f := newFixture(t)
	k := &Kind{store: f.Store}
	c, err := f.queue("jobs").SetConsumer(Consumer{Type: typeWorker, Script: "w"})
	f.ok(err)
	if why := k.Holds("w"); !strings.HasPrefix(why, "script still in use as a consumer for a queue: jobs;") {
		t.Errorf("the consumer's Worker: %q", why)
	}
	if why := k.Holds("other"); why != "" {
		t.Errorf("another Worker: %q", why)
	}
	f.ok(f.queue("jobs").RemoveConsumer(c.ID))
	if why := k.Holds("w"); why != "" {
		t.Errorf("without a consumer: %q", why)
	}
}
