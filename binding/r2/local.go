package r2

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// local are the objects of a bucket that are on this node.
type local struct{ *Bucket }

// lookup finds an object, or is ErrNoSuchKey.
func (b local) lookup(key string) (*Object, error) {
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

func (b local) head(_ context.Context, key string) (*Object, error) { return b.lookup(key) }

func (b local) part(_ context.Context, o *Object, n int) (at Range, parts int, err error) {
	offset, length := int64(0), o.Size
	at = Range{Offset: &offset, Length: &length}
	if !o.parts {
		if n > 1 {
			err = ErrInvalidRange
		}
		return at, 0, err
	}
	err = b.store.parts(o.content, 0, func(_ uint16, p part) bool {
		parts++
		if parts < n {
			offset += p.size
		} else if parts == n {
			length = p.size
		}
		return true
	})
	if err == nil && parts < n {
		err = ErrInvalidRange
	}
	return at, parts, err
}

func (b local) get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	var missing contentID
	for {
		object, pinned, err := b.hold(key)
		if err != nil {
			return nil, err
		}
		content := &content{of: object, s: b.store, key: o.SSECKey, pinned: pinned}
		r := &Reader{Object: *object, Length: object.Size, content: content}
		b.store.reading.Add(1)
		if !o.OnlyIf.Holds(object) {
			r.Close()
			return r, ErrPreconditionFailed
		}
		err = unlocks(o.SSECKey, object.SSECKeyMD5)
		if err == nil {
			r.Offset, r.Length, r.Parts, err = b.Extent(ctx, object, o)
		}
		if err != nil {
			r.Close()
			return nil, err
		}
		content.left, content.skip = r.Length, r.Offset
		if object.parts || content.left == 0 {
			return r, nil
		}
		// Opened now, a content of one part can be read to its end even if it is
		// deleted meanwhile.
		if err = content.advance(); err == nil {
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
func (b local) hold(key string) (o *Object, pinned bool, err error) {
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

func (b local) put(_ context.Context, key string, r io.Reader, o PutOptions) (*Object, error) {
	action := PutObject
	if o.CopySource != nil {
		action = CopyObject
	}
	if err := b.roomToTell(action, key); err != nil {
		return nil, err
	}
	if o.OnlyIf != nil { // saves writing what is refused
		if err := b.test(key, o.OnlyIf); err != nil {
			return nil, err
		}
	}
	w, err := b.store.write(r, o.Checksums, o.Trailing, o.SSECKey)
	if err != nil {
		return nil, err
	}
	object := &Object{
		Key: key, Size: w.size, ETag: hex.EncodeToString(w.md5[:]), HTTP: o.HTTP, Custom: o.Custom, Checksums: w.sums,
		StorageClass: o.StorageClass, SSECKeyMD5: ssecKeyMD5(o.SSECKey), content: newContentID(),
	}
	if err = b.store.grow(w.size); err == nil {
		err = b.replace(object, o.OnlyIf, func(batch keyed.Batch) (notes int) {
			setPart(batch, object.content, 0, w.part)
			return b.tell(batch, action, object, o.CopySource)
		})
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

func (b local) test(key string, c *Conditional) error {
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
// stage adds, which returns the number of notes in it.
func (b local) replace(o *Object, onlyIf *Conditional, stage func(keyed.Batch) (notes int)) error {
	b.store.commits.RLock()
	defer b.store.commits.RUnlock()
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	return b.replaceLocked(o, onlyIf, stage)
}

// replaceLocked is replace for whoever has read-locked commits.
func (b local) replaceLocked(o *Object, onlyIf *Conditional, stage func(keyed.Batch) (notes int)) error {
	s := b.store
	notes := 0
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
		if b.locked(old) {
			return dropped, ErrLocked
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
		notes = stage(batch)
		return dropped, batch.Commit()
	}()
	if err != nil {
		return err
	}
	s.noted(notes)
	s.collect(dropped)
	return nil
}

func (b local) delete(_ context.Context, keys []string) error {
	dropped, err := b.remove(keys)
	for _, d := range dropped {
		b.store.collect(d)
	}
	return err
}

// remove returns what is to be collected.
func (b local) remove(keys []string) (dropped []leftover, err error) {
	s := b.store
	s.commits.RLock()
	defer s.commits.RUnlock()
	if b.deleted.Load() {
		return nil, ErrNoSuchBucket
	}
	defer s.keys.lock(b.number, keys...)()
	batch := s.db.Batch()
	defer batch.Close()
	notes := 0
	for _, key := range keys {
		if err := b.roomToTell(DeleteObject, key); err != nil {
			return nil, err
		}
		old, err := b.lookup(key)
		if errors.Is(err, ErrNoSuchKey) {
			continue
		}
		if err != nil && !errors.Is(err, errCorrupt) {
			return nil, err
		}
		if b.locked(old) {
			return nil, ErrLocked
		}
		d, err := s.drop(batch, old)
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, d)
		batch.Delete(objectKey(b.number, key))
		notes += b.tell(batch, DeleteObject, &Object{Key: key}, nil)
	}
	if batch.Size() == 0 {
		return nil, nil
	}
	if err := batch.Commit(); err != nil {
		return nil, err
	}
	s.noted(notes)
	return dropped, nil
}
