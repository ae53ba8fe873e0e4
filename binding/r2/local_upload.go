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

// localUpload is an upload whose parts are on this node.
type localUpload struct {
	b   local
	key string
	id  string
}

// find reads the upload's row.
func (u localUpload) find() (id contentID, row uploadRow, err error) {
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
func (u localUpload) locked(f func(id contentID, row uploadRow) error) error {
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

func (b local) createUpload(_ context.Context, key string, o PutOptions) (string, error) {
	s := b.store
	data, err := json.Marshal(uploadRow{Begun: s.moment().UnixMilli(), HTTP: o.HTTP, Custom: o.Custom, Class: o.StorageClass, SSEC: ssecKeyMD5(o.SSECKey), Sum: o.Checksums.asked()})
	if err != nil {
		return "", err
	}
	s.commits.RLock()
	defer s.commits.RUnlock()
	if b.deleted.Load() {
		return "", ErrNoSuchBucket
	}
	id := newContentID()
	if err := s.db.Set(uploadKey(b.number, key, id), data); err != nil {
		return "", err
	}
	return id.uploadID(), nil
}

func (b local) uploadPart(_ context.Context, key, id string, number int, r io.Reader, o PartOptions) (p PartInfo, err error) {
	u := localUpload{b, key, id}
	_, upload, err := u.find()
	if err == nil {
		err = unlocks(o.SSECKey, upload.SSEC)
	}
	if err != nil {
		return p, err
	}
	s := u.b.store
	w, err := s.write(r, o.Checksums.with(upload.Sum), o.Trailing, o.SSECKey)
	if err != nil {
		return p, err
	}
	p = PartInfo{Part{number, hex.EncodeToString(w.md5[:])}, w.size, s.moment(), w.sums}
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
			if err := setPartNote(batch, id, p); err != nil {
				return err
			}
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
	return p, nil
}

func (b local) completeUpload(_ context.Context, key, id string, named []Part, want Checksums) (*Object, error) {
	u := localUpload{b, key, id}
	chosen := make(map[uint16]string, len(named))
	for _, p := range named {
		chosen[uint16(p.Number)] = strings.ToLower(p.ETag)
	}
	if err := b.roomToTell(CompleteMultipartUpload, key); err != nil {
		return nil, err
	}
	var object *Object
	var unused []leftover
	err := u.locked(func(id contentID, upload uploadRow) error {
		object = &Object{Key: u.key, HTTP: upload.HTTP, Custom: upload.Custom, StorageClass: upload.Class, SSECKeyMD5: upload.SSEC, content: id, parts: true}
		stage, err := u.assemble(object, chosen, &unused)
		if err != nil {
			return err
		}
		if err := u.b.store.sumParts(object, named, upload.Sum); err != nil {
			return err
		}
		if !want.agrees(object.Checksums) || !want.agrees(object.PartSums) {
			return ErrBadDigest
		}
		return u.b.replaceLocked(object, nil, func(batch keyed.Batch) (notes int) {
			stage(batch)
			return b.tell(batch, CompleteMultipartUpload, object, nil)
		})
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
func (u localUpload) assemble(o *Object, chosen map[uint16]string, unused *[]leftover) (stage func(keyed.Batch), err error) {
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
	if err := s.checkSizes(sizes); err != nil {
		return nil, err
	}
	o.ETag = fmt.Sprintf("%x-%d", sums.Sum(nil), len(sizes))
	return func(batch keyed.Batch) {
		for _, r := range removed {
			deletePart(batch, o.content, r.number, r.part)
		}
		batch.Delete(uploadKey(u.b.number, u.key, o.content))
		deletePartNotes(batch, o.content)
	}, nil
}

func (b local) abortUpload(_ context.Context, key, id string) error {
	u := localUpload{b, key, id}
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
func (b local) eachUpload(f func(key string, id contentID, row uploadRow) bool) error {
	prefix := numbered(rowUpload, b.number, "")
	return b.eachUploadFrom(prefix, keyed.After(prefix), f)
}

// eachUploadFrom is eachUpload for rows from lower up to upper.
func (b local) eachUploadFrom(lower, upper []byte, f func(key string, id contentID, row uploadRow) bool) error {
	prefix := numbered(rowUpload, b.number, "")
	var failed error
	err := b.store.db.Scan(lower, upper, func(k, v []byte) bool {
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
