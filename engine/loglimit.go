package engine

import (
	"strings"

	"github.com/selvage-edge/selvage/telemetry"
)

// cutLog is the start of a text, at most telemetry.MaxLogBytes of it: exceptions, and what
// is logged without a Ray ID, may be longer.
func cutLog(text string) string {
	if len(text) <= telemetry.MaxLogBytes {
		return text
	}
	return strings.ToValidUTF8(text[:telemetry.MaxLogBytes], "")
}

// maxLogging is of how many invocations of a cell it is known what they have
// logged. Those that logged first are forgotten first.
const maxLogging = 512

// logLimit counts what the invocations of a cell log, by Ray ID. It is not safe
// for concurrent use.
type logLimit struct {
	bytes map[string]int
	order []string // of their first lines
}

// add counts n bytes and reports whether they are within the limit. last: these
// are the first that are not.
func (l *logLimit) add(ray string, n int) (ok, last bool) {
	if ray == "" {
		return true, false
	}
	if l.bytes == nil {
		l.bytes = map[string]int{}
	}
	before, known := l.bytes[ray]
	if !known {
		if len(l.order) == maxLogging {
			delete(l.bytes, l.order[0])
			l.order = l.order[1:]
		}
		l.order = append(l.order, ray)
	}
	if before > telemetry.MaxLogBytes {
		return false, false
	}
	l.bytes[ray] = before + n
	ok = before+n <= telemetry.MaxLogBytes
	return ok, !ok
}
