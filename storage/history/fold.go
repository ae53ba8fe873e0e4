package history

import (
	"errors"
	"math"
	"os"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/storage/disk"
)

// Folding makes old segments smaller: of the states within one minute only the
// last is kept, so what leads back through all of them becomes one patch for
// each page. A folded segment looks like any other whose transactions are the
// minutes; frames are counted from its start. It has no sum, because the
// content of its pages is not known.

const (
	// noSum is the sum of a folded segment.
	noSum = math.MaxUint64
	// foldFrames and foldBytes bound what is folded at once. A segment that is
	// larger by itself stays as it is: it is mostly one transaction.
	foldFrames = 16 << 10
	foldBytes  = 32 << 20
	// keepOne is the time of which one state is kept.
	keepOne = time.Minute
	// foldSuffix ends the name of a folded segment that is not whole yet.
	foldSuffix = ".fold.tmp"
)

// errLarge: the segment is not worth folding.
var errLarge = errors.New("the segment is too large to be folded")

// fold makes one segment of as many of the given ones as may be folded at
// once, and returns their number and the new segment. It writes to path.
func fold(paths []string, path string) (n int, err error) {
	var groups []*group // the newest first
	var marks []mark    // likewise
	var f footer
	frames, bytes := uint32(0), int64(0)
	var open []*segment
	defer func() {
		for _, s := range open {
			s.close()
		}
	}()
	for _, p := range paths {
		s, err := openSegment(p)
		if err != nil {
			return 0, err
		}
		open = append(open, s)
		frames, bytes = frames+s.to-s.from, bytes+s.indexAt
		if frames > foldFrames || bytes > foldBytes {
			break
		}
		n++
	}
	if n == 0 {
		return 1, errLarge
	}
	f.page, f.before, f.after = open[0].page, open[0].before, open[n-1].after
	f.first, f.last, f.sum = open[0].first, open[n-1].last, noSum
	var current *group
	var cutOff []entry
	for _, s := range slices.Backward(open[:n]) {
		if s.page != f.page {
			return 0, errDamaged
		}
		blocks, old, err := s.index()
		if err != nil {
			return 0, err
		}
		frame := s.to
		err = s.backward(blocks, func(e *entry) error {
			if e.kind == lost { // by the commit before it
				cutOff = append(cutOff, *e)
				return nil
			}
			if e.kind == commit {
				m, ok := slices.BinarySearchFunc(old, frame, func(m mark, frame uint32) int { return int(m.frames) - int(frame) })
				if ok && (current == nil || minute(old[m].bookmark) != minute(marks[len(marks)-1].bookmark)) {
					current = &group{size: e.size, pages: map[uint32]*overlay{}}
					groups, marks = append(groups, current), append(marks, old[m])
				}
			}
			if current == nil {
				return errDamaged
			}
			for i := range cutOff {
				current.add(&cutOff[i], int(f.page))
			}
			cutOff = cutOff[:0]
			current.add(e, int(f.page))
			frame--
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	if len(groups) == 0 || groups[0].size != f.after {
		return 0, errDamaged
	}
	slices.Reverse(groups)
	slices.Reverse(marks)
	return n, writeFolded(path, f, groups, marks)
}

func minute(bookmark uint64) uint64 { return bookmark / uint64(keepOne/time.Microsecond) }

// group is all changes of a minute.
type group struct {
	size  uint32 // of the database after it
	pages map[uint32]*overlay
}

// overlay is what a page was before, where that is known to be different.
type overlay struct {
	data  []byte
	known []bool // of each word
}

// add adds an entry that is older than all so far: what it says comes later on
// the way back, and so replaces what they said.
func (g *group) add(e *entry, size int) {
	o := g.pages[e.page]
	if o == nil {
		o = &overlay{}
		g.pages[e.page] = o
	}
	if e.patch[0] == 0 && e.patch[1] == 0 {
		return
	}
	if o.data == nil {
		o.data, o.known = make([]byte, size), make([]bool, size/word)
	}
	overlayPatch(o.data, o.known, e.patch)
}

func writeFolded(path string, f footer, groups []*group, kept []mark) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	w := writer{f: out, encoder: denser}
	marks := []mark{{f.first, 0}}
	size := f.before
	for i, g := range groups {
		pages := make([]uint32, 0, len(g.pages)+1)
		for p, o := range g.pages {
			// A page that did not exist before needs nothing.
			if p <= size && o.data != nil {
				pages = append(pages, p)
			}
		}
		slices.Sort(pages)
		if len(pages) == 0 {
			pages = append(pages, 1)
		}
		for j, p := range pages {
			e := entry{kind: within, page: p}
			if j == len(pages)-1 {
				e.kind, e.size = commit, g.size
			}
			if err := w.addOverlay(e, g.pages[p]); err != nil {
				return err
			}
			f.to++
		}
		marks, size = append(marks, mark{kept[i].bookmark, f.to}), g.size
	}
	if _, err := w.finish(f, marks); err != nil {
		return err
	}
	return out.Sync()
}

// thin folds the oldest segments in the background, unless that is going on. It
// reports whether something is being folded.
func (h *History) thin() bool {
	if h.folding {
		return true
	}
	i := slices.IndexFunc(h.stored, func(x stored) bool { return !x.folded })
	if i < 0 {
		return false
	}
	part := slices.Clone(h.stored[i:])
	paths := make([]string, len(part))
	for i, x := range part {
		paths[i] = h.storedPath(x)
	}
	h.folding = true
	h.background.Go(func() {
		temporary := paths[0] + foldSuffix
		defer os.Remove(temporary)
		n, err := fold(paths, temporary)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.folding = false
		if errors.Is(err, errLarge) {
			err = os.Link(paths[0], temporary)
		}
		if err == nil {
			err = h.replace(part[:n], temporary)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // some were dropped meanwhile
			h.unfoldable = true
			h.log.Warn("old states of a database could not be thinned; they are dropped sooner", "error", err)
		}
	})
	return true
}

// replace puts a folded segment in the place of others.
func (h *History) replace(old []stored, path string) error {
	at := slices.Index(h.stored, old[0])
	if at < 0 {
		return nil // dropped meanwhile
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	x := stored{first: old[0].first, seq: old[len(old)-1].seq, folded: true, size: info.Size()}
	if err := os.Rename(path, h.storedPath(x)); err != nil {
		return err
	}
	if err := disk.SyncFolder(h.dir); err != nil {
		return err
	}
	h.total += x.size
	for _, o := range old {
		h.total -= o.size
		if err := os.Remove(h.storedPath(o)); err != nil {
			h.log.Warn("a folded segment could not be removed", "error", err)
		}
	}
	h.stored = slices.Replace(h.stored, at, at+len(old), x)
	return nil
}
