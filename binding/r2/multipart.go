package r2

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Upload is an object that is uploaded in parts: they may come in any order, at
// the same time, and again. It is safe for concurrent use, and stays usable after a
// restart of the server.
type Upload struct {
	b   *Bucket
	key string
	id  string
}

// Key is the key of the object to come.
func (u *Upload) Key() string { return u.key }

// ID names the upload to ResumeMultipartUpload. Whoever has it may change the
// upload.
func (u *Upload) ID() string { return u.id }

// Part is a part that has been uploaded.
type Part struct {
	// Number is from 1 to MaxParts.
	Number int
	// ETag is the MD5 of the part in hexadecimal.
	ETag string
}

// CreateMultipartUpload begins an upload. OnlyIf and Checksums are not used.
func (b *Bucket) CreateMultipartUpload(ctx context.Context, key string, o PutOptions) (*Upload, error) {
	fail := func(err error) (*Upload, error) { return nil, fmt.Errorf("begin upload of %q: %w", key, err) }
	if err := b.begin(ctx, key); err != nil {
		return fail(err)
	}
	if err := o.check(key); err != nil {
		return fail(err)
	}
	s := b.store
	data, err := json.Marshal(uploadRow{Begun: s.moment().UnixMilli(), HTTP: o.HTTP, Custom: o.Custom, Class: o.StorageClass, SSEC: ssecKeyMD5(o.SSECKey)})
	if err != nil {
		return fail(err)
	}
	s.commits.RLock()
	defer s.commits.RUnlock()
	if b.deleted.Load() {
		return fail(ErrNoSuchBucket)
	}
	id := newContentID()
	if err := s.db.Set(uploadKey(b.number, key, id), data); err != nil {
		return fail(err)
	}
	return &Upload{b, key, id.uploadID()}, nil
}

// ResumeMultipartUpload returns an upload by its ID. Whether there is one is told
// by the upload's methods.
func (b *Bucket) ResumeMultipartUpload(key, id string) *Upload { return &Upload{b, key, id} }

// find reads the upload's row.
func (u *Upload) find() (id contentID, row uploadRow, err error) {
	if id, err = parseUploadID(u.id); err != nil {
		return id, row, err
	}
	v, found, err := u.b.store.db.Get(uploadKey(u.b.number, u.key, id))
	if err != nil {
		return id, row, err
	}
	if !found {
		return id, row, ErrNoSuchUpload
	}
	defer v.Release()
	if err := json.Unmarshal(v.Bytes, &row); err != nil {
		return id, row, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return id, row, nil
}

// locked calls f while neither the upload nor the bucket can go.
func (u *Upload) locked(f func(id contentID, row uploadRow) error) error {
	s := u.b.store
	s.commits.RLock()
	defer s.commits.RUnlock()
	if u.b.deleted.Load() {
		return ErrNoSuchBucket
	}
	defer s.uploads.lock(0, u.id)()
	id, row, err := u.find()
	if err != nil {
		return err
	}
	return f(id, row)
}

// UploadPart stores a part, durably, in the place of an earlier one of its number.
// key is the SSE-C key that the upload was begun with, or nil.
func (u *Upload) UploadPart(ctx context.Context, number int, r io.Reader, key []byte) (Part, error) {
	p, err := u.uploadPart(ctx, number, r, Checksums{}, key)
	if err != nil {
		return p, fmt.Errorf("upload part %d of %q: %w", number, u.key, err)
	}
	return p, nil
}

func (u *Upload) uploadPart(ctx context.Context, number int, r io.Reader, want Checksums, key []byte) (p Part, err error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return p, err
	}
	if number < 1 || number > MaxParts {
		return p, invalid("The part number %d is not valid: it must be from 1 to %d.", number, MaxParts)
	}
	if err := want.check(); err != nil {
		return p, err
	}
	_, upload, err := u.find()
	if err == nil {
		err = unlocks(key, upload.SSEC)
	}
	if err != nil {
		return p, err
	}
	s := u.b.store
	w, err := s.write(r, want, key)
	if err != nil {
		return p, err
	}
	if err = s.grow(w.size); err == nil {
		var old part
		err = u.locked(func(id contentID, _ uploadRow) error {
			batch := s.db.Batch()
			defer batch.Close()
			found := false
			if old, found, err = s.part(id, uint16(number)); err != nil {
				return err
			}
			if found && old.form == partBlob && old.digest != w.digest {
				batch.Delete(blobKey(old.digest, id, uint16(number)))
			}
			setPart(batch, id, uint16(number), w.part)
			return batch.Commit()
		})
		if err != nil {
			s.shrink(w.size)
		} else {
			s.collect(leftover{size: old.size, digest: old.digest})
		}
	}
	if err != nil {
		s.unwrite(w)
		return p, err
	}
	w.release()
	return Part{number, hex.EncodeToString(w.md5[:])}, nil
}

// Complete makes the object of the parts, in the order of their numbers, and ends
// the upload. All but the last have the same size, of at least MinPartBytes. Parts
// that are not named are deleted.
func (u *Upload) Complete(ctx context.Context, parts []Part) (*Object, error) {
	o, err := u.complete(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("complete upload of %q: %w", u.key, err)
	}
	return o, nil
}

func (u *Upload) complete(ctx context.Context, named []Part) (*Object, error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return nil, err
	}
	chosen := make(map[uint16]string, len(named))
	for _, p := range named {
		if p.Number < 1 || p.Number > MaxParts {
			return nil, ErrInvalidPart
		}
		if _, twice := chosen[uint16(p.Number)]; twice {
			return nil, invalid("The part %d is named twice.", p.Number)
		}
		chosen[uint16(p.Number)] = strings.ToLower(strings.Trim(p.ETag, `"`))
	}
	var object *Object
	var unused []leftover
	err := u.locked(func(id contentID, upload uploadRow) error {
		object = &Object{Key: u.key, HTTP: upload.HTTP, Custom: upload.Custom, StorageClass: upload.Class, SSECKeyMD5: upload.SSEC, content: id, parts: true}
		batch, err := u.assemble(object, chosen, &unused)
		if err != nil {
			return err
		}
		return u.b.replaceLocked(object, nil, batch)
	})
	if err != nil {
		return nil, err
	}
	for _, d := range unused {
		u.b.store.collect(d)
	}
	return object, nil
}

// assemble checks the chosen parts, and describes the object that they make. What
// it returns ends the upload and removes the other parts.
func (u *Upload) assemble(o *Object, chosen map[uint16]string, unused *[]leftover) (stage func(keyed.Batch), err error) {
	s := u.b.store
	type removal struct {
		number uint16
		part
	}
	var removed []removal
	sums := md5.New()
	var sizes []int64
	err = s.parts(o.content, 0, func(number uint16, p part) bool {
		if etag, ok := chosen[number]; ok && etag == hex.EncodeToString(p.md5[:]) {
			sizes = append(sizes, p.size)
			o.Size += p.size
			sums.Write(p.md5[:])
			delete(chosen, number)
			return true
		}
		p.inline = nil
		removed = append(removed, removal{number, p})
		*unused = append(*unused, leftover{size: p.size, digest: p.digest})
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case len(chosen) > 0:
		return nil, ErrInvalidPart
	}
	if len(sizes) > 0 {
		whole, last := sizes[:len(sizes)-1], sizes[len(sizes)-1]
		for _, size := range whole {
			if size < s.minPart {
				return nil, ErrPartTooSmall
			}
			if size != whole[0] {
				return nil, ErrBadUpload
			}
		}
		if len(whole) > 0 && last > whole[0] {
			return nil, ErrBadUpload
		}
	}
	o.ETag = fmt.Sprintf("%x-%d", sums.Sum(nil), len(sizes))
	return func(batch keyed.Batch) {
		for _, r := range removed {
			deletePart(batch, o.content, r.number, r.part)
		}
		batch.Delete(uploadKey(u.b.number, u.key, o.content))
	}, nil
}

// Abort ends the upload and deletes its parts. It is no error if the upload has
// ended already.
func (u *Upload) Abort(ctx context.Context) error {
	err := u.b.begin(ctx, u.key)
	if err == nil {
		err = u.abort()
	}
	if err != nil && !errors.Is(err, ErrNoSuchUpload) {
		return fmt.Errorf("abort upload of %q: %w", u.key, err)
	}
	return nil
}

func (u *Upload) abort() error {
	var content contentID
	err := u.locked(func(id contentID, _ uploadRow) error {
		content = id
		batch := u.b.store.db.Batch()
		defer batch.Close()
		batch.Delete(uploadKey(u.b.number, u.key, id))
		batch.Set(garbageKey(id), nil)
		return batch.Commit()
	})
	if err == nil {
		u.b.store.collect(leftover{content: content, parts: true})
	}
	return err
}

// eachUpload calls f with each upload of a bucket that is not complete, sorted by
// key, until it returns false.
func (b *Bucket) eachUpload(f func(key string, id contentID, row uploadRow) bool) error {
	prefix := numbered(rowUpload, b.number, "")
	var failed error
	err := b.store.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		key, id, err := splitUploadKey(k[len(prefix):])
		var row uploadRow
		if err == nil {
			err = json.Unmarshal(v, &row)
		}
		if err != nil {
			failed = fmt.Errorf("upload of %q: %w", k[len(prefix):], err)
			return false
		}
		return f(key, id, row)
	})
	return errors.Join(err, failed)
}
