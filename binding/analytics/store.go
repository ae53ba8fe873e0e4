package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Options tune a Store. The zero value is what a server uses.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger receives what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
	// MaxBytes bounds the file. Zero: no bound.
	MaxBytes int64
}

// Store is all data sets of a node. It is safe for concurrent use.
//
// Each data set is a table, in the order of time, so that a query reads no more
// than the time it asks for. Its columns are those that queries know.
type Store struct {
	db  *sqlite.DB
	now func() time.Time
	log *slog.Logger

	mu      sync.Mutex // guards pending
	pending pending
	arrived chan struct{} // there are points where there were none, or many

	writing sync.Mutex // taken by who writes; guards tables
	tables  map[string]int64

	dropped atomic.Int64
	stop    context.CancelFunc
	stopped chan struct{}
}

const schema = `
CREATE TABLE IF NOT EXISTS dataset (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS next (seq INTEGER NOT NULL) STRICT;
INSERT INTO next SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM next);`

// file is the database, in the store's folder.
const file = "points.sqlite"

// OpenStore opens the data sets in the folder dir, which is made if it is missing.
func OpenStore(dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open Analytics Engine: %w", err)
	}
	db, err := sqlite.Open(filepath.Join(dir, file), sqlite.Options{Readers: 2, MaxSize: o.MaxBytes, Wait: queryTime, Setup: setUp})
	if err != nil {
		return nil, fmt.Errorf("open Analytics Engine: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		db: db, now: o.Now, log: o.Logger.With("store", "analytics_engine"), tables: map[string]int64{},
		arrived: make(chan struct{}, 1), stop: stop, stopped: make(chan struct{}),
	}
	if err := s.read(); err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("open Analytics Engine: %w", err), db.Close())
	}
	go s.run(ctx)
	return s, nil
}

func (s *Store) read() error {
	return s.db.Write(context.Background(), func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			for statement := range strings.SplitSeq(strings.TrimSuffix(schema, ";"), ";") {
				if err := c.Exec(statement); err != nil {
					return err
				}
			}
			return c.Query("SELECT name, id FROM dataset", nil, func(r *sqlite.Stmt) error {
				s.tables[r.ColumnText(0)] = r.ColumnInt64(1)
				return nil
			})
		})
	})
}

// Close writes what is in memory and closes the file.
func (s *Store) Close() error {
	s.stop()
	<-s.stopped
	return errors.Join(s.Flush(context.Background()), s.db.Close())
}

// Write takes a point, without waiting for the disk. The error says what is wrong
// with the point; one that has no room is dropped.
func (s *Store) Write(dataset string, p Point) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.Time.IsZero() {
		p.Time = s.now()
	}
	s.mu.Lock()
	first := s.pending.points == 0
	taken := s.pending.add(dataset, p)
	wake := first || s.pending.half()
	s.mu.Unlock()
	if !taken {
		s.drop(1)
	}
	if wake {
		select {
		case s.arrived <- struct{}{}:
		default:
		}
	}
	return nil
}

// drop counts points that are lost, and logs the first of a thousand.
func (s *Store) drop(n int) {
	if before := s.dropped.Add(int64(n)) - int64(n); before/1000 != (before+int64(n))/1000 || before == 0 {
		s.log.Warn("data points are dropped: they come faster than they can be written", "dropped", before+int64(n))
	}
}

// run writes what is in memory, each second in which something came.
func (s *Store) run(ctx context.Context) {
	defer close(s.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.arrived:
		}
		for timer.Reset(flushAfter); !s.crowded(); {
			select {
			case <-ctx.Done():
				return
			case <-s.arrived:
				continue
			case <-timer.C:
			}
			break
		}
		if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("data points cannot be written and are lost", "err", err)
		}
	}
}

func (s *Store) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending.half()
}

// Flush writes the points that are in memory. Those that cannot be written are
// lost.
func (s *Store) Flush(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	p := s.pending
	s.pending = pending{}
	s.mu.Unlock()
	if p.points == 0 {
		return nil
	}
	made := map[string]int64{}
	err := s.db.Write(context.WithoutCancel(ctx), func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			clear(made)
			return s.insert(c, p, made)
		})
	})
	if err != nil {
		s.dropped.Add(int64(p.points))
		return fmt.Errorf("write %d data points: %w", p.points, err)
	}
	for name, id := range made {
		s.tables[name] = id
	}
	return nil
}

// Datasets are the names of those that have points, in order.
func (s *Store) Datasets() []string {
	s.writing.Lock()
	defer s.writing.Unlock()
	names := make([]string, 0, len(s.tables))
	for name := range s.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Dropped is how many points were lost since the start.
func (s *Store) Dropped() int64 { return s.dropped.Load() }

// Pending is how many points wait to be written.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending.points
}

// sweepRows bounds what one transaction deletes.
const sweepRows = 5000

// Sweep deletes points that are too old, and data sets without any. It returns
// the number of points.
func (s *Store) Sweep(ctx context.Context) (deleted int, err error) {
	old := s.now().AddDate(0, -Retention, 0).Unix()
	for _, name := range s.Datasets() {
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				var n int
				n, err = s.sweep(ctx, name, old)
				deleted += n
				more = n == sweepRows
			}
		}
		if err != nil {
			return deleted, fmt.Errorf("sweep the data set %s: %w", name, err)
		}
	}
	return deleted, nil
}

// sweep deletes up to sweepRows points of a data set, and the data set when it
// has none left.
func (s *Store) sweep(ctx context.Context, name string, old int64) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	id, ok := s.tables[name]
	if !ok {
		return 0, nil
	}
	table, empty := tableName(id), false
	err = s.db.Write(ctx, func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			before := c.TotalChanges()
			err := c.Exec("DELETE FROM "+table+" WHERE (timestamp, seq) IN (SELECT timestamp, seq FROM "+table+" WHERE timestamp < ? ORDER BY timestamp, seq LIMIT ?)", old, sweepRows)
			if err != nil {
				return err
			}
			n = int(c.TotalChanges() - before)
			empty = true
			err = c.Query("SELECT 1 FROM "+table+" LIMIT 1", nil, func(*sqlite.Stmt) error {
				empty = false
				return nil
			})
			if err != nil || !empty {
				return err
			}
			if err := c.Exec("DROP TABLE " + table); err != nil {
				return err
			}
			return c.Exec("DELETE FROM dataset WHERE id = ?", id)
		})
	})
	if err == nil && empty {
		delete(s.tables, name)
	}
	return n, err
}
