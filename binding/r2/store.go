package r2

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Options tune a Store. The zero value is what a server uses.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Quota bounds the content of all buckets in bytes, uploads that are not
	// complete included. Zero: no bound.
	Quota int64
	// Upstreams are the servers that keep buckets instead of this node.
	Upstreams []config.Upstream
	// Memory is what calls of Workers take their memory from. Nil: no bound.
	Memory *budget.Budget
	// WorkersDomain is the domain below which buckets have development URLs. Default
	// "localhost".
	WorkersDomain string
	// TakeHost finds the zone of a host and gives the host away; see binding.Home.
	// Nil: there are no zones.
	TakeHost func(ctx context.Context, host, zone string, take func(binding.Zone) error) error
	// Account is named in event notifications; Inbox has the queues that they go to.
	// A nil Inbox has none.
	Account string
	Inbox   binding.Inbox
	// Logger receives what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
}

// Store is all buckets of a node. It is safe for concurrent use.
//
// Its locks are taken in this order: registry, commits, upload, keys, pinning.
// The blob store calls refers with its own lock held; refers takes none of them.
type Store struct {
	db    *keyed.DB
	blobs *blob.Store
	mem   *budget.Budget
	now   func() time.Time
	log   *slog.Logger

	minPart, maxPut int64 // MinPartBytes, MaxPutBytes; less in tests

	// registry guards the buckets' rows and buckets.
	registry sync.Mutex
	buckets  map[string]*Bucket // by name; those asked for since the start

	// hosts are the public buckets by their hosts: a map that is never changed, but
	// replaced with the registry locked.
	hosts         atomic.Pointer[map[string]*host]
	workersDomain string
	takeHost      func(ctx context.Context, host, zone string, take func(binding.Zone) error) error

	remotes map[string]*remote // by the bucket's name here; fixed

	// commits is read-locked by whoever writes, and locked by whoever deletes a
	// bucket.
	commits sync.RWMutex

	account string
	inbox   binding.Inbox
	// lastNote is the number of the latest note in the outbox, notes how many wait there,
	// maxNotes MaxNotes or less in tests. wake has an element if there may be new ones.
	lastNote atomic.Uint64
	notes    atomic.Int64
	maxNotes int64
	wake     chan struct{}

	keys    stripes // held from testing a condition to the commit
	uploads stripes // one for each upload: no part comes while it is completed

	// pinning keeps content of several parts from being deleted between looking up
	// its object and pinning it; pins counts who reads it.
	pinning sync.RWMutex
	pins    pins

	quota int64
	used  atomic.Int64 // counted only if there is a quota

	writing, reading atomic.Int64 // contents that are under way
}

// OpenStore opens the buckets kept in db, with large content in blobs, which
// belongs to this store alone. Neither is closed by it.
func OpenStore(db *keyed.DB, blobs *blob.Store, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.WorkersDomain == "" {
		o.WorkersDomain = "localhost"
	}
	if o.TakeHost == nil {
		o.TakeHost = func(_ context.Context, host, _ string, _ func(binding.Zone) error) error {
			return invalid("There is no zone for %s: this server has none.", host)
		}
	}
	s := &Store{
		account: o.Account, inbox: o.Inbox, maxNotes: MaxNotes, wake: make(chan struct{}, 1),
		workersDomain: strings.ToLower(o.WorkersDomain), takeHost: o.TakeHost,
		db: db, blobs: blobs, mem: o.Memory, now: o.Now, log: o.Logger.With("store", "r2"), quota: o.Quota,
		minPart: MinPartBytes, maxPut: MaxPutBytes, buckets: map[string]*Bucket{}, pins: pins{of: map[contentID]int{}},
		remotes: map[string]*remote{},
	}
	for _, u := range o.Upstreams {
		if err := s.attach(u); err != nil {
			return nil, fmt.Errorf("bucket %s is behind an upstream: %w", u.Name, err)
		}
	}
	if err := errors.Join(s.loadHosts(), s.countNotes()); err != nil {
		return nil, fmt.Errorf("open R2: %w", err)
	}
	if s.quota > 0 {
		used, err := s.Measure(context.Background())
		if err != nil {
			return nil, err
		}
		s.used.Store(used)
	}
	return s, nil
}

// moment is the time in whole milliseconds, which is all that is stored.
func (s *Store) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// lend takes memory for a call of a Worker.
func (s *Store) lend(ctx context.Context, worker string, bytes int64) (*budget.Lease, error) {
	lease, err := s.mem.Take(ctx, worker, bytes)
	if errors.Is(err, budget.ErrFull) {
		return nil, ErrTooManyRequests
	}
	return lease, err
}

// Measure counts the content of all buckets in bytes, uploads that are not
// complete included.
func (s *Store) Measure(ctx context.Context) (bytes int64, err error) {
	prefix := row(rowPart)
	err = s.db.Scan(prefix, keyed.After(prefix), func(_, v []byte) bool {
		if p, err := decodePart(v); err == nil {
			bytes += p.size
		}
		return ctx.Err() == nil
	})
	if err = errors.Join(err, ctx.Err()); err != nil {
		return 0, fmt.Errorf("measure R2: %w", err)
	}
	return bytes, nil
}

// grow counts bytes that come to the store, or refuses them.
func (s *Store) grow(bytes int64) error {
	if s.quota == 0 {
		return nil
	}
	if s.used.Add(bytes) > s.quota && bytes > 0 {
		s.used.Add(-bytes)
		return &Error{507, errInternal.Code, fmt.Sprintf("Storage limit exceeded: all buckets together may store %d bytes.", s.quota)}
	}
	return nil
}

// shrink counts bytes that have gone.
func (s *Store) shrink(bytes int64) {
	if s.quota > 0 {
		s.used.Add(-bytes)
	}
}

// stripes are locks for names: two names may share one.
type stripes [512]sync.Mutex

var seed = maphash.MakeSeed()

func (s *stripes) index(scope uint64, name string) int {
	var h maphash.Hash
	h.SetSeed(seed)
	maphash.WriteComparable(&h, scope)
	h.WriteString(name)
	return int(h.Sum64() % uint64(len(s)))
}

// lock locks all names of a scope.
func (s *stripes) lock(scope uint64, names ...string) (unlock func()) {
	list := make([]int, len(names))
	for i, name := range names {
		list[i] = s.index(scope, name)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, i := range list {
		s[i].Lock()
	}
	return func() {
		for _, i := range list {
			s[i].Unlock()
		}
	}
}
