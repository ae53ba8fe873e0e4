// Package history keeps what is needed to put a SQLite database back to any of
// its earlier states.
//
// # How
//
// The database is in WAL mode: commits append pages to a log, and a checkpoint
// moves them into the file. Checkpoints belong to this package. Before each,
// the frames of the log are written to a segment: for every frame the bytes
// that the page had before, where they were different. So segments lead from
// the present state backwards, commit by commit; they hold nothing of the
// present. A page that is new needs no bytes at all. Most of a segment is made
// before it is due, beside the writers.
//
// Every commit gets a bookmark: a number that grows, the time of the commit in
// Unix microseconds or a little more. Bookmarks of commits that are in no
// segment yet are in a small file of their own, "marks", to which each commit
// appends before it is acknowledged.
//
// # Durability
//
// A bookmark means the same state for as long as it is kept, through kill -9 at
// any moment. After a power failure a history may begin anew: it does when a
// state cannot be proven to follow from the ones before. With Options.Sync it
// does not. Damage to a history never reaches its database: what is restored
// is built in a file of its own and checked first.
//
// # Concurrency
//
// One process at a time has a database and its history open. Within it a
// [History] is safe for concurrent use; methods with a [sqlite.Conn] need the
// connection that writes.
package history

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/storage/disk"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Options configure a History. The zero value is right for a server.
type Options struct {
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Keep is how long a state can be gone back to after it was left; default
	// 30 days.
	Keep time.Duration
	// Budget bounds the history of one database in bytes. Over it, of the
	// oldest states only the last of each minute is kept, and if that is not
	// enough, the oldest are dropped. Default 1 GiB.
	Budget int64
	// Frames is how long the log may grow before it is checkpointed; default
	// 4000 pages.
	Frames int
	// Sync: a bookmark survives a power failure.
	Sync bool
	// Logger receives what goes wrong; the database goes on. Default
	// slog.Default().
	Logger *slog.Logger
}

// History is the history of one open database.
type History struct {
	path string // of the database
	dir  string
	opts Options
	log  *slog.Logger

	mu    sync.Mutex
	wal   *os.File // the database's log, opened when it is needed
	marks *os.File
	size  int64 // of the marks file
	stale bool  // the marks file lacks something and must be written anew

	salt    uint64  // of the log as of the last commit
	restart bool    // the log may start again at any commit
	sealed  uint32  // frames of the log that are in segments or before the history
	live    []mark  // the commit at sealed, and those after it
	seq     uint32  // number of the next segment
	work    *sealer // the segment being made, if it has been begun
	retry   uint32  // frames below which a checkpoint that failed is not tried again

	stored []stored // segments, oldest first; valid once listed
	total  int64    // their size in bytes
	listed bool

	folding    bool // in the background
	unfoldable bool // that failed
	background sync.WaitGroup
}

// stored is a segment file.
type stored struct {
	first, seq uint32 // numbers of the segments it stands for, the last being its own
	folded     bool
	size       int64
}

// giveUp is how many times Options.Frames the log may grow while no segment can
// be written, before the history is given up so that the log can be emptied.
const giveUp = 16

// Open opens the history of the database at path, whose writing connection is
// c, in the directory dir, which is created if need be. A history that does not
// fit the database begins anew.
func Open(c *sqlite.Conn, path, dir string, o Options) (*History, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep == 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	if o.Budget == 0 {
		o.Budget = 1 << 30
	}
	if o.Frames == 0 {
		o.Frames = 4000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &History{path: path, dir: dir, opts: o, log: o.Logger.With("database", path)}
	if err := h.open(c); err != nil {
		h.closeFiles()
		return nil, fmt.Errorf("open history of %s: %w", path, err)
	}
	return h, nil
}

func (h *History) open(c *sqlite.Conn) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	os.Remove(h.restorePath()) // of a killed process
	n, err := c.Frames()
	if err != nil {
		return err
	}
	frames, salt := uint32(n), uint64(0)
	if frames > 0 {
		if salt, err = h.readSalt(); err != nil {
			return err
		}
	}
	var list []record
	if h.marks, list, h.size, err = openMarks(h.marksPath()); err != nil {
		return err
	}
	s, why := h.resume(list, salt, frames)
	if why != nil {
		if len(list) > 0 {
			h.log.Warn("the history of a database begins anew: earlier states are gone", "reason", why)
		}
		s = resumed{seq: s.seq + 1, live: []mark{{h.begin(list), frames}}, rewrite: true}
		if err := h.removeSegments(); err != nil {
			return err
		}
	}
	h.salt, h.sealed, h.live, h.seq = salt, s.live[0].frames, s.live, s.seq
	h.restart = true // it may all be in the file already
	if last := s.live[len(s.live)-1]; last.frames < frames {
		// The process was killed between a commit and its mark.
		h.live = append(h.live, mark{h.next(), frames})
		s.rewrite = true
	}
	if s.rewrite {
		return h.rewriteMarks()
	}
	return nil
}

// next is the bookmark of a commit made now.
func (h *History) next() uint64 {
	return max(h.last().bookmark+1, uint64(max(h.opts.Now().UnixMicro(), 0)))
}

func (h *History) last() mark { return h.live[len(h.live)-1] }

// Bookmark names the present state. Bookmarks grow.
func (h *History) Bookmark() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last().bookmark
}

// Committed notes that c has committed something and that the log is frames
// long now, and returns the new bookmark. It runs a checkpoint when it is time.
// It is for [sqlite.Options.Committed].
func (h *History) Committed(c *sqlite.Conn, frames int) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := uint32(frames)
	if n <= h.last().frames || h.restart {
		h.follow()
	}
	if n == h.last().frames {
		return h.last().bookmark // nothing new
	}
	m := mark{h.next(), n}
	h.live = append(h.live, m)
	if err := h.note(m); err != nil {
		h.log.Error("a bookmark could not be written: it is lost if the process is killed", "error", err)
	}
	switch {
	case n < h.retry:
	case n-h.sealed >= uint32(h.opts.Frames):
		h.checkpoint(c, n)
	case n-h.sealed >= ahead:
		h.prepare(n)
	}
	return m.bookmark
}

// follow notices that the log has started again.
func (h *History) follow() {
	salt, err := h.readSalt()
	if err != nil {
		h.log.Error("the log of a database cannot be read: this state cannot be restored later", "error", err)
	}
	if err != nil || salt == h.salt {
		return
	}
	if h.last().frames != h.sealed {
		h.abandon("another program has changed the log")
	}
	h.salt, h.sealed, h.retry, h.restart = salt, 0, 0, false
	h.live = []mark{{h.last().bookmark, 0}}
}

// note appends a mark to the marks file.
func (h *History) note(m mark) error {
	if h.stale {
		return h.rewriteMarks()
	}
	r := record{m, h.salt, h.seq}
	if _, err := h.marks.Write(r.append(make([]byte, 0, recordLen))); err != nil {
		h.stale = true
		return err
	}
	h.size += recordLen
	if h.opts.Sync {
		return h.marks.Sync()
	}
	return nil
}

// checkpoint writes a segment and moves the log into the file.
func (h *History) checkpoint(c *sqlite.Conn, frames uint32) {
	if err := h.seal(frames); err != nil {
		if frames < uint32(giveUp*h.opts.Frames) {
			h.log.Error("a segment of a database's history could not be written; trying again later", "error", err)
			h.retry = frames + uint32(h.opts.Frames)
			return
		}
		h.abandon(err.Error())
	}
	h.retry, h.restart = 0, true
	if err := c.Checkpoint(); err != nil {
		h.log.Warn("a database could not be checkpointed; trying again later", "error", err)
	}
}

// abandon drops the history; the present state is its new beginning.
func (h *History) abandon(reason string) {
	h.log.Error("the history of a database begins anew: earlier states are gone", "reason", reason)
	h.discard()
	h.live = []mark{h.last()}
	h.sealed = h.last().frames
	h.seq++ // the next one follows on none
	if err := errors.Join(h.removeSegments(), h.rewriteMarks()); err != nil {
		h.log.Error("the history of a database could not be removed", "error", err)
	}
}

// Close writes a last segment and closes the history. It reports whether the
// whole log may be moved into the file. It is for [sqlite.Options.Closing].
func (h *History) Close(c *sqlite.Conn) bool {
	defer h.background.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.closeFiles()
	n, err := c.Frames()
	if err == nil {
		err = h.seal(uint32(n))
	}
	if err != nil {
		h.log.Error("a segment of a database's history could not be written; it stays in the log until the next start", "error", err)
	}
	return err == nil
}

func (h *History) closeFiles() {
	h.discard()
	if h.wal != nil {
		h.wal.Close()
	}
	if h.marks != nil {
		h.marks.Close()
	}
}

// rewriteMarks replaces the marks file by what is known.
func (h *History) rewriteMarks() error {
	h.stale = true
	list := make([]record, len(h.live))
	for i, m := range h.live {
		list[i] = record{m, h.salt, h.seq}
	}
	f, err := writeMarks(h.marksPath(), list)
	if err != nil {
		return err
	}
	h.marks.Close()
	h.marks, h.size, h.stale = f, int64(len(list)*recordLen), false
	return disk.SyncFolder(h.dir)
}

func (h *History) readSalt() (uint64, error) {
	if h.wal == nil {
		f, err := os.Open(h.path + "-wal")
		if err != nil {
			return 0, err
		}
		h.wal = f
	}
	return readSalt(h.wal)
}

func (h *History) marksPath() string { return filepath.Join(h.dir, "marks") }

func (h *History) restorePath() string { return filepath.Join(h.dir, "restore.tmp") }

const segmentSuffix = ".segment"

func (h *History) segmentPath(seq uint32) string {
	return filepath.Join(h.dir, fmt.Sprintf("%08x", seq)+segmentSuffix)
}

// storedPath is the path of a segment file: a folded one is named after the
// first and the last segment that it stands for.
func (h *History) storedPath(x stored) string {
	if x.folded {
		return filepath.Join(h.dir, fmt.Sprintf("%08x-%08x", x.first, x.seq)+segmentSuffix)
	}
	return h.segmentPath(x.seq)
}
