package compress

import (
	"net/textproto"
	"strings"
)

// accepted is what an Accept-Encoding says of each coding, in thousandths; zero
// means no, and so does silence.
//
// Source: RFC 9110, 12.5.3
type accepted [codings]int

// parseAccept reads the lines of an Accept-Encoding. A part that is malformed
// counts as absent, and of two about one coding the first counts.
func parseAccept(lines []string) accepted {
	const unsaid = -1
	a, others := accepted{unsaid, unsaid, unsaid, unsaid}, unsaid
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			q, ok := parseWeight(parameters)
			if !ok {
				continue
			}
			name = textproto.TrimString(name)
			if name == "*" {
				if others == unsaid {
					others = q
				}
			} else if c, ok := codingNamed(name); ok && a[c] == unsaid {
				a[c] = q
			}
		}
	}
	for c := range a {
		switch {
		case a[c] == unsaid && coding(c) != identity:
			a[c] = max(others, 0)
		case a[c] == unsaid:
			a[c] = 0
		}
	}
	return a
}

// parseWeight reads "q=0.5" as 500. Nothing is 1000.
func parseWeight(s string) (int, bool) {
	s = textproto.TrimString(s)
	if s == "" {
		return 1000, true
	}
	if len(s) < 3 || s[0]|0x20 != 'q' || s[1] != '=' || len(s) > len("q=0.123") {
		return 0, false
	}
	whole, fraction := s[2], s[3:]
	if whole != '0' && whole != '1' || fraction != "" && fraction[0] != '.' {
		return 0, false
	}
	q := 1000 * int(whole-'0')
	for i, unit := 1, 100; i < len(fraction); i, unit = i+1, unit/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		q += unit * int(fraction[i]-'0')
	}
	return q, q <= 1000
}

// best is the coding that the client likes best, and among equals the one that
// Cloudflare prefers: Zstandard (on its free plan), Brotli, gzip. It is identity
// when the client takes none of them, or says that it likes identity better.
func (a accepted) best() coding {
	best := identity
	for _, c := range [...]coding{zstandard, brotli, gzip} {
		if a[c] > 0 && (best == identity && a[c] >= a[identity] || best != identity && a[c] > a[best]) {
			best = c
		}
	}
	return best
}
