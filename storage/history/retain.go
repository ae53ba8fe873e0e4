package history

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
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
	for next := h.seq; first > 0 && all[first-1].seq == next-1; first-- {
		next = all[first-1].first
	}
	for _, x := range all[:first] {
		h.log.Warn("a segment of a database's history is missing: states before it are gone", "unusable", x.seq)
		if err := os.Remove(h.storedPath(x)); err != nil {
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
		if strings.HasSuffix(name, foldSuffix) && !h.folding { // of a killed process
			os.Remove(filepath.Join(h.dir, name))
		}
		if !ok {
			continue
		}
		low, high, folded := strings.Cut(name, "-")
		if !folded {
			high = low
		}
		first, err := strconv.ParseUint(low, 16, 32)
		last, err2 := strconv.ParseUint(high, 16, 32)
		if err != nil || err2 != nil || first > last {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, stored{uint32(first), uint32(last), folded, info.Size()})
	}
	// After a kill there may be a folded segment beside those it stands for.
	slices.SortFunc(all, func(a, b stored) int {
		switch {
		case a.first != b.first:
			return cmp.Compare(a.first, b.first)
		case a.folded != b.folded && a.folded:
			return -1
		case a.folded != b.folded:
			return 1
		}
		return cmp.Compare(b.seq, a.seq)
	})
	kept := all[:0]
	for _, x := range all {
		if n := len(kept); n > 0 && kept[n-1].folded && x.seq <= kept[n-1].seq {
			if err := os.Remove(h.storedPath(x)); err != nil {
				return nil, err
			}
			continue
		}
		kept = append(kept, x)
	}
	return kept, nil
}

func (h *History) add(x stored) {
	if h.listed {
		h.stored, h.total = append(h.stored, x), h.total+x.size
	}
}

// retain drops segments whose states were all left longer ago than they are
// kept, and brings the rest near the budget.
func (h *History) retain() {
	err := h.list()
	limit := uint64(max(h.opts.Now().Add(-h.opts.Keep).UnixMicro(), 0))
	for err == nil && len(h.stored) > 0 {
		oldest := h.stored[0]
		over := h.total > h.opts.Budget
		if over && !h.unfoldable && h.total < h.opts.Budget*5/4 && h.thin() {
			return
		}
		if !over {
			var s *segment
			if s, err = openSegment(h.storedPath(oldest)); err == nil {
				s.close()
				if s.last >= limit {
					return
				}
			} else if !errors.Is(err, errDamaged) {
				break
			}
		}
		if err = os.Remove(h.storedPath(oldest)); err == nil || errors.Is(err, os.ErrNotExist) {
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
		err = errors.Join(err, os.Remove(h.storedPath(x)))
	}
	return err
}
