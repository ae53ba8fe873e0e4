package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// taken is a message in somebody's hands.
type taken struct {
	place
	record
	purges int // of the queue at that moment
}

// take finds up to n messages that are ready and marks them as held. later is
// the millisecond at which the next one will be, 0 if none is waiting. Messages
// that are too old are deleted on the way.
func (q *Queue) take(n int) (list []*taken, later int64, err error) {
	now := q.store.now().UnixMilli()
	q.mu.Lock()
	if q.deleted {
		q.mu.Unlock()
		return nil, 0, ErrNotFound
	}
	old := now - int64(q.row.Settings.Retention)*1000
	var expired []*taken
	var bad error
	end := keyed.After(numberRow(rowMessage, q.number))
	err = q.store.db.Scan(messageRow(q.number, q.next), end, func(key, value []byte) bool {
		p := placeOf(key)
		if p.at > now {
			later = p.at
			return false
		}
		if len(list) == n {
			return false
		}
		q.next = p.after()
		if _, ok := q.held[p.seq]; ok {
			return true
		}
		m := &taken{place: p, purges: q.purges}
		if m.record, bad = decodeRecord(value); bad != nil {
			// It stays where it is, and out of the way until the next start.
			q.store.log.Error("a message cannot be read", "queue", q.row.Name, "seq", p.seq, "err", bad)
			return true
		}
		q.held[p.seq] = struct{}{}
		if m.born() <= old {
			expired = append(expired, m)
			return len(expired) < sweepRows
		}
		list = append(list, m)
		return true
	})
	more := len(expired) == sweepRows
	q.mu.Unlock()
	if err != nil {
		q.release(append(list, expired...))
		return nil, 0, fmt.Errorf("read queue: %w", err)
	}
	if len(expired) > 0 {
		if err := q.drop(expired); err != nil {
			q.release(append(list, expired...))
			return nil, 0, err
		}
	}
	if more && len(list) < n {
		later = now // there is more to look at
	}
	return list, later, nil
}

// release puts messages back as they were.
func (q *Queue) release(list []*taken) {
	q.mu.Lock()
	for _, m := range list {
		if m.purges != q.purges {
			continue
		}
		delete(q.held, m.seq)
		if m.before(q.next) {
			q.next = m.place
		}
	}
	wake := q.woken
	q.mu.Unlock()
	if wake != nil && len(list) > 0 {
		wake()
	}
}

// drop deletes messages.
func (q *Queue) drop(list []*taken) error {
	return q.update(func(t *tx) error {
		for _, m := range list {
			t.freed = append(t.freed, m.seq)
			if m.current(t) {
				t.remove(m.place, &m.record)
			}
		}
		t.changed = true // so that it is known only when it is durable
		return nil
	})
}

// current reports whether m is still there when t is committed: the queue may
// have been emptied, and whoever pulled m earlier may still acknowledge it.
func (m *taken) current(t *tx) bool {
	if t.purged || m.purges != t.q.purges {
		return false
	}
	if !m.leased {
		return true
	}
	if at, known := t.leases[m.seq]; known {
		return at == m.at
	}
	v, found, err := t.q.store.db.Get(messageRow(t.q.number, m.place))
	v.Release()
	return found && err == nil
}

// errGone: the message has been deleted.
var errGone = errors.New("the message is gone")

// load reads the body of a message that has a row of its own.
func (q *Queue) load(m *taken) error {
	if m.body != nil || !m.apart() {
		return nil
	}
	v, found, err := q.store.db.Get(seqRow(rowBody, q.number, m.seq))
	if err != nil {
		return fmt.Errorf("read message %s: %w", m.name(), err)
	}
	if !found {
		return errGone
	}
	defer v.Release()
	if len(v.Bytes) != m.size {
		return fmt.Errorf("read message %s: %w", m.name(), errRecord)
	}
	m.body = append([]byte{}, v.Bytes...)
	return nil
}

// find looks for the message that a lease is about. nil: it is gone.
func (t *tx) find(l lease) (place, *record, error) {
	at, known := t.leases[l.seq]
	if !known {
		v, found, err := t.q.store.db.Get(seqRow(rowLease, t.q.number, l.seq))
		if err != nil || !found {
			return place{}, nil, err
		}
		at = int64(binary.BigEndian.Uint64(v.Bytes))
		v.Release()
	}
	// A message that this very commit has moved is not there to be read.
	if t.purged || known {
		return place{}, nil, nil
	}
	p := place{at, l.seq}
	v, found, err := t.q.store.db.Get(messageRow(t.q.number, p))
	if err != nil || !found {
		return place{}, nil, err
	}
	defer v.Release()
	r, err := decodeRecord(v.Bytes)
	if err != nil || r.id != l.id {
		return place{}, nil, err
	}
	return p, &r, nil
}

func at8(at int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at)) }

// Metrics describes the backlog.
func (q *Queue) Metrics() Metrics {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := Metrics{Count: q.count, Bytes: q.bytes}
	if m.Count == 0 {
		return m
	}
	if q.oldest == 0 {
		end := keyed.After(numberRow(rowMessage, q.number))
		err := q.store.db.Scan(messageRow(q.number, q.first), end, func(key, value []byte) bool {
			q.first = placeOf(key)
			if r, err := decodeRecord(value); err == nil {
				q.oldest = r.sent
			}
			return false
		})
		if err != nil {
			q.store.log.Error("a queue cannot be read", "queue", q.row.Name, "err", err)
		}
	}
	if q.oldest != 0 {
		m.Oldest = time.UnixMilli(q.oldest)
	}
	return m
}
