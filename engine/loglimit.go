package engine

import "strings"

// maxLogBytes is how much text an invocation may log. The runtime bounds tail
// events in the same way and sets their truncated.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#log-size
const maxLogBytes = 256 << 10

// logLimitExceeded takes the place of what an invocation logs beyond the limit,
// in the words of tail events.
const logLimitExceeded = "Log size limit exceeded: More than 256KB of data (across console.log statements, exception, request metadata and headers) was logged during a single request. " +
	"Subsequent data for this request will not be recorded in logs, appear when tailing this Worker's logs, or in Tail Workers."

// cutLog is the start of a text, at most maxLogBytes of it: exceptions, and what
// is logged without a Ray ID, may be longer.
func cutLog(text string) string {
	if len(text) <= maxLogBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogBytes], "")
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
	if before > maxLogBytes {
		return false, false
	}
	l.bytes[ray] = before + n
	ok = before+n <= maxLogBytes
	return ok, !ok
}
