package assets

import (
	"bytes"
	"container/list"
	"io"
	"sync"
)

// The bounds of what is kept of static files in memory: opening a file takes
// longer than sending a small one.
const (
	maxHot     = 32 << 20  // all together
	maxHotFile = 128 << 10 // one file; larger ones are read from the disk each time
)

// hot are small files that do not change, by what is the same for the same
// bytes only. The least recently used ones give way. It is safe for concurrent
// use. Nil keeps nothing.
type hot struct {
	max int64

	mu    sync.Mutex
	bytes int64
	files map[string]*list.Element // of *hotFile
	used  list.List                // the latest first
}

type hotFile struct {
	name string
	data []byte
}

func newHot(max int64) *hot { return &hot{max: max, files: map[string]*list.Element{}} }

// takes reports whether a file of this name and size would be kept. Files that
// may change have no name.
func (h *hot) takes(name string, size int64) bool {
	return h != nil && name != "" && size > 0 && size <= min(maxHotFile, h.max)
}

// find returns a file that nobody may change.
func (h *hot) find(name string) ([]byte, bool) {
	if h == nil {
		return nil, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.files[name]
	if !ok {
		return nil, false
	}
	h.used.MoveToFront(e)
	return e.Value.(*hotFile).data, true
}

// add keeps a file that is taken; see takes.
func (h *hot) add(name string, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.files[name]; ok {
		return
	}
	h.files[name] = h.used.PushFront(&hotFile{name, data})
	h.bytes += int64(len(data))
	for h.bytes > h.max {
		old := h.used.Remove(h.used.Back()).(*hotFile)
		delete(h.files, old.name)
		h.bytes -= int64(len(old.data))
	}
}

// memory is a file in memory.
type memory struct{ bytes.Reader }

func inMemory(data []byte) *memory {
	m := &memory{}
	m.Reset(data)
	return m
}

// Close implements io.Closer.
func (*memory) Close() error { return nil }

// send copies size bytes of body to w, and keeps them if they are taken.
func (h *hot) send(w io.Writer, body io.Reader, name string, size int64) error {
	if m, ok := body.(*memory); ok {
		_, err := m.WriteTo(w) // at once, without a buffer between
		return err
	}
	if !h.takes(name, size) {
		_, err := io.CopyN(w, body, size)
		return err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return err
	}
	h.add(name, data)
	_, err := w.Write(data)
	return err
}
