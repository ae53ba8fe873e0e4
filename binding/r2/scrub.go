package r2

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Scrubbed is what a scrub has found.
type Scrubbed struct {
	// Objects and Bytes of them that were read; Bytes without SSE-C's additions.
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Damaged objects cannot be read as they were stored; the first 100 of them.
	Damaged []Damage `json:"damaged"`
	// Count of the damaged.
	Count int64 `json:"damaged_count"`
}

// Damage is an object that is damaged.
type Damage struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

const scrubDamages = 100

// Scrub reads the content of all objects, and compares it with what was stored.
// Reads and writes go on meanwhile. Of an encrypted object, which cannot be read
// without its key, the stored form is compared; of one that is small nothing but its
// presence.
func (s *Store) Scrub(ctx context.Context) (found Scrubbed, err error) {
	found.Damaged = []Damage{}
	buckets, err := s.Buckets(ctx)
	if err != nil {
		return found, fmt.Errorf("scrub: %w", err)
	}
	for _, info := range buckets {
		b, err := s.local(info.Name)
		if errors.Is(err, ErrNoSuchBucket) {
			continue // deleted meanwhile, or not here
		}
		if err == nil {
			err = b.scrub(ctx, &found)
		}
		if err != nil {
			return found, fmt.Errorf("scrub bucket %s: %w", info.Name, err)
		}
	}
	return found, nil
}

// scrub takes keys in portions, so that no iterator of the store is held while
// their content is read.
func (b local) scrub(ctx context.Context, found *Scrubbed) error {
	lower := objectKey(b.number, "")
	upper := keyed.After(lower)
	base := len(lower)
	for {
		var keys []string
		err := b.store.db.Scan(lower, upper, func(k, _ []byte) bool {
			keys = append(keys, string(k[base:]))
			return len(keys) < MaxListKeys
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.verify(ctx, key, found); err != nil {
				return err
			}
		}
		lower = objectKey(b.number, keys[len(keys)-1]+"\x00")
	}
}

// verify reads the object of a key, and notes what it finds.
func (b local) verify(ctx context.Context, key string, found *Scrubbed) error {
	for {
		o, pinned, err := b.hold(key)
		if errors.Is(err, ErrNoSuchKey) {
			return nil // deleted meanwhile
		}
		if err == nil {
			err = b.store.verify(ctx, o)
			if pinned {
				b.store.unpin(o.content)
			}
			found.Bytes += o.Size
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && o != nil {
			now, wrong := b.lookup(key)
			if errors.Is(wrong, ErrNoSuchKey) || wrong == nil && now.content != o.content {
				continue // it was replaced while it was read
			}
		}
		found.Objects++
		if err != nil {
			b.store.log.Error("an object is damaged", "bucket", b.name, "key", key, "error", err)
			if found.Count++; found.Count <= scrubDamages {
				found.Damaged = append(found.Damaged, Damage{b.name, key, err.Error()})
			}
		}
		return nil
	}
}

// verify reads the content of an object.
func (s *Store) verify(ctx context.Context, o *Object) error {
	var size int64
	for next := 0; ; {
		var p part
		found := false
		err := s.parts(o.content, uint16(next), func(number uint16, candidate part) bool {
			p, found, next = candidate, true, int(number)+1
			p.inline = bytes.Clone(p.inline)
			return false
		})
		if err != nil {
			return err
		}
		if !found {
			break
		}
		if err := s.verifyPart(ctx, p, o.SSECKeyMD5 != ""); err != nil {
			return fmt.Errorf("part %d: %w", next-1, err)
		}
		size += p.size
	}
	if size != o.Size {
		return fmt.Errorf("%w: it has %d bytes, not %d", blob.ErrDamaged, size, o.Size)
	}
	return nil
}

func (s *Store) verifyPart(ctx context.Context, p part, encrypted bool) error {
	stored, err := s.open(p, nil, 0)
	if err != nil {
		return err
	}
	defer stored.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, contextReader{ctx, stored}); err != nil {
		return err
	}
	if !encrypted && !bytes.Equal(sum.Sum(nil), p.md5[:]) {
		return blob.ErrDamaged
	}
	return nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
