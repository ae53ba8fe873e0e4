package workflow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Options tune a Store. The zero value is what a server uses.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Quota bounds what all Workflows store, in bytes. 0: no bound.
	Quota int64
	// Logger receives what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
}

// Store is all Workflows of a node. It is safe for concurrent use.
type Store struct {
	db  *keyed.DB
	now func() time.Time
	log *slog.Logger

	quota int64
	used  atomic.Int64 // counted only if there is a quota

	// mu guards what follows and the rows of the Workflows. It is taken before
	// every other lock.
	mu     sync.Mutex
	byName map[string]*Workflow
	latest uint64
	// changed is told of Workflows that come and go.
	changed chan struct{}

	// live are the runs by their tokens.
	liveMu sync.Mutex
	live   map[string]*run

	watching watchers
}

// OpenStore opens the Workflows kept in db, which is not closed with them. It
// reads a row of each Workflow, and those of the instances that ran when the
// program ended.
func OpenStore(db *keyed.DB, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{
		db: db, now: o.Now, log: o.Logger.With("store", "workflow"), quota: o.Quota,
		byName: map[string]*Workflow{}, changed: make(chan struct{}, 1), live: map[string]*run{},
		watching: watchers{of: map[watched]*watch{}},
	}
	if err := errors.Join(s.read(), s.recount(context.Background())); err != nil {
		return nil, fmt.Errorf("open Workflows: %w", err)
	}
	return s, nil
}

func (s *Store) read() error {
	prefix := key(rowWorkflow)
	var bad error
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, value []byte) bool {
		var r row
		if bad = json.Unmarshal(value, &r); bad == nil && len(r.Versions) == 0 {
			bad = errRow
		}
		if bad != nil {
			bad = fmt.Errorf("Workflow %s: %w", k[len(prefix):], bad)
			return false
		}
		s.byName[r.Name] = s.workflow(r)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	v, found, err := s.db.Get(key(rowNumber))
	if err != nil {
		return err
	}
	if found {
		err = json.Unmarshal(v.Bytes, &s.latest)
		v.Release()
		if err != nil {
			return err
		}
	}
	for _, w := range s.byName {
		if err := w.recover(); err != nil {
			return fmt.Errorf("Workflow %s: %w", w.name, err)
		}
	}
	return nil
}

func (s *Store) workflow(r row) *Workflow {
	return &Workflow{store: s, number: r.Number, name: r.Name, row: r, open: map[uint64]*instance{}, coming: map[string]bool{}, kicked: make(chan struct{}, 1)}
}

// recover finds the greatest number of an instance, and has those run again whose
// run the end of the program cut off.
func (w *Workflow) recover() error {
	prefix := key(rowInstance, w.number)
	err := w.store.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		w.latest = ^binary.BigEndian.Uint64(k[len(prefix):])
		return false
	})
	if err != nil {
		return err
	}
	var list []uint64
	prefix = key(rowRunning, w.number)
	err = w.store.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		list = append(list, binary.BigEndian.Uint64(k[len(prefix):]))
		return true
	})
	if err != nil {
		return err
	}
	for _, number := range list {
		err := w.with(number, func(in *instance) error { return in.recover() })
		if errors.Is(err, ErrNoInstance) {
			err = w.store.db.Delete(key(rowRunning, w.number, number))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Workflow returns the Workflow of a name, or ErrNoWorkflow.
func (s *Store) Workflow(name string) (*Workflow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.byName[name]; w != nil {
		return w, nil
	}
	return nil, ErrNoWorkflow
}

// Workflows returns all Workflows, by name.
func (s *Store) Workflows() []*Workflow {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.byName))
	list := make([]*Workflow, len(names))
	for i, name := range names {
		list[i] = s.byName[name]
	}
	return list
}

// Running is the number of instances that run now.
func (s *Store) Running() int {
	s.liveMu.Lock()
	defer s.liveMu.Unlock()
	return len(s.live)
}

// millis is the time in ms since 1970.
func (s *Store) millis() int64 { return s.now().UnixMilli() }

// tell says that a Workflow has come, gone or changed.
func (s *Store) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
