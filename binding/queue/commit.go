package queue

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Queue is a queue. It is safe for concurrent use and stays valid until the
// store is closed; after the queue has been deleted every call returns
// ErrNotFound.
type Queue struct {
	store  *Store
	id     string
	number uint64

	// writing is held by whoever commits, for all who wait. It is taken before mu.
	// What commits change is written with both held, so that either is enough to
	// read it: counters, purges and deleted.
	writing sync.Mutex

	mu  sync.Mutex
	row row
	// declared is the consumer that a Worker's own configuration names, before
	// that of row.
	declared *Consumer
	pending  []*change
	counters
	// next is the first place where a message may be that nobody has taken, and
	// first the first where there may be any.
	next, first place
	// oldest is when the message at first was sent; 0 if that must be looked up.
	oldest int64
	// held are the messages in somebody's hands, by sequence number.
	held    map[uint64]struct{}
	purges  int // how often the queue was emptied
	deleted bool
	// woken is told that something may have become ready. Nil: nobody waits.
	woken func()
}

// ID is the queue's id, 32 hexadecimal characters.
func (q *Queue) ID() string { return q.id }

// Name is the queue's name.
func (q *Queue) Name() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.row.Name
}

// change is what one caller wants to be committed.
type change struct {
	stage func(*tx) error
	done  bool
	err   error
}

// tx is one commit of a queue.
type tx struct {
	q   *Queue
	b   keyed.Batch
	now int64 // ms
	counters
	settings Settings
	changed  bool
	// lowest is the first place that a message was put, and gone those whose
	// message was taken away.
	lowest *place
	gone   []place
	freed  []uint64
	purged bool
	// deleted: the queue itself is.
	deleted bool
	// leases are where messages are since this commit, 0 if nowhere.
	leases map[uint64]int64
}

// maxCommit is the size from which a commit takes no further changes, in bytes.
const maxCommit = 4 << 20

// update commits what stage writes, durably and together with what others want
// at the same time. stage is called once; if it fails it must not have written.
func (q *Queue) update(stage func(*tx) error) error {
	c := &change{stage: stage}
	q.mu.Lock()
	q.pending = append(q.pending, c)
	q.mu.Unlock()
	q.writing.Lock()
	defer q.writing.Unlock()
	for !c.done {
		q.commit()
	}
	return c.err
}

// commit makes one commit of what is pending. writing is held.
func (q *Queue) commit() {
	q.mu.Lock()
	list := q.pending
	q.pending = nil
	t := &tx{q: q, b: q.store.db.Batch(), now: q.store.now().UnixMilli(), counters: q.counters, settings: q.row.Settings}
	q.mu.Unlock()
	defer t.b.Close()

	n := 0
	for ; n < len(list) && t.b.Size() < maxCommit; n++ {
		c := list[n]
		if q.deleted {
			c.err = ErrNotFound
		} else {
			c.err = c.stage(t)
		}
		if t.deleted {
			n++
			break // who comes later must know whether it succeeded
		}
	}
	var err error
	if t.changed {
		if !t.deleted {
			t.b.Set(numberRow(rowCounts, q.number), t.counters.append(nil))
		}
		if err = t.b.Commit(); errors.Is(err, syscall.ENOSPC) {
			q.store.log.Error("a queue cannot be written", "queue", q.Name(), "err", err)
			err = ErrOverloaded
		} else if err != nil {
			err = fmt.Errorf("write queue: %w", err)
		}
	}
	for _, c := range list[:n] {
		c.done = true
		if c.err == nil {
			c.err = err
		}
	}

	q.mu.Lock()
	q.pending = append(list[n:len(list):len(list)], q.pending...)
	var wake func()
	if err == nil {
		t.apply()
		wake = q.woken
	}
	q.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// apply makes what was committed known. q.mu is held.
func (t *tx) apply() {
	q := t.q
	q.counters, q.deleted = t.counters, q.deleted || t.deleted
	if t.purged {
		q.held = map[uint64]struct{}{}
		q.purges++
		q.oldest = 0
	}
	for _, p := range t.gone {
		if p == q.first {
			q.oldest = 0
		}
	}
	for _, seq := range t.freed {
		delete(q.held, seq)
	}
	if t.lowest != nil {
		if t.lowest.before(q.next) {
			q.next = *t.lowest
		}
		if t.lowest.before(q.first) {
			q.first, q.oldest = *t.lowest, 0
		}
	}
}

// put writes a message so that it is ready at p.at.
func (t *tx) put(p place, r *record) {
	t.changed = true
	t.b.Set(messageRow(t.q.number, p), r.append(nil))
	if r.leased {
		t.b.Set(seqRow(rowLease, t.q.number, p.seq), at8(p.at))
		t.lease(p.seq, p.at)
	}
	if t.lowest == nil || p.before(*t.lowest) {
		t.lowest = &p
	}
}

// add writes a new message.
func (t *tx) add(at int64, r *record) {
	t.seq++
	t.count++
	t.bytes += int64(r.size)
	if r.apart() {
		t.b.Set(seqRow(rowBody, t.q.number, t.seq), r.body)
	}
	t.put(place{at, t.seq}, r)
}

// move makes a message ready at another time.
func (t *tx) move(p place, at int64, r *record) {
	t.b.Delete(messageRow(t.q.number, p))
	t.gone = append(t.gone, p)
	t.put(place{at, p.seq}, r)
}

// remove deletes a message.
func (t *tx) remove(p place, r *record) {
	t.changed = true
	t.count--
	t.bytes -= int64(r.size)
	t.gone = append(t.gone, p)
	t.b.Delete(messageRow(t.q.number, p))
	if r.apart() {
		t.b.Delete(seqRow(rowBody, t.q.number, p.seq))
	}
	if r.leased {
		t.b.Delete(seqRow(rowLease, t.q.number, p.seq))
		t.lease(p.seq, 0)
	}
}

// clear deletes all messages.
func (t *tx) clear() {
	t.changed, t.purged = true, true
	t.count, t.bytes = 0, 0
	for _, kind := range []byte{rowMessage, rowBody, rowLease} {
		prefix := numberRow(kind, t.q.number)
		t.b.DeleteRange(prefix, keyed.After(prefix))
	}
}

func (t *tx) lease(seq uint64, at int64) {
	if t.leases == nil {
		t.leases = map[uint64]int64{}
	}
	t.leases[seq] = at
}
