package r2

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// The outbox has what queues are to be told. A note is written in the batch of the
// change that it tells of, so there is one exactly when there was a change; it is
// deleted once the queue has it. A crash between the two lets the queue have it
// twice: notes are delivered at least once, as on Cloudflare, and to each queue the
// oldest first.
//
// A queue that refuses, because it is full, is tried again after a pause that
// doubles from a second to a minute; other queues do not wait for it. Nothing is
// dropped meanwhile: when MaxNotes wait, changes that a queue would have to be told
// of are refused. Notes for a queue that has been deleted are dropped, as nobody
// could read them.

// MaxNotes is how many notes may wait in the outbox, for all buckets together.
const MaxNotes = 100_000

// notesAtOnce is how many a queue gets at once.
const notesAtOnce = 100

const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// ErrOutboxFull: a change is refused because a queue does not take what it has to be
// told of others.
var ErrOutboxFull = &Error{503, ErrTooManyRequests.Code, fmt.Sprintf("%d event notifications wait for queues that do not take them; consume or purge the queue, or delete the rule.", MaxNotes)}

// message is what a queue is told.
//
// Source: https://developers.cloudflare.com/r2/buckets/event-notifications/#message-format
type message struct {
	Account string        `json:"account"`
	Action  string        `json:"action"`
	Bucket  string        `json:"bucket"`
	Object  messageObject `json:"object"`
	Time    string        `json:"eventTime"`
	Source  *CopySource   `json:"copySource,omitempty"`
}

type messageObject struct {
	Key string `json:"key"`
	// Size and ETag are of an object that is there.
	Size *int64 `json:"size,omitempty"`
	ETag string `json:"eTag,omitempty"`
}

// CopySource is the object that another is a copy of.
type CopySource struct {
	Bucket string `json:"bucket"`
	Key    string `json:"object"`
}

// told is the queue that has to be told of an action on a key, "" for none.
func (b *Bucket) told(action, key string) string {
	rules := b.settings.Load().Notify
	for i := range rules {
		if rules[i].fits(action, key) {
			return rules[i].Queue
		}
	}
	return ""
}

// roomToTell refuses a change of which a queue would have to be told, if the outbox
// is full.
func (b *Bucket) roomToTell(action, key string) error {
	if b.store.notes.Load() >= b.store.maxNotes && b.told(action, key) != "" {
		return ErrOutboxFull
	}
	return nil
}

// tell adds to batch the note about a change, and returns how many there are: one or
// none. from is set for a copy. After the commit, noted is called.
func (b *Bucket) tell(batch keyed.Batch, action string, o *Object, from *CopySource) (notes int) {
	queue := b.told(action, o.Key)
	if queue == "" {
		return 0
	}
	s := b.store
	m := message{Account: s.account, Action: action, Bucket: b.name, Object: messageObject{Key: o.Key}, Time: s.moment().Format("2006-01-02T15:04:05.000Z"), Source: from}
	if action != DeleteObject && action != LifecycleDeletion {
		m.Object.Size, m.Object.ETag = &o.Size, o.ETag
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and numbers only
	}
	batch.Set(noteKey(queue, s.lastNote.Add(1)), data)
	return 1
}

// noted wakes whoever delivers, after the commit of n notes.
func (s *Store) noted(n int) {
	if n == 0 {
		return
	}
	s.notes.Add(int64(n))
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// noteKey sorts notes by queue and age.
func noteKey(queue string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(row(rowNote, queue), 0), number)
}

// noteQueue is the queue of a row.
func noteQueue(key []byte) (string, bool) {
	rest := key[len(row(rowNote)):]
	if len(rest) < 9 || rest[len(rest)-9] != 0 {
		return "", false
	}
	return string(rest[:len(rest)-9]), true
}

// countNotes finds how many notes wait, and the number of the latest.
func (s *Store) countNotes() error {
	prefix := row(rowNote)
	return s.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		if _, ok := noteQueue(k); ok {
			s.notes.Add(1)
			s.lastNote.Store(max(s.lastNote.Load(), binary.BigEndian.Uint64(k[len(k)-8:])))
		}
		return true
	})
}

// post is what is known of a queue that refuses.
type post struct {
	pause time.Duration
	next  time.Time // not before
}

// Deliver brings the notes to their queues until ctx ends. It is called once.
func (s *Store) Deliver(ctx context.Context) {
	refusing := map[string]*post{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		for more := true; more && ctx.Err() == nil; {
			more = false
			for _, queue := range s.waiting() {
				again, err := s.deliver(ctx, queue, refusing)
				if err != nil && ctx.Err() == nil {
					s.log.Warn("event notifications wait", "queue", queue, "pause", refusing[queue].pause, "error", err)
				}
				more = more || again
			}
		}
		next := lastPause
		for _, p := range refusing {
			next = min(next, p.next.Sub(s.now()))
		}
		timer.Reset(max(next, 0))
	}
}

// waiting are the queues that have notes waiting.
func (s *Store) waiting() (queues []string) {
	lower, upper := row(rowNote), keyed.After(row(rowNote))
	for {
		queue, found := "", false
		err := s.db.Scan(lower, upper, func(k, _ []byte) bool {
			queue, found = noteQueue(k)
			return false
		})
		if err != nil || !found {
			return queues
		}
		queues = append(queues, queue)
		lower = keyed.After(append(row(rowNote, queue), 0))
	}
}

// deliver brings a queue its oldest notes, and reports whether it may have more.
func (s *Store) deliver(ctx context.Context, queue string, refusing map[string]*post) (more bool, err error) {
	p := refusing[queue]
	if p != nil && s.now().Before(p.next) {
		return false, nil
	}
	var keys, bodies [][]byte
	prefix := append(row(rowNote, queue), 0)
	err = s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		keys, bodies = append(keys, append([]byte(nil), k...)), append(bodies, append([]byte(nil), v...))
		return len(keys) < notesAtOnce
	})
	if err == nil && len(keys) > 0 {
		err = s.inbox.Post(ctx, queue, bodies)
	}
	if errors.Is(err, binding.ErrNoInbox) {
		s.log.Warn("event notifications are dropped: there is no such queue any more", "queue", queue, "notes", len(keys))
		err = nil
	}
	if err == nil && len(keys) > 0 {
		batch := s.db.Batch()
		defer batch.Close()
		for _, k := range keys {
			batch.Delete(k)
		}
		// A crash that undoes this lets the queue have them again.
		if err = batch.CommitUnsynced(); err == nil {
			s.notes.Add(-int64(len(keys)))
		}
	}
	if err != nil {
		if p == nil {
			p = &post{pause: firstPause / 2}
			refusing[queue] = p
		}
		p.pause = min(2*p.pause, lastPause)
		p.next = s.now().Add(p.pause)
		return false, err
	}
	delete(refusing, queue)
	return len(keys) == notesAtOnce, nil
}
