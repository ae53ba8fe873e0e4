package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/storage/disk"
)

// contentsFile names what the data directory has, one file or folder a line. All
// of it is there and not empty; what is not has been lost, because a store that
// is new is named only once it has been opened. It tells a directory whose
// volume is not mounted, or whose copy is not whole, from a new one.
//
// A new directory gets an empty one before anything else. One without the file
// is of an older program or has been restored.
const contentsFile = "contents"

const (
	stateFile   = "state.db"
	keyedFolder = "keyed"
	blobFolder  = "blob"
)

const (
	// doubtFor is how long nothing is swept after something new has appeared in
	// the directory. Who finds that things are missing has as long to put them back.
	doubtFor = 24 * time.Hour
	// spareYoung is how old what nothing refers to becomes before it is swept.
	spareYoung = time.Hour
)

// contents is what a data directory has, as its file says.
type contents struct {
	dir   string
	names []string
	// none: there is no such file.
	none bool
}

// readContents reads the file and refuses a directory that has lost something.
func readContents(dir string) (contents, error) {
	c := contents{dir: dir}
	data, err := os.ReadFile(c.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// These are in every backup, and in whatever an older program left.
		c.none, c.names = true, []string{stateFile, keyedFolder}
	case err != nil:
		return c, err
	default:
		c.names = strings.Fields(string(data))
	}
	return c, c.check()
}

func (c contents) path() string { return filepath.Join(c.dir, contentsFile) }

// had reports whether the directory had name before it was opened.
func (c contents) had(name string) bool { return slices.Contains(c.names, name) }

func (c contents) check() error {
	for _, name := range c.names {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("%s names %q, which is no path in the data directory", c.path(), name)
		}
		what := "is missing"
		info, err := os.Stat(filepath.Join(c.dir, filepath.FromSlash(name)))
		switch {
		case err == nil && info.IsDir():
			var entries []fs.DirEntry
			entries, err = os.ReadDir(filepath.Join(c.dir, filepath.FromSlash(name)))
			if err == nil && len(entries) > 0 {
				continue
			}
			what = "is empty"
		case err == nil && info.Size() > 0:
			continue
		case err == nil:
			what = "is empty"
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return c.lost(name, what)
	}
	return nil
}

func (c contents) lost(name, what string) error {
	anew := "to begin anew, name another data directory"
	if !c.none {
		anew = fmt.Sprintf("to give up what it held, delete its line from %s", c.path())
	}
	return fmt.Errorf("%s %s, but this directory had it: is a volume not mounted? Put it back, or restore a backup into a new directory (selvage restore); %s", name, what, anew)
}

// record adds what has been opened, durably, and returns when the last
// addition was.
func (c contents) record(names []string) (last time.Time, err error) {
	added := c.none
	for _, name := range names {
		if !slices.Contains(c.names, name) {
			c.names, added = append(c.names, name), true
		}
	}
	if added {
		if err := disk.WriteFile(c.path(), []byte(strings.Join(c.names, "\n")+"\n")); err != nil {
			return last, err
		}
	}
	info, err := os.Stat(c.path())
	if err != nil {
		return last, err
	}
	return info.ModTime(), nil
}

// recordContents makes known what is open, and keeps sweeps away for as long as
// something may be missing.
func (s *Stores) recordContents() error {
	names := []string{stateFile, keyedFolder}
	for name := range s.blobs {
		names = append(names, blobFolder+"/"+name)
	}
	for _, k := range s.Kinds {
		if f, ok := k.(binding.Filer); ok {
			names = append(names, f.Files().First...)
		}
	}
	slices.Sort(names)
	last, err := s.contents.record(names)
	if err != nil {
		return err
	}
	for _, b := range s.blobs {
		b.Spare(last.Add(doubtFor), spareYoung)
	}
	return nil
}
