package kv

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Options tune a Store. The zero value is what a server uses.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Quota bounds keys, values and metadata of all namespaces in bytes. Zero: no
	// bound.
	Quota int64
	// NamespaceQuota is the same for one namespace.
	NamespaceQuota int64
	// Memory is what calls of Workers take their memory from. Nil: no bound.
	Memory *budget.Budget
	// SweepInterval is the pause between two reclamations of expired keys.
	// Default one minute; negative: only when Sweep is called.
	SweepInterval time.Duration
	// Logger receives what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
}

// Store is all namespaces of a node. It is safe for concurrent use.
type Store struct {
	db    *keyed.DB
	blobs *blob.Store
	mem   *budget.Budget
	quota quota
	now   func() time.Time
	log   *slog.Logger

	// registry guards the namespaces' rows and open. It is taken before commits.
	registry sync.Mutex
	open     map[string]*Namespace // by id; those asked for since the start

	// commits is read-locked by whoever writes values and locked by whoever
	// must not have a value change between looking at it and deleting it.
	commits sync.RWMutex

	unreferenced chan struct{} // tells the background that many blobs lost their key
	stop         context.CancelFunc
	stopped      sync.WaitGroup
}

// OpenStore opens the namespaces kept in db, with large values in blobs, which
// belongs to this store alone. Neither is closed by Close.
func OpenStore(db *keyed.DB, blobs *blob.Store, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		db: db, blobs: blobs, mem: o.Memory, now: o.Now, log: o.Logger.With("store", "kv"),
		open: map[string]*Namespace{}, unreferenced: make(chan struct{}, 1), stop: stop,
	}
	s.quota.max, s.quota.each = o.Quota, o.NamespaceQuota
	if s.quota.counts() {
		if _, err := s.Measure(ctx); err != nil {
			stop()
			return nil, err
		}
	}
	if o.SweepInterval > 0 {
		s.stopped.Go(func() { s.reclaim(ctx, o.SweepInterval) })
	}
	return s, nil
}

// Close stops the background work and waits for it. Call it before closing
// the keyed store.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	return nil
}

// listBytes is the memory that a page of a list needs, its JSON included.
const listBytes = MaxListKeys * 3 * (MaxKeyBytes + MaxMetadataBytes)

// lend takes memory for a call of a Worker.
func (s *Store) lend(ctx context.Context, worker string, bytes int64) (*budget.Lease, error) {
	lease, err := s.mem.Take(ctx, worker, bytes)
	if errors.Is(err, budget.ErrFull) {
		return nil, refuse(http.StatusTooManyRequests, "Too Many Requests")
	}
	return lease, err
}

func (s *Store) second() int64 { return s.now().Unix() }

// scratch is memory that one operation needs, kept for the next.
type scratch struct {
	key []byte
	rec []byte // large enough for any record
}

var scratches = sync.Pool{New: func() any {
	return &scratch{
		key: make([]byte, 0, 16+MaxKeyBytes),
		rec: make([]byte, 0, maxRecordHead+InlineBytes+1),
	}
}}

// lookup finds the record of a key, copied into dst, whether it has expired or
// not. The error is ErrNotFound if there is none.
func (s *Store) lookup(row, dst []byte) (r record, err error) {
	v, found, err := s.db.Get(row)
	if err != nil {
		return r, err
	}
	if !found {
		return r, ErrNotFound
	}
	dst = append(dst[:0], v.Bytes...)
	v.Release()
	return decodeRecord(dst)
}

// stage adds to b the rows of a value and removes those of the value it
// replaces. An empty rec deletes. It returns the blob that the key no longer
// refers to, if any, and adds to grown what the quota has counted.
func (s *Store) stage(b keyed.Batch, number uint64, row []byte, rec []byte, expires int64, pin *blob.Pin, grown *int64) (dropped *blob.Digest, err error) {
	key := string(row[10:])
	v, found, err := s.db.Get(row)
	if err != nil {
		return nil, err
	}
	if s.quota.counts() {
		bytes := int64(0)
		if rec != nil {
			bytes = rowBytes(row, rec)
		}
		if found {
			bytes -= rowBytes(row, v.Bytes)
		}
		if err := s.quota.add(number, bytes); err != nil {
			v.Release()
			return nil, err
		}
		*grown += bytes
	}
	if found {
		// A damaged record has no rows to remove: it can be overwritten.
		old, err := decodeRecord(v.Bytes)
		v.Release()
		if err == nil {
			if old.expires != 0 && old.expires != expires {
				b.Delete(expiryRow(old.expires, number, key))
			}
			if old.flags&isBlob != 0 && (pin == nil || pin.Digest != old.digest) {
				b.Delete(blobRow(old.digest, number, key))
				dropped = &old.digest
			}
		}
	}
	if rec == nil {
		if found {
			b.Delete(row)
		}
		return dropped, nil
	}
	b.Set(row, rec)
	if expires != 0 {
		b.Set(expiryRow(expires, number, key), nil)
	}
	if pin != nil {
		b.Set(blobRow(pin.Digest, number, key), nil)
	}
	return dropped, nil
}

// discard deletes a blob that lost a reference, unless it has others. Failure
// is no more than a delay: the sweep finds the blob again.
func (s *Store) discard(d *blob.Digest) {
	if d == nil {
		return
	}
	if _, err := s.blobs.Delete(*d, s.refers); err != nil {
		s.log.Warn("a replaced value could not be deleted; the next sweep tries again", "blob", d, "error", err)
	}
}

// refers is blob.Live: it reports whether any key's value is the blob. It also
// removes rows that say so wrongly, which is safe because a put that makes one
// true holds a pin on the blob, and refers is not called meanwhile.
func (s *Store) refers(d blob.Digest) (bool, error) {
	prefix := row(rowBlob, string(d[:]))
	stale := s.db.Batch()
	defer stale.Close()
	live := false
	var failed error
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		target := append(row(rowValue), k[len(prefix):]...)
		v, found, err := s.db.Get(target)
		if err != nil {
			failed = err
			return false
		}
		if found {
			r, err := decodeRecord(v.Bytes)
			v.Release()
			live = err != nil || r.digest == d // keep what we cannot read
		}
		if !live {
			stale.Delete(k)
		}
		return !live
	})
	if err != nil {
		return false, err
	}
	if failed != nil {
		return false, failed
	}
	if err := stale.CommitUnsynced(); err != nil || live {
		return live, err
	}
	// What was seen may be a commit that a crash would still undo; the file
	// must not be gone then.
	return false, s.db.Sync()
}
