package cgroup

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// mount is a place where (a part of) the v2 hierarchy is seen.
type mount struct {
	root     string // the group that is seen at point
	point    string
	readOnly bool
}

// parseMounts finds the cgroup2 mounts in /proc/<pid>/mountinfo, in its order.
//
// Source: proc_pid_mountinfo(5)
func parseMounts(text string) []mount {
	var list []mount
	for line := range strings.Lines(text) {
		// id parent major:minor root point options [fields…] - type source options
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 || fields[dash+1] != "cgroup2" {
			continue
		}
		m := mount{root: unescape(fields[3]), point: unescape(fields[4])}
		for _, options := range []string{fields[5], fields[dash+3]} {
			m.readOnly = m.readOnly || slices.Contains(strings.Split(options, ","), "ro")
		}
		if path.IsAbs(m.root) && path.IsAbs(m.point) {
			list = append(list, m)
		}
	}
	return list
}

// unescape replaces \ooo, which stands for blanks and backslashes in paths.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseOwn finds the v2 group in /proc/<pid>/cgroup: "0::/path".
func parseOwn(text string) (string, bool) {
	for line := range strings.Lines(text) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && path.IsAbs(p) {
			return p, true
		}
	}
	return "", false
}

// parseEvents reads memory.events: lines of a name and a count.
func parseEvents(text string) Events {
	var e Events
	for line := range strings.Lines(text) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 0 {
			continue
		}
		switch name {
		case "oom":
			e.OOM = n
		case "oom_kill":
			e.Killed = n
		}
	}
	return e
}
