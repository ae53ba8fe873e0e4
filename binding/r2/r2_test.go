package r2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

var ctx = context.Background()

// fixture is a store on disk with a clock that stands still. Parts may be small.
type fixture struct {
	t     testing.TB
	dir   string
	db    *keyed.DB
	blobs *blob.Store
	*Store
	clock atomic.Int64 // milliseconds
}

const epoch = 1_800_000_000_000

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	f.clock.Store(epoch)
	f.open(Options{})
	t.Cleanup(func() { f.db.Close() })
	return f
}

func (f *fixture) open(o Options) {
	f.t.Helper()
	o.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	f.db, f.blobs, f.Store = openStore(f.t, f.dir, o)
}

func openStore(t testing.TB, dir string, o Options) (*keyed.DB, *blob.Store, *Store) {
	t.Helper()
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := OpenStore(db, blobs, o)
	if err != nil {
		t.Fatal(err)
	}
	s.minPart = 1000
	return db, blobs, s
}

// reopen closes the store and opens it again.
func (f *fixture) reopen(o Options) {
	f.t.Helper()
	f.ok(f.db.Close())
	f.open(o)
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) bucket(name string) *Bucket {
	f.t.Helper()
	b, err := f.Ensure(name)
	f.ok(err)
	return b
}

func (f *fixture) put(b *Bucket, key string, content []byte, o PutOptions) *Object {
	f.t.Helper()
	object, err := b.Put(ctx, key, bytes.NewReader(content), o)
	f.ok(err)
	return object
}

// get reads an object, or a range of it, to its end.
func (f *fixture) get(b *Bucket, key string, o GetOptions) ([]byte, *Reader) {
	f.t.Helper()
	r, err := b.Get(ctx, key, o)
	f.ok(err)
	defer r.Close()
	content, err := io.ReadAll(r)
	f.ok(err)
	return content, r
}

func (f *fixture) same(b *Bucket, key string, want []byte) {
	f.t.Helper()
	if got, _ := f.get(b, key, GetOptions{}); !bytes.Equal(got, want) {
		f.t.Errorf("%q has %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(want), want)
	}
}

// fails checks an error's code.
func (f *fixture) fails(err error, want *Error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Errorf("%v, want %q (%d)", err, want.Text, want.Code)
	}
}

// files counts the blobs on the disk, and rows those of a kind.
func (f *fixture) files() int {
	f.t.Helper()
	names, err := filepath.Glob(filepath.Join(f.dir, "blob", "??", "*"))
	f.ok(err)
	return len(names)
}

func (f *fixture) rows(kind byte) (n int) {
	f.t.Helper()
	prefix := row(kind)
	f.ok(f.db.Scan(prefix, keyed.After(prefix), func(_, _ []byte) bool { n++; return true }))
	return n
}

// random is content that does not repeat.
func random(seed uint64, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	b := make([]byte, size)
	r.Read(b)
	return b
}
