package assets

import (
	"regexp"
	"strings"
)

// Patterns tells which files the patterns of a .gitignore file match, by their
// paths relative to its folder, with slashes.
func Patterns(lines []string) func(path string) bool {
	return parseIgnore(strings.Join(lines, "\n")).ignored
}

// ignoreRules are the patterns of an .assetsignore file, which are those of
// .gitignore.
//
// Source: https://git-scm.com/docs/gitignore#_pattern_format
type ignoreRules []ignoreRule

type ignoreRule struct {
	re      *regexp.Regexp
	negated bool
	dirOnly bool
}

// parseIgnore reads the patterns. One that is not well-formed matches nothing.
func parseIgnore(text string) ignoreRules {
	var rules ignoreRules
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimRight(line, " \t"); !strings.HasSuffix(trimmed, `\`) {
			line = trimmed
		}
		if line == "" || line[0] == '#' {
			continue
		}
		var r ignoreRule
		line, r.negated = strings.CutPrefix(line, "!")
		line, r.dirOnly = strings.CutSuffix(line, "/")
		if line == "" {
			continue
		}
		var err error
		if r.re, err = regexp.Compile(ignoreExpression(line)); err == nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// ignoreExpression turns a pattern into a regular expression over the path
// relative to the directory.
func ignoreExpression(p string) string {
	var b strings.Builder
	b.WriteString("^")
	if !strings.Contains(p, "/") {
		b.WriteString("(?:.*/)?") // a name matches at every depth
	}
	p = strings.TrimPrefix(p, "/")
	for i := 0; i < len(p); {
		rest := p[i:]
		atStart := i == 0 || p[i-1] == '/'
		switch {
		case atStart && strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			i += 3
		case atStart && rest == "**":
			b.WriteString(".+")
			i += 2
		case rest[0] == '*':
			b.WriteString("[^/]*")
			i++
		case rest[0] == '?':
			b.WriteString("[^/]")
			i++
		case rest[0] == '[' && strings.IndexByte(rest, ']') > 1:
			end := strings.IndexByte(rest, ']')
			class := rest[1:end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end + 1
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(regexp.QuoteMeta(rest[1:2]))
			i += 2
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
			i++
		}
	}
	b.WriteString("$")
	return b.String()
}

// ignored reports whether the file at a relative, slash-separated path is left
// out. Nothing below an ignored directory can be brought back.
func (rules ignoreRules) ignored(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] == '/' && rules.match(path[:i], true) {
			return true
		}
	}
	return rules.match(path, false)
}

func (rules ignoreRules) match(path string, dir bool) bool {
	out := false
	for _, r := range rules {
		if (dir || !r.dirOnly) && r.re.MatchString(path) {
			out = !r.negated
		}
	}
	return out
}
