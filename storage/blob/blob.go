// Package blob keeps large immutable values as files named by the SHA-256 of
// their content: KV values over 64 KiB, modules of Workers, static assets.
//
// # Promises
//
//   - Durable when acknowledged: when [Store.Put] returns, the file, its name
//     and its folder are on disk.
//   - Whole or absent: a file appears under its name only when it is complete.
//     Leftovers of a crash are removed when the store is opened.
//   - Never deleted while needed: a blob is pinned from Put until
//     [Pin.Release], and deleting asks the owner whether it is still referred
//     to while no new pin can be taken.
//   - An open blob can be read to its end even if it is deleted meanwhile.
//   - Damage is noticed: whoever reads a whole blob gets what was stored or
//     ErrDamaged; see [Reader] for ranges, and [Reader.SendTo] for what the kernel
//     sends.
//   - No sweep on doubtful ground; see [Store.Spare].
//
// A Store has one owner, who knows which blobs are live. Owners do not share a
// directory: each opens a Store of its own.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/storage/disk"
)

// Digest is the SHA-256 of a blob's content.
type Digest [sha256.Size]byte

// String is the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what String writes.
func ParseDigest(s string) (d Digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("parse blob digest %q: want %d hexadecimal digits", s, 2*len(d))
	}
	return Digest(b), nil
}

// ErrNotFound says that the store has no such blob.
var ErrNotFound = errors.New("blob not found")

// Live tells whether anything refers to a blob. When it says no, that must be
// durable, or a crash could bring back a reference to a deleted file. It is
// called while no new pin on the blob can be taken and must not call back into
// the store.
type Live func(Digest) (bool, error)

// Store is a directory of blobs. It is safe for concurrent use by one process.
type Store struct {
	dir string

	now func() time.Time

	mu     sync.Mutex // guards all below; held from checking to deleting a file
	pins   map[Digest]int
	proofs map[Digest]proof
	holds  int       // while positive nothing is deleted
	after  time.Time // of Spare
	young  time.Duration
	folder map[string]bool // folders known to exist durably
}

const tempFolder = "tmp"

// Open opens the store in dir and creates it if it is not there.
func Open(dir string) (*Store, error) {
	temp := filepath.Join(dir, tempFolder)
	if err := os.RemoveAll(temp); err != nil {
		return nil, fmt.Errorf("open blob store: remove leftovers: %w", err)
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	if err := disk.SyncFolder(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return &Store{dir: dir, now: time.Now, pins: map[Digest]int{}, proofs: map[Digest]proof{}, folder: map[string]bool{}}, nil
}

// Pin is a blob that cannot be deleted yet.
type Pin struct {
	Digest Digest
	// Size in bytes.
	Size  int64
	store *Store
}

// Release ends the pin, once. Call it after the reference to the blob is
// durable, or when there will be none.
func (p *Pin) Release() {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if p.store.pins[p.Digest]--; p.store.pins[p.Digest] == 0 {
		delete(p.store.pins, p.Digest)
	}
}

// Put stores what r gives, durably, and pins it. Memory use does not depend on
// the size. When reading fails nothing is stored and the reader's error is in
// the chain.
func (s *Store) Put(r io.Reader) (*Pin, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, tempFolder), "put-")
	if err != nil {
		return nil, fmt.Errorf("put blob: %w", err)
	}
	defer os.Remove(f.Name()) // fails, as it should, once the file has been renamed
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), r)
	if err != nil {
		return nil, fmt.Errorf("put blob: %w", err)
	}
	p := &Pin{Digest: Digest(hash.Sum(nil)), Size: size, store: s}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("put blob: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("put blob: %w", err)
	}
	s.mu.Lock()
	s.pins[p.Digest]++
	s.mu.Unlock()
	if err := s.publish(f, p.Digest); err != nil {
		p.Release()
		return nil, fmt.Errorf("put blob: %w", err)
	}
	s.prove(p.Digest, info)
	return p, nil
}

// Temp makes a file without a name beside the blobs, for what must not be held in
// memory. It takes up the disk until it is closed.
func (s *Store) Temp() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, tempFolder), "temp-")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil && runtime.GOOS != "windows" { // there Open removes it
		f.Close()
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	return f, nil
}

// publish gives the written file its name. A blob that is there already is
// replaced by its equal: that is simpler than asking whether the other one is
// durable yet.
func (s *Store) publish(f *os.File, d Digest) error {
	path := s.path(d)
	folder := filepath.Dir(path)
	s.mu.Lock()
	known := s.folder[folder]
	s.mu.Unlock()
	if !known {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := disk.SyncFolder(s.dir); err != nil {
			return err
		}
		s.mu.Lock()
		s.folder[folder] = true
		s.mu.Unlock()
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return disk.SyncFolder(folder)
}

func (s *Store) path(d Digest) string {
	name := d.String()
	return filepath.Join(s.dir, name[:2], name)
}

// Open opens a blob for reading and seeking. The error is ErrNotFound if there
// is none.
func (s *Store) Open(d Digest) (*Reader, error) {
	f, err := os.Open(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", d, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	r, err := s.newReader(f, d)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return r, nil
}

// Has reports whether the store holds a blob.
func (s *Store) Has(d Digest) (bool, error) {
	_, err := os.Stat(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find blob: %w", err)
	}
	return true, nil
}

// Measure adds up the sizes of all blobs, in bytes. It looks at every file.
func (s *Store) Measure(ctx context.Context) (bytes int64, err error) {
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure blobs: %w", err)
	}
	return bytes, nil
}

// Hold keeps every blob from being deleted until release is called. What would
// have been deleted meanwhile is left to the next Sweep.
func (s *Store) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.holds--
	})
}

// Delete removes a blob unless it is pinned or live, and reports whether it
// did. A crash may bring the file back; the next Sweep removes it again.
func (s *Store) Delete(d Digest, live Live) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins[d] > 0 || s.holds > 0 {
		return false, nil
	}
	if keep, err := live(d); err != nil || keep {
		return false, err
	}
	err := os.Remove(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete blob: %w", err)
	}
	return true, nil
}

// Spare keeps Sweep from deleting anything before a moment, and blobs that were
// stored less than young ago at any time: a sweep believes its owner, who may
// have lost what it knew. Zero values, the default, spare nothing.
func (s *Store) Spare(before time.Time, young time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after, s.young = before, young
}

// spared says whether a sweep may delete at all, and what was stored since when
// it must leave alone.
func (s *Store) spared() (sweep bool, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == 0 {
		return time.Now().After(s.after), time.Unix(1<<60, 0)
	}
	return time.Now().After(s.after), time.Now().Add(-s.young)
}

// Sweep deletes every blob that is neither pinned nor live nor spared and
// returns how many there were. Puts and reads go on meanwhile.
func (s *Store) Sweep(ctx context.Context, live Live) (deleted int, err error) {
	sweep, since := s.spared()
	if !sweep {
		return 0, nil
	}
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("sweep blobs: %w", err)
	}
	for _, folder := range folders {
		if !folder.IsDir() || folder.Name() == tempFolder {
			continue
		}
		files, err := os.ReadDir(filepath.Join(s.dir, folder.Name()))
		if err != nil {
			return deleted, fmt.Errorf("sweep blobs: %w", err)
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return deleted, fmt.Errorf("sweep blobs: %w", err)
			}
			d, err := ParseDigest(file.Name())
			if err != nil {
				continue // not ours
			}
			if info, err := file.Info(); err != nil || info.ModTime().After(since) {
				continue // gone, or young
			}
			gone, err := s.Delete(d, live)
			if err != nil {
				return deleted, fmt.Errorf("sweep blobs: %w", err)
			}
			if gone {
				deleted++
			}
		}
	}
	return deleted, nil
}
