package history

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// resumed is where a history goes on.
type resumed struct {
	seq     uint32
	live    []mark
	rewrite bool // the marks file says something else
}

// resume works out, from the marks file and the log, where the history goes on;
// the error says why it cannot.
func (h *History) resume(list []record, salt uint64, frames uint32) (resumed, error) {
	if len(list) == 0 {
		return resumed{}, errors.New("there is no record of it")
	}
	start, list := list[0], list[1:]
	s := resumed{seq: start.seq}
	for {
		// The process may have been killed after it wrote a segment and before
		// it noted that.
		f, err := openSegment(h.segmentPath(s.seq))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return s, err
		}
		f.close()
		if from := start.frames; f.salt != start.salt && f.from != 0 || f.salt == start.salt && f.from != from || f.first != start.bookmark {
			return s, fmt.Errorf("segment %d does not follow", s.seq)
		}
		start = record{mark{f.last, f.to}, f.salt, s.seq + 1}
		s.seq, s.rewrite = s.seq+1, true
		for len(list) > 0 && list[0].salt == f.salt && list[0].frames <= f.to {
			list = list[1:]
		}
	}
	if salt != start.salt || frames == 0 {
		// The log has started again since, which it does when all of it is in
		// the file.
		start.frames = 0
	} else if frames < start.frames {
		return s, errors.New("the log is shorter than it was")
	}
	s.live = []mark{start.mark}
	for _, r := range list {
		if r.salt != salt || frames == 0 {
			return s, errors.New("a log is gone that was in no segment")
		}
		if r.frames > frames { // lost by a power failure
			s.rewrite = true
			break
		}
		s.live = append(s.live, r.mark)
	}
	return s, nil
}

// begin is the first bookmark of a history that begins now. The clock may have
// been set back since the last bookmark was made; the files' times keep them
// growing.
func (h *History) begin(list []record) uint64 {
	after := h.opts.Now()
	for _, path := range []string{h.path, h.path + "-wal"} {
		if info, err := os.Stat(path); err == nil && info.ModTime().Add(time.Second).After(after) {
			after = info.ModTime().Add(time.Second)
		}
	}
	b := uint64(max(after.UnixMicro(), 1))
	if len(list) > 0 {
		b = max(b, list[len(list)-1].bookmark+1)
	}
	return b
}
