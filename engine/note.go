package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/storage/disk"
)

// note is a restore that is to happen.
type note struct {
	// Bookmark is the state to restore, Undo the one that it replaces.
	Bookmark, Undo uint64
	// Name of the object, if it has one: an alarm brings it along.
	Name string `json:",omitempty"`
	// Done: the state is there, with its alarm in nanoseconds, 0 for none. What the
	// runtime knows of it is not in order yet.
	Done  bool  `json:",omitempty"`
	Alarm int64 `json:",omitempty"`
}

func (r *recovery) notePath(o objectID) string {
	return filepath.Join(r.folder(o.key), restoresFolder, o.id)
}

// noted reads the restore that waits for an object; nil if none does.
func (r *recovery) noted(o objectID) (*note, error) {
	text, err := os.ReadFile(r.notePath(o))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.notePath(o), err)
	}
	return &n, nil
}

// write notes a restore, durably.
func (r *recovery) write(o objectID, n note) error {
	path := r.notePath(o)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, _ := json.Marshal(n) // of plain fields
	return disk.WriteFile(path, text)
}

// forget removes the note of a restore.
func (r *recovery) forget(o objectID) error {
	if err := os.Remove(r.notePath(o)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
