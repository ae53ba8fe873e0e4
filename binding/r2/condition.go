package r2

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Conditional says for which object, or the lack of one, an operation is done.
// Its fields are those of the HTTP headers for conditional requests.
//
// Source: https://developers.cloudflare.com/r2/api/workers/workers-api-reference/#conditional-operations
type Conditional struct {
	// ETagMatches: one of them is the object's. Nil: not asked. If-Match.
	ETagMatches []ETag
	// ETagDoesNotMatch: none of them is the object's. Nil: not asked.
	// If-None-Match.
	ETagDoesNotMatch []ETag
	// UploadedBefore and UploadedAfter are not asked if zero. If-Unmodified-Since
	// and If-Modified-Since.
	UploadedBefore, UploadedAfter time.Time
	// WholeSeconds compares times in seconds, which is all that a header has.
	WholeSeconds bool
}

// ETag is an entity tag in a condition.
type ETag struct {
	// Value has no quotes.
	Value string
	// Weak tags match only where that is enough: in ETagDoesNotMatch.
	Weak bool
	// Any stands for every object; Value is not used.
	Any bool
}

// Holds reports whether the condition holds for an object, or with nil for there
// being none. A nil Conditional always holds.
func (c *Conditional) Holds(o *Object) bool {
	if c == nil {
		return true
	}
	if o == nil {
		return c.ETagMatches == nil && c.UploadedAfter.IsZero()
	}
	has := func(tags []ETag, weak bool) bool {
		for _, t := range tags {
			if t.Any || t.Value == o.ETag && (!t.Weak || weak) {
				return true
			}
		}
		return false
	}
	ms := func(t time.Time) int64 {
		if c.WholeSeconds {
			return t.Unix()
		}
		return t.UnixMilli()
	}
	match := c.ETagMatches == nil || has(c.ETagMatches, false)
	noneMatch := c.ETagDoesNotMatch == nil || !has(c.ETagDoesNotMatch, true)
	// A tag that was asked for and holds makes the time that belongs to it moot.
	after := c.UploadedAfter.IsZero() || ms(c.UploadedAfter) < ms(o.Uploaded) || c.ETagDoesNotMatch != nil && noneMatch
	before := c.UploadedBefore.IsZero() || ms(o.Uploaded) < ms(c.UploadedBefore) || c.ETagMatches != nil && match
	return match && noneMatch && after && before
}

// Range is a part of a content. The zero value of a field that is a pointer is
// not set.
type Range struct {
	// Offset of the first byte; 0 if nil.
	Offset *int64
	// Length is cut at the end of the content; all that follows if nil.
	Length *int64
	// Suffix is the last bytes, as many as there are. It stands alone.
	Suffix *int64
}

// within finds where the range begins in a content of that size, and how long it
// is.
func (r *Range) within(size int64) (offset, length int64, err error) {
	switch {
	case r == nil:
		return 0, size, nil
	case r.Suffix != nil:
		if *r.Suffix <= 0 {
			return 0, 0, ErrInvalidRange
		}
		length = min(*r.Suffix, size)
		offset = size - length
	default:
		if r.Offset != nil {
			offset = *r.Offset
		}
		length = size - offset
		if r.Length != nil {
			length = *r.Length
		}
	}
	if offset < 0 || offset > size || length <= 0 {
		return 0, 0, ErrInvalidRange
	}
	return offset, min(length, size-offset), nil
}

var byteRange = regexp.MustCompile(`^ *(\d*) *- *(\d*) *$`)

// ParseRange reads the value of a header Range for a content of that size. It
// returns nil, the whole content, for what is not one satisfiable range.
//
// Source: https://httpwg.org/specs/rfc9110.html#field.range
func ParseRange(header string, size int64) *Range {
	unit, spec, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.Trim(unit, " "), "bytes") {
		return nil
	}
	m := byteRange.FindStringSubmatch(spec)
	if m == nil {
		return nil
	}
	first, err1 := strconv.ParseInt(m[1], 10, 64)
	last, err2 := strconv.ParseInt(m[2], 10, 64)
	switch {
	case m[1] != "" && err1 != nil || m[2] != "" && err2 != nil:
		return nil
	case m[1] == "" && m[2] == "":
		return nil
	case m[1] == "":
		if last == 0 || last >= size {
			return nil
		}
		return &Range{Suffix: &last}
	case first >= size:
		return nil
	case m[2] == "":
		return &Range{Offset: &first}
	case last < first:
		return nil
	}
	length := min(last, size-1) - first + 1
	return &Range{Offset: &first, Length: &length}
}
