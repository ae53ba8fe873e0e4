package platform

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Inspection is what can be seen of a data directory without opening it.
type Inspection struct {
	// Exists: there is such a directory.
	Exists bool
	// Format is the text of its format file; empty in a new one.
	Format string
	// InUse: a process holds it, which is Holder.
	InUse  bool
	Holder Holder
	// Restoring: a restore was interrupted.
	Restoring bool
	// Lost says what the directory had and has lost; nil if nothing.
	Lost error
	// Free is the space on its disk that this user may fill, in bytes.
	Free uint64
}

// Inspect looks at a data directory, or at the nearest folder above it that
// exists. It changes nothing.
func Inspect(dir string) (i Inspection, err error) {
	info, err := os.Stat(dir)
	i.Exists = err == nil && info.IsDir()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return i, err
	}
	if i.Exists {
		format, err := os.ReadFile(filepath.Join(dir, "format"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i, err
		}
		i.Format = strings.TrimSpace(string(format))
		if f, err := os.Open(filepath.Join(dir, "lock")); err == nil {
			if errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
				i.InUse = true
				json.NewDecoder(f).Decode(&i.Holder) // the holder may be about to write it
			}
			f.Close()
		}
		_, err = os.Stat(filepath.Join(dir, restoring))
		i.Restoring = err == nil
		if i.Format != "" && !i.InUse && !i.Restoring {
			_, i.Lost = readContents(dir)
		}
	}
	var disk unix.Statfs_t
	for folder := dir; ; folder = filepath.Dir(folder) {
		err := unix.Statfs(folder, &disk)
		if err == nil || folder == filepath.Dir(folder) {
			i.Free = disk.Bavail * uint64(disk.Bsize)
			return i, err
		}
	}
}
