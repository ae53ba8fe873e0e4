package history

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
)

// list finds the segments that lead back from the present, oldest first.
func (h *History) list() error {
	if h.listed {
		return nil
	}
	all, err := h.segments()
	if err != nil {
		return err
	}
	// Those before a gap lead nowhere.
	first := len(all)
	for next := h.seq; first > 0 && all[first-1].seq == next-1; next-- {
		first--
	}
	for _, x := range all[:first] {
		h.log.Warn("a segment of a database's history is missing: states before it are gone", "unusable", x.seq)
		if err := os.Remove(h.segmentPath(x.seq)); err != nil {
			return err
		}
	}
	h.stored, h.total = all[first:], 0
	for _, x := range h.stored {
		h.total += x.size
	}
	h.listed = true
	return nil
}

// segments lists the segment files.
func (h *History) segments() ([]stored, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, err
	}
	var all []stored
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		seq, err := strconv.ParseUint(name, 16, 32)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, stored{uint32(seq), info.Size()})
	}
	slices.SortFunc(all, func(a, b stored) int { return int(int64(a.seq) - int64(b.seq)) })
	return all, nil
}

func (h *History) add(x stored) {
	if h.listed {
		h.stored, h.total = append(h.stored, x), h.total+x.size
	}
}

// retain drops segments that are over the budget or whose states were all left
// longer ago than they are kept.
func (h *History) retain() {
	err := h.list()
	limit := uint64(max(h.opts.Now().Add(-h.opts.Keep).UnixMicro(), 0))
	for err == nil && len(h.stored) > 0 {
		oldest := h.stored[0]
		if h.total <= h.opts.Budget {
			var s *segment
			if s, err = openSegment(h.segmentPath(oldest.seq)); err == nil {
				s.close()
				if s.last >= limit {
					return
				}
			} else if !errors.Is(err, errDamaged) {
				break
			}
		}
		if err = os.Remove(h.segmentPath(oldest.seq)); err == nil || errors.Is(err, os.ErrNotExist) {
			h.stored, h.total, err = h.stored[1:], h.total-oldest.size, nil
		}
	}
	if err != nil {
		h.log.Warn("old states of a database could not be dropped; trying again later", "error", err)
	}
}

// removeSegments deletes all segments.
func (h *History) removeSegments() error {
	h.stored, h.total, h.listed = nil, 0, true
	all, err := h.segments()
	for _, x := range all {
		err = errors.Join(err, os.Remove(h.segmentPath(x.seq)))
	}
	return err
}
