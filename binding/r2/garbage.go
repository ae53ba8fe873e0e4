package r2

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// leftover is a content that lost its object, and whose rows are gone or marked.
type leftover struct {
	content contentID
	// parts: it is marked as garbage, for collectContent.
	parts bool
	// digest is the file of a content of one part; the zero value if it has none.
	digest blob.Digest
	size   int64
}

// drop adds to batch the removal of an object's content, but not of the object. A
// content of one part goes at once: who reads it has it open. One of several is
// marked, and deleted when nobody reads it.
func (s *Store) drop(batch keyed.Batch, o *Object) (d leftover, err error) {
	if o == nil {
		return d, nil
	}
	d = leftover{content: o.content, parts: o.parts}
	if o.parts {
		batch.Set(garbageKey(o.content), nil)
		return d, nil
	}
	p, found, err := s.part(o.content, 0)
	if err != nil && !errors.Is(err, errCorrupt) {
		return d, err
	}
	if found {
		deletePart(batch, o.content, 0, p)
		d.size, d.digest = p.size, p.digest
	}
	return d, nil
}

// collect deletes what drop left, after its commit. Failure is no more than a
// delay: the sweep goes over it again.
func (s *Store) collect(d leftover) {
	if d.parts {
		if _, err := s.collectContent(d.content); err != nil {
			s.log.Warn("replaced content could not be deleted; the next sweep tries again", "version", d.content.version(), "error", err)
		}
		return
	}
	s.shrink(d.size)
	if d.digest != (blob.Digest{}) {
		s.discard(d.digest)
	}
}

// discard deletes a blob that lost a reference, unless it has others.
func (s *Store) discard(d blob.Digest) {
	if _, err := s.blobs.Delete(d, s.refers); err != nil {
		s.log.Warn("replaced content could not be deleted; the next sweep tries again", "blob", d, "error", err)
	}
}

// collectContent deletes a content that is marked as garbage, unless somebody
// reads it, and reports whether it did. Nobody begins to: no object has it.
func (s *Store) collectContent(id contentID) (bool, error) {
	s.pinning.Lock() // whoever has looked it up has pinned it
	pinned := s.pins.has(id)
	s.pinning.Unlock()
	if pinned {
		return false, nil
	}
	batch := s.db.Batch()
	defer batch.Close()
	var digests []blob.Digest
	var bytes int64
	err := s.parts(id, 0, func(number uint16, p part) bool {
		deletePart(batch, id, number, p)
		bytes += p.size
		if p.form == partBlob {
			digests = append(digests, p.digest)
		}
		return true
	})
	if err != nil {
		return false, err
	}
	batch.Delete(garbageKey(id))
	deletePartNotes(batch, id)
	if err := batch.Commit(); err != nil {
		return false, err
	}
	s.shrink(bytes)
	for _, d := range digests {
		s.discard(d)
	}
	return true, nil
}

// pins counts the readers of contents.
type pins struct {
	mu sync.Mutex
	of map[contentID]int
}

func (p *pins) add(id contentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[id]++
}

func (p *pins) has(id contentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[id] > 0
}

// remove reports whether that was the last one.
func (p *pins) remove(id contentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[id]--; p.of[id] > 0 {
		return false
	}
	delete(p.of, id)
	return true
}

// unpin ends reading a content, and deletes it if it has become garbage.
func (s *Store) unpin(id contentID) {
	if !s.pins.remove(id) {
		return
	}
	v, garbage, err := s.db.Get(garbageKey(id))
	if err != nil || !garbage {
		return
	}
	v.Release()
	s.collect(leftover{content: id, parts: true})
}

// refers is blob.Live: it reports whether any part is the blob. It also removes
// rows that say so wrongly, which is safe because a write that makes one true
// holds a pin on the blob, and refers is not called meanwhile.
func (s *Store) refers(d blob.Digest) (bool, error) {
	prefix := row(rowBlob, string(d[:]))
	stale := s.db.Batch()
	defer stale.Close()
	live := false
	var failed error
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		v, found, err := s.db.Get(append(row(rowPart), k[len(prefix):]...))
		if err != nil {
			failed = err
			return false
		}
		if found {
			p, err := decodePart(v.Bytes)
			v.Release()
			live = err != nil || p.digest == d // keep what we cannot read
		}
		if !live {
			stale.Delete(k)
		}
		return !live
	})
	if err = errors.Join(err, failed); err != nil {
		return false, err
	}
	if err := stale.CommitUnsynced(); err != nil || live {
		return live, err
	}
	// What was seen may be a commit that a crash would still undo; the file
	// must not be gone then.
	return false, s.db.Sync()
}

// Sweep carries out the lifecycle rules, and deletes content that nothing refers
// to: what crashes left, and what could not be deleted when it was replaced. It
// returns how many objects, uploads, contents and files it deleted.
func (s *Store) Sweep(ctx context.Context) (deleted int, err error) {
	if deleted, err = s.live(ctx); err != nil {
		return deleted, fmt.Errorf("sweep R2: %w", err)
	}
	var garbage []contentID
	prefix := row(rowGarbage)
	err = s.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		if len(k) == len(prefix)+len(contentID{}) {
			garbage = append(garbage, contentID(k[len(prefix):]))
		}
		return ctx.Err() == nil
	})
	if err == nil {
		err = s.db.Sync() // a mark that a crash would undo must not have been heeded
	}
	for _, id := range garbage {
		if err = errors.Join(err, ctx.Err()); err != nil {
			break
		}
		var gone bool
		if gone, err = s.collectContent(id); gone {
			deleted++
		}
	}
	if err != nil {
		return deleted, fmt.Errorf("sweep R2: %w", err)
	}
	files, err := s.blobs.Sweep(ctx, s.refers)
	if s.quota > 0 {
		if used, wrong := s.Measure(ctx); wrong == nil {
			s.used.Store(used)
		}
	}
	return deleted + files, err
}
