package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Options tune a Store. The zero value is what a server uses.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger receives what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
	// MaxBacklogBytes is how much a queue holds. Default: the constant of that name.
	MaxBacklogBytes int64
}

// Store is all queues of a node. It is safe for concurrent use.
type Store struct {
	db  *keyed.DB
	now func() time.Time
	log *slog.Logger
	max int64

	// mu guards the maps and the rows of the queues. It is taken before a
	// queue's own locks.
	mu     sync.Mutex
	byID   map[string]*Queue
	byName map[string]*Queue
	latest uint64
	// changed is told of queues that come, go or are configured anew.
	changed chan struct{}
}

// OpenStore opens the queues kept in db, which is not closed with them. It
// reads two small rows of each queue, and no message.
func OpenStore(db *keyed.DB, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxBacklogBytes == 0 {
		o.MaxBacklogBytes = MaxBacklogBytes
	}
	s := &Store{
		db: db, now: o.Now, log: o.Logger.With("store", "queue"), max: o.MaxBacklogBytes,
		byID: map[string]*Queue{}, byName: map[string]*Queue{}, changed: make(chan struct{}, 1),
	}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("open queues: %w", err)
	}
	return s, nil
}

func (s *Store) read() error {
	prefix := []byte{keyed.SpaceQueue, rowQueue}
	var bad error
	err := s.db.Scan(prefix, keyed.After(prefix), func(key, value []byte) bool {
		q := s.queue(string(key[len(prefix):]))
		if bad = json.Unmarshal(value, &q.row); bad != nil {
			bad = fmt.Errorf("queue %s: %w", q.id, bad)
			return false
		}
		q.number = q.row.Number
		s.byID[q.id], s.byName[q.row.Name] = q, q
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return err
	}
	for _, q := range s.byID {
		v, found, err := s.db.Get(numberRow(rowCounts, q.number))
		if err != nil {
			return err
		}
		if !found {
			continue // nothing was ever sent
		}
		q.counters, err = decodeCounters(v.Bytes)
		v.Release()
		if err != nil {
			return fmt.Errorf("queue %s: %w", q.row.Name, err)
		}
	}
	v, found, err := s.db.Get([]byte{keyed.SpaceQueue, rowNumber})
	if err != nil || !found {
		return err
	}
	defer v.Release()
	return json.Unmarshal(v.Bytes, &s.latest)
}

func (s *Store) queue(id string) *Queue {
	return &Queue{store: s, id: id, held: map[uint64]struct{}{}}
}

// Queue returns the queue with an id, or ErrNotFound.
func (s *Store) Queue(id string) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.byID[id]; q != nil {
		return q, nil
	}
	return nil, ErrNotFound
}

// Named returns the queue with a name, or ErrNotFound.
func (s *Store) Named(name string) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.byName[name]; q != nil {
		return q, nil
	}
	return nil, ErrNotFound
}

// Queues returns all queues, by name.
func (s *Store) Queues() []*Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.byName))
	list := make([]*Queue, len(names))
	for i, name := range names {
		list[i] = s.byName[name]
	}
	return list
}

// Backlog is the number of messages in all queues.
func (s *Store) Backlog() (n int64) {
	for _, q := range s.Queues() {
		q.mu.Lock()
		n += q.count
		q.mu.Unlock()
	}
	return n
}

// sweepRows bounds how many messages are deleted by one commit because they are
// too old.
const sweepRows = 1000

// Sweep deletes messages that are older than their queue keeps them, and returns
// their number. None of them would be delivered any more.
func (s *Store) Sweep(ctx context.Context) (deleted int, err error) {
	for _, q := range s.Queues() {
		for {
			if err := ctx.Err(); err != nil {
				return deleted, err
			}
			n, err := q.sweep()
			deleted += n
			if err != nil {
				return deleted, fmt.Errorf("sweep queue %s: %w", q.Name(), err)
			}
			if n < sweepRows {
				break
			}
		}
	}
	return deleted, nil
}

// sweep deletes up to sweepRows messages. A message comes into its queue before
// it is ready, so that those that are too old come before a place.
func (q *Queue) sweep() (int, error) {
	q.mu.Lock()
	old := q.store.now().UnixMilli() - int64(q.row.Settings.Retention)*1000
	var list []*taken
	from, to := q.first, place{max(old+1, 0), 0}
	if !from.before(to) {
		q.mu.Unlock()
		return 0, nil
	}
	err := q.store.db.Scan(messageRow(q.number, from), messageRow(q.number, to), func(key, value []byte) bool {
		m := &taken{place: placeOf(key), purges: q.purges}
		if _, ok := q.held[m.seq]; ok {
			return true
		}
		var bad error
		if m.record, bad = decodeRecord(value); bad == nil {
			q.held[m.seq] = struct{}{}
			list = append(list, m)
		}
		return len(list) < sweepRows
	})
	q.mu.Unlock()
	if err == nil && len(list) > 0 {
		err = q.drop(list)
	}
	if err != nil {
		q.release(list)
		return 0, err
	}
	return len(list), nil
}

// checkName says what is wrong with the name of a queue.
func checkName(name string) error {
	if name == "" || len(name) > MaxNameChars {
		return fmt.Errorf("a queue's name has 1 to %d characters, not %d", MaxNameChars, len(name))
	}
	ok := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	if i := strings.IndexFunc(name, func(c rune) bool { return !ok(c) }); i >= 0 {
		return fmt.Errorf("the queue's name %q may have letters, digits, - and _ only", name)
	}
	if strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") {
		return fmt.Errorf("the queue's name %q may not begin or end with -", name)
	}
	return nil
}
