package r2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/internal/crashtest"
)

// inbox has queues "q" and "r" until they are taken away.
type inbox struct {
	mu    sync.Mutex
	none  map[string]bool  // queues that are not there
	fails map[string]error // what queues refuse with
	tries map[string]int
	got   map[string][]string
}

func newInbox() *inbox {
	return &inbox{none: map[string]bool{}, fails: map[string]error{}, tries: map[string]int{}, got: map[string][]string{}}
}

func (i *inbox) InboxName(id string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.none[id] || id != "q" && id != "r" {
		return "", binding.ErrNoInbox
	}
	return "queue-" + id, nil
}

func (i *inbox) Post(_ context.Context, id string, messages [][]byte) error {
	if _, err := i.InboxName(id); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tries[id]++
	if err := i.fails[id]; err != nil {
		return err
	}
	for _, m := range messages {
		i.got[id] = append(i.got[id], string(m))
	}
	return nil
}

// change calls f with the inbox locked.
func (i *inbox) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// taken are the messages of a queue so far, each as "action key".
func (i *inbox) taken(id string) (list []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, text := range i.got[id] {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			list = append(list, err.Error())
			continue
		}
		list = append(list, m.Action+" "+m.Object.Key)
	}
	i.got[id] = nil
	return list
}

// deliver runs Deliver, in a bubble of synctest, until the test ends.
func (f *fixture) deliver() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Deliver(ctx)
	}()
	return func() { cancel(); <-done }
}

func notify(queue, prefix, suffix string, actions ...string) NotifyRule {
	return NotifyRule{Queue: queue, Prefix: prefix, Suffix: suffix, Actions: actions}
}

// Every writer's change is told, as Cloudflare tells it, to the queue whose rule fits.
func TestNotifications(t *testing.T) {
	in := newInbox()
	f := newFixture(t)
	f.reopen(Options{Inbox: in, Account: "acc"})
	b := f.bucket("b")
	f.put(b, "before", nil, PutOptions{})
	f.ok(f.AddNotifyRules(ctx, "b", []NotifyRule{
		notify("q", "", ".txt", PutObject, CopyObject, CompleteMultipartUpload, DeleteObject, LifecycleDeletion),
		notify("r", "img/", ".png", PutObject),
	}))
	f.put(b, "a.txt", []byte("hello"), PutOptions{})
	f.put(b, "copy.txt", []byte("hello"), PutOptions{CopySource: &CopySource{"b", "a.txt"}})
	f.put(b, "img/a.png", nil, PutOptions{})
	f.put(b, "img/a.gif", nil, PutOptions{})
	if _, err := b.Put(ctx, "a.txt", strings.NewReader("x"), PutOptions{OnlyIf: &Conditional{ETagMatches: []ETag{{Value: "no"}}}}); err == nil {
		t.Error("a condition that does not hold")
	}
	u, err := b.CreateMultipartUpload(ctx, "parts.txt", PutOptions{})
	f.ok(err)
	p, err := u.UploadPart(ctx, 1, strings.NewReader("part"), nil)
	f.ok(err)
	whole, err := u.Complete(ctx, []Part{p})
	f.ok(err)
	f.ok(b.Delete(ctx, "a.txt", "none.txt", "before"))
	f.ok(f.SetRules(ctx, "b", []Rule{rule(t, `{"id":"old","enabled":true,"conditions":{"prefix":"copy"},"deleteObjectsTransition":{"condition":{"type":"Age","maxAge":1}}}`)}))
	f.clock.Add(1000)
	_, err = f.Sweep(ctx)
	f.ok(err)

	f.reopen(Options{Inbox: in, Account: "acc"}) // nothing has been delivered yet
	if n := f.notes.Load(); n != 6 {
		t.Errorf("%d notes wait", n)
	}
	f.flush()
	want := []string{
		`{"account":"acc","action":"PutObject","bucket":"b","object":{"key":"a.txt","size":5,"eTag":"5d41402abc4b2a76b9719d911017c592"},"eventTime":"2027-01-15T08:00:00.000Z"}`,
		`{"account":"acc","action":"CopyObject","bucket":"b","object":{"key":"copy.txt","size":5,"eTag":"5d41402abc4b2a76b9719d911017c592"},"eventTime":"2027-01-15T08:00:00.000Z","copySource":{"bucket":"b","object":"a.txt"}}`,
		`{"account":"acc","action":"CompleteMultipartUpload","bucket":"b","object":{"key":"parts.txt","size":4,"eTag":"` + whole.ETag + `"},"eventTime":"2027-01-15T08:00:00.000Z"}`,
		`{"account":"acc","action":"DeleteObject","bucket":"b","object":{"key":"a.txt"},"eventTime":"2027-01-15T08:00:00.000Z"}`,
		`{"account":"acc","action":"LifecycleDeletion","bucket":"b","object":{"key":"copy.txt"},"eventTime":"2027-01-15T08:00:01.000Z"}`,
	}
	if !slices.Equal(in.got["q"], want) {
		t.Errorf("the queue got\n%s\nwant\n%s", strings.Join(in.got["q"], "\n"), strings.Join(want, "\n"))
	}
	if got := in.taken("r"); !slices.Equal(got, []string{"PutObject img/a.png"}) || f.notes.Load() != 0 || f.rows(rowNote) != 0 {
		t.Errorf("the other queue got %q; %d notes wait", got, f.notes.Load())
	}
}

// flush delivers what waits.
func (f *fixture) flush() {
	f.t.Helper()
	for more := true; more; {
		more = false
		for _, queue := range f.waiting() {
			again, err := f.Store.deliver(ctx, queue, map[string]*post{})
			f.ok(err)
			more = more || again
		}
	}
}

// A queue that refuses keeps no other waiting, and loses nothing.
func TestNotificationsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInbox()
		f := &fixture{t: t, dir: t.TempDir()}
		f.db, f.blobs, f.Store = openStore(t, f.dir, Options{Now: time.Now, Inbox: in})
		defer f.db.Close()
		b := f.bucket("b")
		f.ok(f.AddNotifyRules(ctx, "b", []NotifyRule{notify("q", "q", "", PutObject), notify("r", "r", "", PutObject)}))
		defer f.deliver()()
		in.change(func() { in.fails["q"] = errors.New("it is full") })
		for n := range 2*notesAtOnce + 1 {
			f.put(b, fmt.Sprintf("q%03d", n), nil, PutOptions{})
		}
		f.put(b, "r", nil, PutOptions{})
		synctest.Wait()
		if got := in.taken("r"); !slices.Equal(got, []string{"PutObject r"}) {
			t.Errorf("the other queue got %q", got)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		// At once, after 1, 2, 4, … 32 s, then each minute.
		if n := in.tries["q"]; n != 15 {
			t.Errorf("%d tries in ten minutes", n)
		}
		in.change(func() { in.fails["q"] = nil })
		time.Sleep(lastPause)
		synctest.Wait()
		got := in.taken("q")
		if len(got) != 2*notesAtOnce+1 || !slices.IsSorted(got) || f.notes.Load() != 0 {
			t.Errorf("%d notes came, sorted %v; %d wait", len(got), slices.IsSorted(got), f.notes.Load())
		}
		// What comes then is told at once.
		f.put(b, "q", nil, PutOptions{})
		synctest.Wait()
		if got := in.taken("q"); len(got) != 1 {
			t.Errorf("then came %q", got)
		}
		// Nobody can read what a queue was told that is gone.
		in.change(func() { in.none["q"] = true })
		f.put(b, "q", nil, PutOptions{})
		synctest.Wait()
		if n := f.notes.Load(); n != 0 {
			t.Errorf("%d notes wait for a queue that is gone", n)
		}
	})
}

// When the outbox is full, changes that would have to be told are refused, whole.
func TestOutboxFull(t *testing.T) {
	in := newInbox()
	f := newFixture(t)
	f.reopen(Options{Inbox: in})
	b := f.bucket("b")
	f.put(b, "told/old", []byte("old"), PutOptions{})
	u, err := b.CreateMultipartUpload(ctx, "told/up", PutOptions{})
	f.ok(err)
	p, err := u.UploadPart(ctx, 1, strings.NewReader("part"), nil)
	f.ok(err)
	f.ok(f.AddNotifyRules(ctx, "b", []NotifyRule{notify("q", "told/", "", PutObject, DeleteObject, CompleteMultipartUpload)}))
	f.maxNotes = 2
	f.put(b, "told/1", nil, PutOptions{})
	f.put(b, "told/2", nil, PutOptions{})
	_, err = b.Put(ctx, "told/old", strings.NewReader("new"), PutOptions{})
	f.fails(err, ErrOutboxFull)
	f.fails(b.Delete(ctx, "other", "told/old"), ErrOutboxFull)
	_, err = u.Complete(ctx, []Part{p})
	f.fails(err, ErrOutboxFull)
	f.same(b, "told/old", []byte("old"))
	f.put(b, "other", nil, PutOptions{}) // of which nobody is told
	f.flush()
	_, err = u.Complete(ctx, []Part{p})
	f.ok(err)
	f.put(b, "told/old", []byte("new"), PutOptions{})
	f.noGarbage(b)
}

// An event fits one rule at most.
func TestNotifyRules(t *testing.T) {
	f := newFixture(t)
	f.reopen(Options{Inbox: newInbox()})
	f.bucket("b")
	create := []string{PutObject, CopyObject, CompleteMultipartUpload}
	f.ok(f.AddNotifyRules(ctx, "b", []NotifyRule{notify("q", "img/", ".png", create...), notify("q", "img/", ".gif", create...)}))
	for _, c := range []struct {
		rule NotifyRule
		want *Error
	}{
		{notify("r", "img/", ".jpg", create...), nil},
		{notify("q", "", "", DeleteObject), nil},
		{notify("r", "", "", PutObject), ErrRulesOverlap},
		{notify("q", "img/old/", "a.png", CopyObject), ErrRulesOverlap},
		{notify("q", "doc/", ".png", create...), nil},
		{notify("none", "x", "", PutObject), ErrNoSuchQueue},
		{notify("q", "x", ""), ErrInvalidArgument},
		{notify("q", "x", "", "GetObject"), ErrInvalidArgument},
		{notify("q", strings.Repeat("x", MaxKeyBytes+1), "", PutObject), ErrInvalidArgument},
	} {
		err := f.AddNotifyRules(ctx, "b", []NotifyRule{c.rule})
		if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.rule, err, c.want)
		}
	}
	f.fails(f.AddNotifyRules(ctx, "b", []NotifyRule{notify("q", "y", "", PutObject), notify("q", "yy", "", PutObject)}), ErrRulesOverlap)
	f.fails(f.AddNotifyRules(ctx, "none", nil), ErrNoSuchBucket)
	f.reopen(Options{Inbox: newInbox()})
	rules, err := f.NotifyRules(ctx, "b")
	f.ok(err)
	if len(rules) != 5 || rules[0].ID == rules[1].ID || rules[0].Created.UnixMilli() != epoch {
		t.Errorf("%+v", rules)
	}
	f.fails(f.DeleteNotifyRules(ctx, "b", "q", rules[0].ID, "none"), ErrNoRule)
	f.fails(f.DeleteNotifyRules(ctx, "b", "r", rules[0].ID), ErrNoRule)
	f.ok(f.DeleteNotifyRules(ctx, "b", "q", rules[0].ID))
	f.ok(f.DeleteNotifyRules(ctx, "b", "q"))
	f.fails(f.DeleteNotifyRules(ctx, "b", "q"), ErrNoRule)
	if rules, err = f.NotifyRules(ctx, "b"); err != nil || len(rules) != 1 || rules[0].Queue != "r" {
		t.Errorf("%+v, %v", rules, err)
	}
}

// fileInbox is an inbox that is a file: what it has taken survives kill -9, as what a
// queue has taken does.
type fileInbox struct{ *os.File }

func (fileInbox) InboxName(string) (string, error) { return "file", nil }

func (i fileInbox) Post(_ context.Context, _ string, messages [][]byte) error {
	_, err := i.Write(append(bytes.Join(messages, []byte("\n")), '\n'))
	return err
}

// outboxChild writes and delivers until it is killed.
func outboxChild(args []string) error {
	file, err := os.OpenFile(args[0]+"/inbox", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, _, s := openStore(new(childTB), args[0], Options{Inbox: fileInbox{file}})
	b, err := s.Ensure("crash")
	if err != nil {
		return err
	}
	if rules, err := s.NotifyRules(ctx, "crash"); err != nil || len(rules) == 0 {
		if err := s.AddNotifyRules(ctx, "crash", []NotifyRule{notify("q", "", "", PutObject)}); err != nil {
			return err
		}
	}
	go s.Deliver(ctx)
	for w := range 4 {
		go func() {
			for n := 1; ; n++ {
				key := args[1] + "-" + strconv.Itoa(w)
				fmt.Printf("start %s %d\n", key, n)
				if _, err := b.Put(ctx, key, strings.NewReader(strings.Repeat("x", n)), PutOptions{}); err != nil {
					panic(err)
				}
				fmt.Printf("done %s %d\n", key, n)
			}
		}()
	}
	select {}
}

// TestKillLosesNoNotification kills a process that writes and delivers, many times:
// the queue is told of every acknowledged put, in the order of each key's puts, and of
// nothing that was not done.
func TestKillLosesNoNotification(t *testing.T) {
	crashtest.Child(outboxChild)
	dir := t.TempDir()
	base := rand.Uint64()
	t.Logf("seed %d", base)
	for i := range uint64(5) {
		round := strconv.FormatUint(base+i, 10)
		c := crashtest.Start(t, dir, round)
		keys := c.Writes(20 + int((base+i)%100))
		file, err := os.OpenFile(dir+"/inbox", os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		db, _, s := openStore(t, dir, Options{Inbox: fileInbox{file}})
		f := &fixture{t: t, dir: dir, db: db, Store: s}
		f.flush()
		data, err := os.ReadFile(dir + "/inbox")
		f.ok(err)
		sizes := map[string][]int64{}
		for line := range strings.Lines(string(data)) {
			var m message
			f.ok(json.Unmarshal([]byte(line), &m))
			if strings.HasPrefix(m.Object.Key, round) && !slices.Contains(sizes[m.Object.Key], *m.Object.Size) { // told again
				sizes[m.Object.Key] = append(sizes[m.Object.Key], *m.Object.Size)
			}
		}
		for key, st := range keys {
			got := sizes[key]
			for n, size := range got {
				if size != int64(n+1) {
					t.Errorf("round %s: %s was told in the order %v", round, key, got)
					break
				}
			}
			if len(got) < st.Acked || len(got) > st.Started {
				t.Errorf("round %s: %s: told of %d puts; %d were acknowledged, %d started", round, key, len(got), st.Acked, st.Started)
			}
		}
		f.ok(db.Close())
		f.ok(file.Close())
	}
}
