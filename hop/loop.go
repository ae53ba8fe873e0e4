package hop

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// loopName is ours in the CDN-Loop header, by which servers that pass requests
// on recognize one that comes back to them.
//
// Source: https://www.rfc-editor.org/rfc/rfc8586
const loopName = "selvage"

// AddLoop notes in the CDN-Loop header that the request leaves a Worker of ours
// for the nth time. The entries of others, and earlier ones of ours, stay.
func AddLoop(h http.Header, n int) {
	entry := loopName + "; loops=" + strconv.Itoa(n)
	if list := h["Cdn-Loop"]; len(list) > 0 {
		entry = strings.Join(list, ", ") + ", " + entry
	}
	h["Cdn-Loop"] = []string{entry}
}

// Loops is how often a request has left a Worker of ours, by its CDN-Loop header:
// the largest number there, and not less than the number of entries.
func Loops(h http.Header) int {
	most, entries := 0, 0
	for _, line := range h["Cdn-Loop"] {
		for entry := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(entry, ";")
			if !strings.EqualFold(textproto.TrimString(name), loopName) {
				continue
			}
			entries++
			for p := range strings.SplitSeq(parameters, ";") {
				name, value, _ := strings.Cut(textproto.TrimString(p), "=")
				if n, err := strconv.Atoi(value); err == nil && strings.EqualFold(name, "loops") {
					most = max(most, n)
				}
			}
		}
	}
	return max(most, entries)
}
