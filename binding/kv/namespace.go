package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Namespace is a set of keys and values: what a Worker's KV binding is to
// JavaScript. It is safe for concurrent use and stays valid until the store is
// closed; after the namespace has been deleted every call returns
// ErrNamespaceNotFound.
type Namespace struct {
	id      string
	number  uint64
	store   *Store
	deleted atomic.Bool // set under store.commits
}

// ID is the namespace's id.
func (n *Namespace) ID() string { return n.id }

// Entry is a value with what was stored beside it.
type Entry struct {
	Value []byte
	// Metadata is JSON; nil if there is none.
	Metadata json.RawMessage
	// Expiration is the zero time if the key does not expire.
	Expiration time.Time
}

// Get returns the value of a key, or ErrNotFound.
func (n *Namespace) Get(ctx context.Context, key string) ([]byte, error) {
	e, err := n.GetWithMetadata(ctx, key)
	if err != nil {
		return nil, err
	}
	return e.Value, nil
}

// GetWithMetadata returns the value, metadata and expiration of a key, or
// ErrNotFound.
func (n *Namespace) GetWithMetadata(ctx context.Context, key string) (*Entry, error) {
	r, err := n.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e := &Entry{Metadata: r.Metadata, Expiration: r.Expiration}
	if r.inline != nil {
		e.Value = r.inline
		return e, nil
	}
	e.Value = make([]byte, r.Size)
	if _, err := io.ReadFull(r, e.Value); err != nil {
		return nil, fmt.Errorf("get %q: %w", key, err)
	}
	return e, nil
}

// Reader is a value that is read as a stream. Close it.
type Reader struct {
	io.ReadSeeker
	// Size of the value in bytes.
	Size       int64
	Metadata   json.RawMessage
	Expiration time.Time
	inline     []byte
	file       io.Closer
}

// Close ends reading.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Open returns the value of a key for reading and seeking, or ErrNotFound. It
// stays readable when the key is overwritten or deleted meanwhile.
func (n *Namespace) Open(ctx context.Context, key string) (*Reader, error) {
	rec, file, err := n.find(ctx, key, nil, nil)
	if err != nil {
		return nil, err
	}
	r := &Reader{Size: rec.size, Metadata: rec.metadata, Expiration: rec.expiration()}
	if file != nil {
		r.ReadSeeker, r.file = file, file
		return r, nil
	}
	if rec.value == nil {
		rec.value = []byte{}
	}
	r.inline, r.ReadSeeker = rec.value, bytes.NewReader(rec.value)
	return r, nil
}

// find looks a live key up, using the memory of row and dst. It opens the file
// of a large value.
func (n *Namespace) find(ctx context.Context, key string, row, dst []byte) (record, *blob.Reader, error) {
	if err := ctx.Err(); err != nil {
		return record{}, nil, err
	}
	if err := checkKey(key); err != nil {
		return record{}, nil, err
	}
	if n.deleted.Load() {
		return record{}, nil, ErrNamespaceNotFound
	}
	row = valueRow(row[:0], n.number, key)
	var missing blob.Digest
	for {
		rec, err := n.store.lookup(row, dst)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				err = fmt.Errorf("get %q: %w", key, err)
			}
			return record{}, nil, err
		}
		if rec.expired(n.store.second()) {
			return record{}, nil, ErrNotFound
		}
		if rec.flags&isBlob == 0 {
			return rec, nil, nil
		}
		file, err := n.store.blobs.Open(rec.digest)
		if err == nil && file.Size() != rec.size {
			file.Close()
			return record{}, nil, fmt.Errorf("get %q: blob %s has %d bytes, not %d: %w", key, rec.digest, file.Size(), rec.size, blob.ErrDamaged)
		}
		if err == nil {
			return rec, file, nil
		}
		// The value may have been replaced since the lookup: look again. The
		// same file missing twice has another reason.
		if !errors.Is(err, blob.ErrNotFound) || rec.digest == missing {
			return record{}, nil, fmt.Errorf("get %q: %w", key, err)
		}
		missing = rec.digest
	}
}

func (r *record) expiration() time.Time {
	if r.expires == 0 {
		return time.Time{}
	}
	return time.Unix(r.expires, 0)
}

// Put stores a value, durably.
func (n *Namespace) Put(ctx context.Context, key string, value []byte, o PutOptions) error {
	return n.put(ctx, key, bytes.NewReader(value), int64(len(value)), o)
}

// PutStream stores the value that r gives, durably and without holding more
// than InlineBytes of it in memory. If r fails nothing changes and r's error is
// in the chain.
func (n *Namespace) PutStream(ctx context.Context, key string, r io.Reader, o PutOptions) error {
	return n.put(ctx, key, r, -1, o)
}

// put stores the value that r gives. A size that is known in advance saves
// reading a value that is too large.
func (n *Namespace) put(ctx context.Context, key string, r io.Reader, size int64, o PutOptions) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)
	rec, expires, err := n.head(sc.rec[:0], key, o)
	if err != nil {
		return err
	}
	if size > MaxValueBytes {
		return refuseValue(size)
	}
	row := valueRow(sc.key[:0], n.number, key)
	if full := n.store.quota.full(n.number); full != nil {
		// A smaller value in the place of a larger one still fits.
		if _, err := n.store.lookup(row, nil); errors.Is(err, ErrNotFound) {
			return full
		}
	}
	start := len(rec)
	got, err := fill(rec[start:start+InlineBytes+1], r)
	if err != nil {
		return fmt.Errorf("put %q: read value: %w", key, err)
	}
	var pin *blob.Pin
	if got <= InlineBytes {
		rec = rec[:start+got]
	} else {
		counted := &counter{r: io.MultiReader(bytes.NewReader(rec[start:start+got]), r)}
		pin, err = n.store.blobs.Put(counted)
		if err != nil {
			return fmt.Errorf("put %q: %w", key, err)
		}
		defer func() {
			pin.Release()
			if err != nil { // nobody waits for a sweep while such files fill the disk
				n.store.discard(&pin.Digest)
			}
		}()
		rec = appendBlob(rec[:start], pin.Digest, pin.Size)
	}
	b := n.store.db.Batch()
	defer b.Close()
	var dropped *blob.Digest
	dropped, err = n.write(b, func(grown *int64) (*blob.Digest, error) {
		return n.store.stage(b, n.number, row, rec, expires, pin, grown)
	})
	if err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	n.store.discard(dropped)
	return nil
}

// fill reads until p is full or r ends. Unlike io.ReadFull it lets a body that
// was cut off be told from one that is shorter than p.
func fill(p []byte, r io.Reader) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// head checks everything but the value and starts the record.
func (n *Namespace) head(dst []byte, key string, o PutOptions) (rec []byte, expires int64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	expires, err = o.expiry(n.store.second())
	if err != nil {
		return nil, 0, err
	}
	metadata, err := o.metadata()
	if err != nil {
		return nil, 0, err
	}
	return appendHead(dst, expires, metadata), expires, nil
}

// write stages and commits while the namespace cannot be deleted.
func (n *Namespace) write(b keyed.Batch, stage func(grown *int64) (*blob.Digest, error)) (*blob.Digest, error) {
	n.store.commits.RLock()
	defer n.store.commits.RUnlock()
	if n.deleted.Load() {
		return nil, ErrNamespaceNotFound
	}
	var grown int64
	dropped, err := stage(&grown)
	if err == nil {
		err = b.Commit()
	}
	if err != nil {
		if grown != 0 {
			n.store.quota.count(n.number, -grown)
		}
		return nil, err
	}
	return dropped, nil
}

// counter refuses to read on past the largest value, but counts to the end so
// that the refusal can say how long the value is.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n <= MaxValueBytes {
		return n, err
	}
	rest, _ := io.CopyN(io.Discard, c.r, maxDrain)
	return 0, refuseValue(c.n + rest)
}

// maxDrain bounds how much of a refused value is read for the sake of a
// readable error.
const maxDrain = 256 << 20

// Delete removes a key, durably. It is no error if there is none.
func (n *Namespace) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	b := n.store.db.Batch()
	defer b.Close()
	dropped, err := n.write(b, func(grown *int64) (*blob.Digest, error) {
		return n.store.stage(b, n.number, valueRow(nil, n.number, key), nil, 0, nil, grown)
	})
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	n.store.discard(dropped)
	return nil
}

// ListOptions select a page of keys.
type ListOptions struct {
	// Prefix that the keys must have.
	Prefix string
	// Cursor of the previous page; empty for the first one.
	Cursor string
	// Limit is the largest number of keys, from 1 to MaxListKeys. Zero means
	// MaxListKeys.
	Limit int
}

// Key is an entry of a list.
type Key struct {
	Name string
	// Expiration is the zero time if the key does not expire.
	Expiration time.Time
	// Metadata is JSON; nil if there is none.
	Metadata json.RawMessage
}

// Page is a part of a list.
type Page struct {
	Keys []Key
	// Cursor gives the next page; empty when the list is complete.
	Cursor string
}

// List returns keys in the order of their UTF-8 bytes.
func (n *Namespace) List(ctx context.Context, o ListOptions) (*Page, error) {
	if o.Limit == 0 {
		o.Limit = MaxListKeys
	}
	if err := checkLimit(o.Limit); err != nil {
		return nil, err
	}
	if err := checkKeyLength(o.Prefix); err != nil {
		return nil, err
	}
	prefix := valueRow(nil, n.number, o.Prefix)
	lower := prefix
	if o.Cursor != "" {
		last, err := decodeCursor(o.Cursor)
		if err != nil {
			return nil, err
		}
		if next := valueRow(nil, n.number, last+"\x00"); bytes.Compare(next, lower) > 0 {
			lower = next
		}
	}
	if n.deleted.Load() {
		return nil, ErrNamespaceNotFound
	}
	page := &Page{Keys: []Key{}}
	upper := keyed.After(prefix)
	if bytes.Compare(lower, upper) >= 0 {
		return page, ctx.Err() // the cursor is past the prefix
	}
	now, failed := n.store.second(), error(nil)
	err := n.store.db.Scan(lower, upper, func(k, v []byte) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		rec, err := decodeRecord(v)
		if err != nil {
			failed = fmt.Errorf("key %q: %w", k[10:], err)
			return false
		}
		if rec.expired(now) {
			return true
		}
		if len(page.Keys) == o.Limit {
			page.Cursor = encodeCursor(page.Keys[o.Limit-1].Name)
			return false
		}
		page.Keys = append(page.Keys, Key{
			Name: string(k[10:]), Expiration: rec.expiration(), Metadata: bytes.Clone(rec.metadata),
		})
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return page, nil
}
