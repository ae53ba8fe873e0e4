package d1

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Options configure a Store. The zero value is right for a server.
type Options struct {
	// Now is the clock; default time.Now.
	Now func() time.Time
	// MaxQueryTime bounds one call; default DefaultMaxQueryTime.
	MaxQueryTime time.Duration
	// MaxSize bounds one database in bytes; default DefaultMaxSize.
	MaxSize int64
	// MaxAccount bounds all databases together in bytes; default DefaultMaxAccount.
	MaxAccount int64
	// MaxHistory bounds the Time Travel history of one database in bytes; see
	// history.Options.Budget. Default 1 GiB.
	MaxHistory int64
	// Sync is what an acknowledged call survives; default sqlite.SyncNormal.
	Sync sqlite.Sync
	// Memory is what calls take their memory from, each on behalf of a Worker.
	// Nil: there is no bound.
	Memory *budget.Budget
	// MaxOpen is how many databases are kept open at once, as far as they are
	// idle; default 128, or fewer with little Memory: a connection that is open
	// keeps up to 8 MiB beside what calls take.
	MaxOpen int
	// Idle is how long an unused database stays open; default 1 minute.
	Idle time.Duration
}

// registryFile has the names of the databases.
const registryFile = "databases.db"

// Store holds the databases of one data directory: a registry of their names
// in databases.db and for each one file, <id>.sqlite, and its history in
// <id>.history. It is safe for concurrent use by one process.
type Store struct {
	dir      string
	opts     Options
	registry *sqlite.DB
	open     atomic.Int64 // open files
	used     atomic.Int64 // bytes of all databases

	mu        sync.Mutex           // taken after a Database's own lock, never before
	databases map[string]*Database // those asked for since the start, by id

	transfers *transfers

	stop    chan struct{}
	stopped chan struct{}
}

// Info describes a database.
type Info struct {
	// ID is a UUID.
	ID string
	// Name is unique.
	Name    string
	Created time.Time
}

// OpenStore opens the store in dir, which is created if need be. Close it.
func OpenStore(dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxQueryTime == 0 {
		o.MaxQueryTime = DefaultMaxQueryTime
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxAccount == 0 {
		o.MaxAccount = DefaultMaxAccount
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = int(min(max(o.Memory.Total()/littleHeap, 16), 128))
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open D1: %w", err)
	}
	registry, err := sqlite.Open(filepath.Join(dir, registryFile), sqlite.Options{Readers: 2, Sync: sqlite.SyncFull})
	if err != nil {
		return nil, fmt.Errorf("open D1: %w", err)
	}
	err = registry.Write(context.Background(), func(c *sqlite.Conn) error {
		if err := checkRegistry(c, dir); err != nil {
			return err
		}
		return c.Exec(`CREATE TABLE IF NOT EXISTS database (
			id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL) STRICT, WITHOUT ROWID`)
	})
	if err != nil {
		registry.Close()
		return nil, fmt.Errorf("open D1: %w", err)
	}
	removeOldTransfers(dir)
	removeSpills(dir)
	s := &Store{
		dir: dir, opts: o, registry: registry, databases: map[string]*Database{},
		transfers: newTransfers(filepath.Join(dir, transfersPrefix+uuid.NewString())),
		stop:      make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := s.measure(); err != nil {
		registry.Close()
		return nil, fmt.Errorf("open D1: %w", err)
	}
	go s.sweep()
	return s, nil
}

// checkRegistry refuses an empty registry beside databases, which nobody would
// find any more.
func checkRegistry(c *sqlite.Conn, dir string) error {
	tables := int64(0)
	err := c.Query("SELECT count(*) FROM sqlite_schema WHERE name = 'database'", nil, func(r *sqlite.Stmt) error {
		tables = r.ColumnInt64(0)
		return nil
	})
	if err != nil || tables > 0 {
		return err
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.sqlite"))
	if err != nil || len(left) == 0 {
		return err
	}
	return fmt.Errorf("%s, which names the databases, is lost, and %d of them are there: put it back, or restore a backup into a new directory",
		filepath.Join(dir, registryFile), len(left))
}

// Close closes every database. Calls in progress finish first.
func (s *Store) Close() error {
	close(s.stop)
	<-s.stopped
	first := s.transfers.close()
	for _, d := range s.list() {
		d.mu.Lock()
		d.deleted = true
		first = errors.Join(first, d.closeFile())
		d.mu.Unlock()
	}
	return errors.Join(first, s.registry.Close())
}

// sweep closes idle databases until the store is closed.
func (s *Store) sweep() {
	defer close(s.stopped)
	tick := time.NewTicker(max(s.opts.Idle/4, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.closeIdle()
		}
	}
}

func (s *Store) closeIdle() error {
	var first error
	before := s.opts.Now().Add(-s.opts.Idle)
	for _, d := range s.list() {
		first = errors.Join(first, d.closeIdle(before))
	}
	return first
}

func (s *Store) list() []*Database {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Database, 0, len(s.databases))
	for _, d := range s.databases {
		list = append(list, d)
	}
	return list
}

// Waiting is how many calls wait for their turn at a database.
func (s *Store) Waiting() int {
	n := 0
	for _, d := range s.list() {
		d.mu.Lock()
		if d.file != nil {
			n += d.file.Waiting()
		}
		d.mu.Unlock()
	}
	return n
}

// makeRoom closes the idle database that was used longest ago if MaxOpen are
// open. opening, whose lock the caller holds, is left alone.
func (s *Store) makeRoom(opening *Database) error {
	if s.open.Load() < int64(s.opts.MaxOpen) {
		return nil
	}
	var oldest *Database
	var at time.Time
	for _, d := range s.list() {
		// TryLock: whoever holds the lock is using the database, or is in here
		// too and must not wait for us.
		if d == opening || !d.mu.TryLock() {
			continue
		}
		if d.file != nil && d.users == 0 && (oldest == nil || d.used.Before(at)) {
			oldest, at = d, d.used
		}
		d.mu.Unlock()
	}
	if oldest == nil || !oldest.mu.TryLock() {
		return nil
	}
	defer oldest.mu.Unlock()
	if oldest.users > 0 {
		return nil
	}
	return oldest.closeFile()
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Create makes a database. Errors: ErrExists, ErrTooMany, or a name that is
// not 1 to 64 letters, digits, "-" and "_".
func (s *Store) Create(ctx context.Context, name string) (Info, error) {
	if !validName.MatchString(name) {
		return Info{}, errorf("invalid database name %q: use 1 to 64 letters, digits, hyphens and underscores", name)
	}
	return s.insert(ctx, uuid.NewString(), name)
}

// CreateAs makes a database with an id of the caller's, of 1 to 64 letters,
// digits, "-" and "_". Otherwise it is as Create.
func (s *Store) CreateAs(ctx context.Context, id, name string) (Info, error) {
	if !validName.MatchString(name) {
		return Info{}, errorf("invalid database name %q: use 1 to 64 letters, digits, hyphens and underscores", name)
	}
	if !validName.MatchString(id) {
		return Info{}, errorf("invalid database id %q: use 1 to 64 letters, digits, hyphens and underscores", id)
	}
	return s.insert(ctx, id, name)
}

func (s *Store) insert(ctx context.Context, id, name string) (Info, error) {
	info := Info{ID: id, Name: name, Created: time.UnixMilli(s.opts.Now().UnixMilli()).UTC()}
	err := s.registry.Write(ctx, func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			taken, count := int64(0), int64(0)
			err := c.Query("SELECT count(*), count(*) FILTER (WHERE name = ?1 OR id = ?2) FROM database", []any{name, id},
				func(r *sqlite.Stmt) error { count, taken = r.ColumnInt64(0), r.ColumnInt64(1); return nil })
			switch {
			case err != nil:
				return err
			case taken > 0:
				return ErrExists
			case count >= MaxDatabases:
				return ErrTooMany
			}
			// A crash between the two steps of Delete may have left the old file.
			if err := (&Database{path: databasePath(s.dir, fileName(id))}).remove(); err != nil {
				return err
			}
			return c.Exec("INSERT INTO database (id, name, created) VALUES (?, ?, ?)", id, name, info.Created)
		})
	})
	if err != nil {
		return Info{}, fmt.Errorf("create database %s: %w", name, err)
	}
	return info, nil
}

// List gives all databases, the newest first.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	return s.find(ctx, "SELECT id, name, created FROM database ORDER BY created DESC, id")
}

// Get finds a database by its id or its name.
func (s *Store) Get(ctx context.Context, idOrName string) (Info, error) {
	list, err := s.find(ctx, "SELECT id, name, created FROM database WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC", idOrName)
	if err != nil {
		return Info{}, err
	}
	if len(list) == 0 {
		return Info{}, fmt.Errorf("%w: %s", ErrNotFound, idOrName)
	}
	return list[0], nil
}

func (s *Store) find(ctx context.Context, sql string, args ...any) ([]Info, error) {
	var list []Info
	err := s.registry.Read(ctx, func(c *sqlite.Conn) error {
		return c.Query(sql, args, func(r *sqlite.Stmt) error {
			list = append(list, Info{ID: r.ColumnText(0), Name: r.ColumnText(1), Created: time.UnixMilli(r.ColumnInt64(2)).UTC()})
			return nil
		})
	})
	return list, err
}

// Rename gives a database another name. Errors: ErrNotFound, ErrExists.
func (s *Store) Rename(ctx context.Context, id, name string) error {
	if !validName.MatchString(name) {
		return errorf("invalid database name %q: use 1 to 64 letters, digits, hyphens and underscores", name)
	}
	other, err := s.Get(ctx, name)
	if err == nil && other.ID != id {
		return ErrExists
	}
	return s.registry.Write(ctx, func(c *sqlite.Conn) error {
		before := c.TotalChanges()
		if err := c.Exec("UPDATE database SET name = ? WHERE id = ?", name, id); err != nil {
			return err
		}
		if c.TotalChanges() == before {
			return fmt.Errorf("%w: %s", ErrNotFound, id)
		}
		return nil
	})
}

// Delete removes a database and its file. Calls in progress finish first;
// later ones fail with ErrNotFound.
func (s *Store) Delete(ctx context.Context, id string) error {
	d, err := s.Database(ctx, id)
	if err != nil {
		return err
	}
	err = s.registry.Write(ctx, func(c *sqlite.Conn) error { return c.Exec("DELETE FROM database WHERE id = ?", id) })
	if err != nil {
		return fmt.Errorf("delete database %s: %w", id, err)
	}
	s.mu.Lock()
	delete(s.databases, id)
	s.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deleted = true
	if err := errors.Join(d.closeFile(), d.remove()); err != nil {
		return fmt.Errorf("delete database %s: %w", id, err)
	}
	d.count(0)
	return nil
}

// Database gives the database with an id, or fails with ErrNotFound.
func (s *Store) Database(ctx context.Context, id string) (*Database, error) {
	s.mu.Lock()
	d := s.databases[id]
	s.mu.Unlock()
	if d != nil {
		return d, nil
	}
	list, err := s.find(ctx, "SELECT id, name, created FROM database WHERE id = ?", id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.databases[id]; d != nil {
		return d, nil
	}
	d = &Database{store: s, id: id, path: databasePath(s.dir, fileName(id))}
	if info, err := os.Stat(d.path); err == nil {
		d.counted.Store(info.Size()) // as measure has
	}
	s.databases[id] = d
	return d, nil
}

// Ensure gives the database with an id and creates it, under the id as its
// name, if it does not exist: `selvage dev` starts with whatever id the
// project's configuration holds.
func (s *Store) Ensure(ctx context.Context, id string) (*Database, error) {
	d, err := s.Database(ctx, id)
	if !errors.Is(err, ErrNotFound) {
		return d, err
	}
	if id == "" || len(id) > 256 {
		return nil, errorf("invalid database id %q: use 1 to 256 characters", id)
	}
	if _, err := s.insert(ctx, id, id); err != nil && !errors.Is(err, ErrExists) {
		return nil, err
	}
	return s.Database(ctx, id)
}

// fileName keeps ids that are not UUIDs from meaning anything to the file
// system.
func fileName(id string) string {
	if u, err := uuid.Parse(id); err == nil && u.String() == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "x-" + hex.EncodeToString(sum[:16])
}
