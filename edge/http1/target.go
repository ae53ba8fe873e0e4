package http1

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/selvage-edge/selvage/hop/target"
)

// net/http refuses a target whose path has a malformed percent escape before
// any handler is asked, while browsers and workerd send them ("/sale-100%").
// So such a target goes through net/http as the query of another one, and
// reveal undoes it. A client gains nothing by sending a disguise itself: that
// is disguised once more.
const (
	disguise = "/.selvage-target?"
	tooLarge = "/.selvage-too-large" // the target of a request over HTTP/2 with too many or large fields
)

// needsDisguise reports whether net/http would refuse s, or reveal mistake it.
func needsDisguise(s string) bool {
	if strings.HasPrefix(s, disguise) || s == tooLarge {
		return true
	}
	path, _, _ := strings.Cut(s, "?")
	for i := strings.IndexByte(path, '%'); i >= 0; {
		if _, ok := target.Escaped(path[i:]); !ok {
			return true
		}
		next := strings.IndexByte(path[i+1:], '%')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

func hide(s string) string { return disguise + url.QueryEscape(s) }

// Reveal gives r the target that its client sent. It is for handlers behind a
// [Tolerant] listener; a Server does it by itself.
func Reveal(r *http.Request) {
	hidden, ok := strings.CutPrefix(r.RequestURI, disguise)
	if !ok {
		return
	}
	if s, err := url.QueryUnescape(hidden); err == nil {
		r.RequestURI, r.URL = s, target.Parse(s)
	}
}
