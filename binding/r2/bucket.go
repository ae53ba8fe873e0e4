package r2

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Bucket is a set of objects: what a Worker's R2 binding is to JavaScript. It is
// safe for concurrent use and stays valid as long as the store; after the bucket
// has been deleted every call returns ErrNoSuchBucket.
type Bucket struct {
	name    string
	number  uint64
	store   *Store
	deleted atomic.Bool // set under store.commits
}

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// lookup finds an object, or is ErrNoSuchKey.
func (b *Bucket) lookup(key string) (*Object, error) {
	v, found, err := b.store.db.Get(objectKey(b.number, key))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNoSuchKey
	}
	defer v.Release()
	return decodeObject(key, v.Bytes)
}

// begin is what every operation on a key begins with.
func (b *Bucket) begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	return checkKey(key)
}

// Head describes an object, or is ErrNoSuchKey.
func (b *Bucket) Head(ctx context.Context, key string) (*Object, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	o, err := b.lookup(key)
	if err != nil {
		return nil, fmt.Errorf("head %q: %w", key, err)
	}
	return o, nil
}

// GetOptions say what of an object is read. The zero value reads all of it.
type GetOptions struct {
	// OnlyIf must hold for the object.
	OnlyIf *Conditional
	// Range is what is read. Nil: RangeHeader says it.
	Range *Range
	// RangeHeader is the value of a header Range; what is not one satisfiable range
	// is not heeded. Empty: everything.
	RangeHeader string
	// SSECKey is the key that the object was stored with.
	SSECKey []byte
}

// Get opens an object for reading. The error is ErrNoSuchKey if there is none. If
// OnlyIf does not hold it is ErrPreconditionFailed, and the Reader, which then has
// nothing to read, describes the object.
func (b *Bucket) Get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	r, err := b.get(key, o)
	if err != nil {
		return r, fmt.Errorf("get %q: %w", key, err)
	}
	return r, nil
}

func (b *Bucket) get(key string, o GetOptions) (*Reader, error) {
	var missing contentID
	for {
		object, pinned, err := b.hold(key)
		if err != nil {
			return nil, err
		}
		r := &Reader{Object: *object, Length: object.Size, s: b.store, key: o.SSECKey, pinned: pinned}
		b.store.reading.Add(1)
		if !o.OnlyIf.Holds(object) {
			r.Close()
			return r, ErrPreconditionFailed
		}
		part := o.Range
		if part == nil && o.RangeHeader != "" {
			part = ParseRange(o.RangeHeader, object.Size)
		}
		err = unlocks(o.SSECKey, object.SSECKeyMD5)
		if err == nil {
			r.Offset, r.Length, err = part.within(object.Size)
		}
		if err != nil {
			r.Close()
			return nil, err
		}
		r.left, r.skip = r.Length, r.Offset
		if object.parts || r.left == 0 {
			return r, nil
		}
		// Opened now, a content of one part can be read to its end even if it is
		// deleted meanwhile.
		if err = r.advance(); err == nil {
			return r, nil
		}
		// The object may have been replaced since the lookup: look again. The same
		// content missing twice has another reason.
		r.Close()
		if object.content == missing || !errors.Is(err, blob.ErrDamaged) && !errors.Is(err, blob.ErrNotFound) {
			return nil, err
		}
		missing = object.content
	}
}

// hold finds an object. Content of several parts it pins.
func (b *Bucket) hold(key string) (o *Object, pinned bool, err error) {
	o, err = b.lookup(key)
	if err != nil || !o.parts {
		return o, false, err
	}
	b.store.pinning.RLock()
	defer b.store.pinning.RUnlock()
	if o, err = b.lookup(key); err == nil && o.parts {
		b.store.pins.add(o.content)
		pinned = true
	}
	return o, pinned, err
}

// Put stores what r gives as an object, durably. When anything fails nothing has
// changed; an error of r is in the chain. The error is ErrPreconditionFailed if
// OnlyIf does not hold.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader, o PutOptions) (*Object, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	object, err := b.put(key, r, o)
	if err != nil {
		return nil, fmt.Errorf("put %q: %w", key, err)
	}
	return object, nil
}

func (b *Bucket) put(key string, r io.Reader, o PutOptions) (*Object, error) {
	if err := o.check(key); err != nil {
		return nil, err
	}
	if o.OnlyIf != nil { // saves writing what is refused
		if err := b.test(key, o.OnlyIf); err != nil {
			return nil, err
		}
	}
	w, err := b.store.write(r, o.Checksums, o.SSECKey)
	if err != nil {
		return nil, err
	}
	object := &Object{
		Key: key, Size: w.size, ETag: hex.EncodeToString(w.md5[:]), HTTP: o.HTTP, Custom: o.Custom, Checksums: w.sums,
		StorageClass: o.StorageClass, SSECKeyMD5: ssecKeyMD5(o.SSECKey), content: newContentID(),
	}
	if err = b.store.grow(w.size); err == nil {
		err = b.replace(object, o.OnlyIf, func(batch keyed.Batch) { setPart(batch, object.content, 0, w.part) })
		if err != nil {
			b.store.shrink(w.size)
		}
	}
	if err != nil {
		b.store.unwrite(w)
		return nil, err
	}
	w.release()
	return object, nil
}

func (b *Bucket) test(key string, c *Conditional) error {
	o, err := b.lookup(key)
	if err != nil && !errors.Is(err, ErrNoSuchKey) {
		return err
	}
	if !c.Holds(o) {
		return ErrPreconditionFailed
	}
	return nil
}

// replace makes o the object of its key if the condition holds, together with what
// stage adds.
func (b *Bucket) replace(o *Object, onlyIf *Conditional, stage func(keyed.Batch)) error {
	b.store.commits.RLock()
	defer b.store.commits.RUnlock()
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	return b.replaceLocked(o, onlyIf, stage)
}

// replaceLocked is replace for whoever has read-locked commits.
func (b *Bucket) replaceLocked(o *Object, onlyIf *Conditional, stage func(keyed.Batch)) error {
	s := b.store
	batch := s.db.Batch()
	defer batch.Close()
	dropped, err := func() (dropped leftover, err error) {
		defer s.keys.lock(b.number, o.Key)()
		old, err := b.lookup(o.Key)
		if errors.Is(err, ErrNoSuchKey) || errors.Is(err, errCorrupt) {
			old, err = nil, nil // a damaged row can be overwritten
		}
		if err != nil {
			return dropped, err
		}
		if !onlyIf.Holds(old) {
			return dropped, ErrPreconditionFailed
		}
		if dropped, err = s.drop(batch, old); err != nil {
			return dropped, err
		}
		o.Uploaded, o.Version = s.moment(), o.content.version()
		if o.StorageClass == "" {
			o.StorageClass = Standard
		}
		data, err := encodeObject(o)
		if err != nil {
			return dropped, err
		}
		batch.Set(objectKey(b.number, o.Key), data)
		stage(batch)
		return dropped, batch.Commit()
	}()
	if err != nil {
		return err
	}
	s.collect(dropped)
	return nil
}

// Delete removes objects, durably and all at one moment; up to MaxDeleteKeys. It
// is no error if there are none.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	if len(keys) > MaxDeleteKeys {
		return fmt.Errorf("delete: %w", invalid("There are %d keys; at most %d are allowed.", len(keys), MaxDeleteKeys))
	}
	for _, key := range keys {
		if err := b.begin(ctx, key); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	dropped, err := b.delete(keys)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for _, d := range dropped {
		b.store.collect(d)
	}
	return nil
}

func (b *Bucket) delete(keys []string) (dropped []leftover, err error) {
	s := b.store
	s.commits.RLock()
	defer s.commits.RUnlock()
	if b.deleted.Load() {
		return nil, ErrNoSuchBucket
	}
	defer s.keys.lock(b.number, keys...)()
	batch := s.db.Batch()
	defer batch.Close()
	for _, key := range keys {
		old, err := b.lookup(key)
		if errors.Is(err, ErrNoSuchKey) {
			continue
		}
		if err != nil && !errors.Is(err, errCorrupt) {
			return nil, err
		}
		d, err := s.drop(batch, old)
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, d)
		batch.Delete(objectKey(b.number, key))
	}
	if batch.Size() == 0 {
		return nil, nil
	}
	return dropped, batch.Commit()
}
