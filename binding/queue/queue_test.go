package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// fixture is a store whose clock a test moves.
type fixture struct {
	*testing.T
	dir   string
	db    *keyed.DB
	clock atomic.Int64 // ms
	max   int64
	*Store
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, dir: t.TempDir()}
	f.clock.Store(1_700_000_000_000)
	f.open()
	t.Cleanup(func() { f.db.Close() })
	return f
}

func (f *fixture) open() {
	f.Helper()
	var err error
	if f.db, err = keyed.Open(f.dir, keyed.Options{}); err != nil {
		f.Fatal(err)
	}
	f.Store, err = OpenStore(f.db, Options{MaxBacklogBytes: f.max, Now: func() time.Time { return time.UnixMilli(f.clock.Load()) }})
	if err != nil {
		f.Fatal(err)
	}
}

// reopen is a restart.
func (f *fixture) reopen() {
	f.Helper()
	if err := f.db.Close(); err != nil {
		f.Fatal(err)
	}
	f.open()
}

func (f *fixture) pass(d time.Duration) { f.clock.Add(d.Milliseconds()) }

func (f *fixture) queue(name string) *Queue {
	f.Helper()
	q, err := f.Ensure(name)
	if err != nil {
		f.Fatal(err)
	}
	return q
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// send sends texts without delay of their own.
func (f *fixture) send(q *Queue, texts ...string) {
	f.Helper()
	for _, text := range texts {
		f.ok(q.Producer(-1).Send(f.Context(), Message{Body: []byte(text), ContentType: Text}))
	}
}

// take takes up to n messages and returns their bodies, too.
func (f *fixture) take(q *Queue, n int) ([]*taken, string) {
	f.Helper()
	list, _, err := q.take(n)
	f.ok(err)
	var texts []string
	for _, m := range list {
		f.ok(q.load(m))
		texts = append(texts, string(m.body))
	}
	return list, strings.Join(texts, " ")
}

func (f *fixture) ready(q *Queue, want string) []*taken {
	f.Helper()
	list, got := f.take(q, 100)
	if got != want {
		f.Errorf("ready are %q, want %q", got, want)
	}
	return list
}

// holds checks the counters against the rows.
func (f *fixture) holds(q *Queue, count, size int64) {
	f.Helper()
	if m := q.Metrics(); m.Count != count || m.Bytes != size || m.Oldest.IsZero() != (count == 0) {
		f.Errorf("metrics are %+v, want %d messages of %d bytes", m, count, size)
	}
	for _, kind := range []byte{rowMessage, rowBody, rowLease} {
		rows := int64(0)
		prefix := numberRow(kind, q.number)
		f.ok(f.db.Scan(prefix, keyed.After(prefix), func(_, _ []byte) bool { rows++; return true }))
		if kind == rowMessage && rows != count || rows > count {
			f.Errorf("%d rows of kind %c for %d messages", rows, kind, count)
		}
	}
}

func TestOldestFirst(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.send(q, "a", "b", "c")
	list := f.ready(q, "a b c")
	f.ready(q, "") // they are in somebody's hands
	q.release(list[1:])
	f.send(q, "d")
	f.ready(q, "b c d")
	f.ok(q.drop(list[:1]))
	f.holds(q, 3, 3)
	f.reopen() // nobody's hands any more
	f.ready(f.queue("jobs"), "b c d")
}

// What is wrong is said in Cloudflare's words, and nothing is stored.
func TestRefusedMessages(t *testing.T) {
	f := newFixture(t)
	p := f.queue("jobs").Producer(-1)
	large := Message{Body: make([]byte, MaxMessageBytes+1), ContentType: Bytes}
	half := Message{Body: make([]byte, MaxMessageBytes), ContentType: Bytes}
	for _, c := range []struct {
		messages []Message
		batch    bool
		want     string
	}{
		{[]Message{large}, false, "413 10204 message length of 128001 bytes exceeds limit of 128000"},
		{[]Message{large}, true, "413 10204 message in batch has length 128001 bytes which exceeds single message size limit of 128000"},
		{[]Message{half, half, {Body: []byte("x"), ContentType: Text}}, true, "413 10205 batch size of 256001 bytes exceeds limit of 256000"},
		{make([]Message, 101), true, "413 10206 batch message count of 101 exceeds limit of 100"},
		{nil, true, "413 10206 batch message count of 0 exceeds limit of 100"},
		{[]Message{{ContentType: "xml"}}, false, "400 10203 message content type xml is invalid; if specified, must be one of 'text', 'json', 'bytes', or 'v8'"},
		{[]Message{{Body: []byte("{"), ContentType: JSON}}, false, "400 10203 message body is not valid JSON; send it with another content type"},
		{[]Message{{Body: []byte("{")}}, true, "400 10203 message body is not valid JSON; send it with another content type"},
		{[]Message{{ContentType: Text, Delay: MaxDelay + time.Second}}, false, "400 10203 message delay 86401 is invalid; it must be a whole number of seconds from 0 to 86400"},
		{[]Message{{ContentType: Text, Delay: -time.Second}}, false, "400 10203 message delay -1 is invalid; it must be a whole number of seconds from 0 to 86400"},
	} {
		err := p.SendBatch(t.Context(), c.messages)
		if !c.batch {
			err = p.Send(t.Context(), c.messages[0])
		}
		var refusal *Error
		if !errors.As(err, &refusal) || fmt.Sprint(refusal.Status, refusal.Code, " ", refusal.Text) != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if err := p.SendJSON(t.Context(), func() {}); err == nil {
		t.Error("a function is sent")
	}
	f.holds(p.q, 0, 0)
	f.ok(p.SendBatch(t.Context(), []Message{half, half}))
	f.holds(p.q, 2, 256_000)
}

func TestDelays(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.ok(q.Update("jobs", Settings{DeliveryDelay: 20, Retention: 3600}))
	send := func(p *Producer, text string, delay time.Duration) {
		f.ok(p.Send(t.Context(), Message{Body: []byte(text), ContentType: Text, Delay: delay}))
	}
	send(q.Producer(-1), "queue", 0)
	send(q.Producer(10*time.Second), "binding", 0)
	send(q.Producer(10*time.Second), "message", 5*time.Second)
	send(q.Producer(10*time.Second), "none", NoDelay)
	send(q.Producer(0), "binding-none", 0)
	f.holds(q, 5, int64(len("queuebindingmessagenonebinding-none")))
	for _, step := range []struct {
		pass time.Duration
		want string
	}{{0, "none binding-none"}, {4999 * time.Millisecond, ""}, {1, ""}, {time.Millisecond, "message"}, {5 * time.Second, "binding"}, {10 * time.Second, "queue"}} {
		f.pass(step.pass)
		f.ready(q, step.want)
	}
	_, later, _ := q.take(1)
	if later != 0 {
		t.Errorf("somebody waits until %d for nothing", later)
	}
	send(q.Producer(-1), "last", 7*time.Second)
	if _, later, _ := q.take(1); later != f.clock.Load()+7000 {
		t.Errorf("the next message is ready at %d", later-f.clock.Load())
	}
}

func TestFullQueueRefusesAndLosesNothing(t *testing.T) {
	f := newFixture(t)
	f.max = 10
	f.reopen()
	q := f.queue("jobs")
	f.send(q, "12345", "1234")
	for _, n := range []int{2, 6} {
		err := q.Producer(-1).Send(t.Context(), Message{Body: make([]byte, n), ContentType: Text})
		if err != ErrFull || err.Error() != "Storage Limit Exceeded" {
			t.Errorf("%d bytes more: %v", n, err)
		}
	}
	f.send(q, "1")
	f.holds(q, 3, 10)
	f.reopen()
	q = f.queue("jobs")
	f.holds(q, 3, 10)
	list := f.ready(q, "12345 1234 1")
	f.ok(q.drop(list[:1]))
	f.send(q, "12345")
	f.holds(q, 3, 10)
}

func TestRetention(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.ok(q.Update("jobs", Settings{Retention: 60}))
	f.send(q, "a", "b")
	held, _ := f.take(q, 1)
	f.pass(59 * time.Second)
	f.send(q, "c")
	f.pass(time.Second)
	f.ready(q, "c")
	f.holds(q, 2, 2) // b is deleted; a may still be acknowledged
	f.ok(q.drop(held))
	f.holds(q, 1, 1)

	other := f.queue("idle")
	f.ok(other.Update("idle", Settings{Retention: 60}))
	for range 2*sweepRows + 1 {
		f.send(other, "x")
	}
	f.pass(time.Minute)
	f.send(other, "y")
	n, err := f.Sweep(t.Context())
	if f.ok(err); n != 2*sweepRows+1 {
		t.Errorf("%d messages were deleted", n)
	}
	f.holds(other, 1, 1)
}

func TestPurge(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	large := strings.Repeat("x", InlineBytes+1)
	f.send(q, large, "b", "c")
	list, _ := f.take(q, 2)
	f.ok(q.Purge())
	f.holds(q, 0, 0)
	// Who had messages finds out nothing, and counts nothing.
	f.ok(q.settle(&settlement{acked: list[:1], retried: list[1:], delays: make([]time.Duration, 1)}))
	f.holds(q, 0, 0)
	f.send(q, "d")
	f.ready(q, "d")
}

func TestDelete(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.send(q, "a")
	f.ok(q.Delete())
	if err := q.Producer(-1).Send(t.Context(), Message{ContentType: Text}); err != ErrNotFound {
		t.Errorf("send: %v", err)
	}
	if _, _, err := q.take(1); err != ErrNotFound {
		t.Errorf("take: %v", err)
	}
	if err := q.Update("new", defaults); err != ErrNotFound {
		t.Errorf("update: %v", err)
	}
	f.reopen()
	if _, err := f.Named("jobs"); err != ErrNotFound {
		t.Errorf("after a restart: %v", err)
	}
	f.holds(f.queue("jobs"), 0, 0) // another one of that name
}

// Senders and consumers at once: everything arrives once, and the counts are
// right, also of bodies of any size.
func TestConcurrent(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	const senders, each = 8, 60
	var sending, consuming sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				body := fmt.Appendf(nil, "%d/%d ", s, i)
				body = append(body, bytes.Repeat([]byte("x"), rand.IntN(2*InlineBytes))...)
				f.ok(q.Producer(-1).Send(t.Context(), Message{Body: body, ContentType: Text}))
			}
		})
	}
	for range 3 {
		consuming.Go(func() {
			for count() < senders*each {
				list, _, err := q.take(7)
				f.ok(err)
				for i, m := range list {
					f.ok(q.load(m))
					name, _, _ := strings.Cut(string(m.body), " ")
					if m.attempts == 0 && i%3 == 0 {
						f.ok(q.settle(&settlement{retried: []*taken{m}, delays: make([]time.Duration, 1)}))
						continue
					}
					mu.Lock()
					seen[name]++
					mu.Unlock()
					f.ok(q.settle(&settlement{acked: []*taken{m}}))
				}
			}
		})
	}
	sending.Wait()
	consuming.Wait()
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s was acknowledged %d times", name, n)
		}
	}
	f.holds(q, 0, 0)
}

func TestNames(t *testing.T) {
	f := newFixture(t)
	for name, want := range map[string]string{
		"": "1 to 63", strings.Repeat("a", 64): "1 to 63", "a b": "letters, digits", "ü": "letters, digits", "-a": "begin or end", "a-": "begin or end",
		"a": "", "A_b-9": "", strings.Repeat("a", 63): "",
	} {
		_, err := f.Create(name, Settings{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := f.Create("a", Settings{}); err != ErrNameTaken {
		t.Errorf("a second time: %v", err)
	}
	if err := f.queue("a").Update("A_b-9", defaults); err != ErrNameTaken {
		t.Errorf("renamed to another's name: %v", err)
	}
}

// The backlog is not looked at when a store opens, nor when it is sent to.
func TestOpenReadsNoMessages(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.send(q, "a", "b")
	// A record that cannot be read would be noticed.
	f.ok(f.db.Set(messageRow(q.number, place{0, 1 << 40}), []byte("damaged")))
	f.reopen()
	q = f.queue("jobs")
	if q.count != 2 || q.bytes != 2 || q.seq != 2 {
		t.Errorf("counters are %+v", q.counters)
	}
	f.send(q, "c")
	f.ready(q, "a b c") // what is damaged is in nobody's way
}
