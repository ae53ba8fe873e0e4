package manifest

import (
	"regexp"
	"strings"
)

// variable is one NAME=value of an env file.
type variable struct{ name, value string }

var assignment = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?([A-Za-z0-9_.-]+)[ \t]*(?:=|:[ \t])[ \t]*`)

// parseEnv reads a .dev.vars or .env file as the dotenv package of npm does.
// Values may stand in single quotes, double quotes (where \n and \r are
// escapes) or backticks, and then span lines; otherwise they end at the end of
// the line or at a "#". Lines that assign nothing are skipped.
func parseEnv(text string) []variable {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var vars []variable
	for text != "" {
		m := assignment.FindStringSubmatch(text)
		if m == nil {
			_, text, _ = strings.Cut(text, "\n")
			continue
		}
		text = text[len(m[0]):]
		var value string
		if quoted, length, ok := quotedValue(text); ok {
			value = quoted
			_, text, _ = strings.Cut(text[length:], "\n")
		} else {
			value, text, _ = strings.Cut(text, "\n")
			value, _, _ = strings.Cut(value, "#")
			value = strings.TrimSpace(value)
		}
		vars = append(vars, variable{m[1], value})
	}
	return vars
}

// quotedValue reads the quoted value at the start of text. It is none when the
// quote is never closed, or something but a comment follows it.
func quotedValue(text string) (value string, length int, ok bool) {
	if text == "" || !strings.ContainsRune("'\"`", rune(text[0])) {
		return "", 0, false
	}
	quote := text[0]
	for i := 1; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && text[i+1] == quote {
			i++
			continue
		}
		if text[i] != quote {
			continue
		}
		rest, _, _ := strings.Cut(text[i+1:], "\n")
		if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
			return "", 0, false
		}
		value = text[1:i]
		if quote == '"' {
			value = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(value)
		}
		return value, i + 1, true
	}
	return "", 0, false
}

var reference = regexp.MustCompile(`\\\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)`)

// expand replaces $NAME, ${NAME} and ${NAME:-default} by the values known so
// far, and \$ by a dollar sign. Only .env files are expanded.
func expand(value string, known map[string]string) string {
	return reference.ReplaceAllStringFunc(value, func(ref string) string {
		if ref == `\$` {
			return "$"
		}
		m := reference.FindStringSubmatch(ref)
		if v := known[m[1]+m[3]]; v != "" {
			return v
		}
		return m[2]
	})
}
