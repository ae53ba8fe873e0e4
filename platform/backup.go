package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/storage/backup"
	"github.com/selvage-edge/selvage/storage/disk"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// secretKey is the file of the key that seals the secrets.
const secretKey = "secret.key"

// Backup writes a copy of everything to w while the stores are in use. Each
// database, and the keyed store as a whole, is copied as it was at one moment;
// the moments differ by as long as the copying takes. What was acknowledged
// before the call is in the copy.
//
// Without withKey the key of the secrets is left out, and the copy is of no
// use without it.
//
//  1. Large values are kept from being deleted until the end, so that whatever
//     a copied database refers to can be copied after it.
//  2. The state and the registries of the kinds go first: what they name has
//     existed before.
//  3. Databases are copied by SQLite's online backup one after the other, so
//     the disk needs room for the largest only. Durable Objects are copied in
//     the same way beside the process that runs them.
func (s *Stores) Backup(ctx context.Context, w io.Writer, withKey bool) (err error) {
	for _, b := range s.blobs {
		defer b.Hold()()
	}
	temporary, err := os.MkdirTemp(s.Dir, backingUp)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer os.RemoveAll(temporary)
	out, err := backup.NewWriter(w, backup.Header{Created: time.Now().UTC().Truncate(time.Second), Account: s.Account, Key: withKey})
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	b := backingUpTo{ctx, s, out, temporary}
	err = b.all(withKey)
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// backingUpTo is one backup under way.
type backingUpTo struct {
	ctx       context.Context
	s         *Stores
	out       *backup.Writer
	temporary string
}

func (b *backingUpTo) all(withKey bool) error {
	if err := b.file("format"); err != nil {
		return err
	}
	if withKey {
		if err := b.file(secretKey); errors.Is(err, fs.ErrNotExist) {
			return errors.New("the key of the secrets is not in the data directory but in the environment: leave --with-key out")
		} else if err != nil {
			return err
		}
	}
	if err := b.database("state.db", false); err != nil {
		return err
	}
	if err := b.kinds(); err != nil {
		return err
	}
	checkpoint := filepath.Join(b.temporary, "keyed")
	if err := b.s.keyed.Checkpoint(checkpoint); err != nil {
		return err
	}
	entries, err := os.ReadDir(checkpoint)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.out.Add("keyed/"+e.Name(), filepath.Join(checkpoint, e.Name())); err != nil {
			return err
		}
	}
	return b.walk("blob", func(name string) error {
		if strings.Contains(name, "/tmp/") { // not whole yet
			return nil
		}
		return b.file(name)
	})
}

// kinds adds the databases of the kinds.
func (b *backingUpTo) kinds() error {
	var all []binding.Files
	for _, k := range b.s.Kinds {
		if f, ok := k.(binding.Filer); ok {
			all = append(all, f.Files())
		}
	}
	for _, files := range all {
		for _, name := range files.First {
			if err := b.database(name, files.OwnCheckpoints); err != nil {
				return err
			}
		}
	}
	for _, files := range all {
		err := b.walk(files.Folder, func(name string) error {
			if slices.Contains(files.First, name) || !strings.HasSuffix(name, ".sqlite") {
				return nil
			}
			err := b.database(name, files.OwnCheckpoints)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted meanwhile
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls f with the name of each file below a folder.
func (b *backingUpTo) walk(folder string, f func(name string) error) error {
	return filepath.WalkDir(filepath.Join(b.s.Dir, folder), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // none yet, or deleted meanwhile
		}
		if err == nil {
			err = b.ctx.Err()
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(b.s.Dir, path)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(name))
	})
}

// file adds a file that does not change.
func (b *backingUpTo) file(name string) error {
	return b.out.Add(name, filepath.Join(b.s.Dir, filepath.FromSlash(name)))
}

// database adds a copy of a SQLite file. With ownCheckpoints its log is moved
// only by whoever has it open for writing.
func (b *backingUpTo) database(name string, ownCheckpoints bool) error {
	path := filepath.Join(b.s.Dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		return err // SQLite would create it
	}
	db, err := sqlite.Open(path, sqlite.Options{Readers: 1, Wait: 30 * time.Second, OwnCheckpoints: ownCheckpoints})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	to := filepath.Join(b.temporary, "copy.sqlite")
	defer os.Remove(to)
	if err := errors.Join(db.Backup(b.ctx, to), db.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return b.out.Add(name, to)
}

// Restore unpacks a backup into the data directory dir, which must be empty or
// missing. When it fails, or the process is killed, no server takes dir for a
// whole one.
func Restore(r io.Reader, dir string) (h backup.Header, err error) {
	lock, _, err := Acquire(dir)
	if err != nil {
		return h, err
	}
	defer lock.Release()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return h, fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lock" && e.Name() != "lost+found" {
			return h, fmt.Errorf("restore: %s is not empty (it holds %s): name a new directory", dir, e.Name())
		}
	}
	temporary := filepath.Join(dir, restoring)
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return h, fmt.Errorf("restore: %w", err)
	}
	if h, err = backup.Extract(r, temporary); err != nil {
		os.RemoveAll(temporary)
		return h, fmt.Errorf("restore: %w", err)
	}
	// From here on all is there; until the folder is gone nobody uses it.
	if entries, err = os.ReadDir(temporary); err != nil {
		return h, fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(temporary, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return h, fmt.Errorf("restore: %w", err)
		}
	}
	if err := errors.Join(disk.SyncFolder(dir), os.Remove(temporary), disk.SyncFolder(dir)); err != nil {
		return h, fmt.Errorf("restore: %w", err)
	}
	return h, nil
}
