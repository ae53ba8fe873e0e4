package dev

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files must be quiet before a rebuild: editors save in
// several steps, and the reload budget is 200 ms.
const settle = 15 * time.Millisecond

// watcher reports which files below a set of folders have changed.
type watcher struct {
	notify *fsnotify.Watcher
	log    *slog.Logger
	data   string // the data directory, which is no source wherever it is

	mu   sync.Mutex // guards dirs
	dirs map[string]bool
}

func newWatcher(log *slog.Logger, data string) (*watcher, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return &watcher{notify: n, log: log, data: data, dirs: map[string]bool{}}, nil
}

func (w *watcher) close() { w.notify.Close() }

// files watches the folders of single files.
func (w *watcher) files(paths []string) {
	for _, p := range paths {
		w.dir(filepath.Dir(p))
	}
}

// tree watches a folder and all folders below it.
func (w *watcher) tree(root string) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // what cannot be read cannot be watched
		}
		if path != root && ignored(d.Name()) || path == w.data {
			return filepath.SkipDir
		}
		w.dir(path)
		return nil
	})
}

func (w *watcher) dir(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dirs[path] {
		return
	}
	if err := w.notify.Add(path); err != nil {
		w.log.Warn("cannot watch a folder; save the config file to reload by hand", "folder", path, "err", err)
		return
	}
	w.dirs[path] = true
}

// ignored folders hold output and state, never source.
func ignored(name string) bool {
	return name == "node_modules" || strings.HasPrefix(name, ".")
}

// run calls changed with the set of changed paths each time they settle, until
// ctx ends. changed runs on this goroutine: saves during a rebuild are
// collected and reported together afterwards.
func (w *watcher) run(ctx context.Context, changed func(paths map[string]bool)) {
	pending := map[string]bool{}
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod {
				continue
			}
			pending[filepath.Clean(e.Name)] = true
			quiet.Reset(settle)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			w.log.Warn("file watching lost events; save again if a change is missing", "err", err)
		case <-quiet.C:
			paths := pending
			pending = map[string]bool{}
			changed(paths)
		}
	}
}
