package d1

import "strings"

// cut takes the first statement off sql, with its semicolon. complete says
// whether the semicolon was there; without it the statement is all of sql.
// Semicolons inside strings, quoted names, comments and the bodies of triggers
// do not end a statement. The pieces of a text, joined, are the text.
func cut(sql string) (statement, rest string, complete bool) {
	// Words seen so far decide whether this is CREATE [TEMP] TRIGGER, whose
	// body ends at a semicolon after END that itself follows a semicolon.
	const (
		start   = iota // no word yet, or EXPLAIN [QUERY PLAN]
		create         // CREATE [TEMP]
		plain          // any other statement
		trigger        // inside a trigger
	)
	state := start
	semi, end := false, false // in a trigger: the last tokens were ";" and "; END"
	for i := 0; i < len(sql); {
		switch b := sql[i]; {
		case b == ';':
			i++
			switch {
			case state != trigger || end:
				return sql[:i], sql[i:], true
			default:
				semi = true
			}
		case space(b):
			i++
		case b == '-' && strings.HasPrefix(sql[i:], "--"):
			i += lineEnd(sql[i:])
		case b == '/' && strings.HasPrefix(sql[i:], "/*"):
			i += after(sql[i:], 2, "*/")
		case b == '\'' || b == '"' || b == '`':
			i += quoted(sql[i:], b)
			semi, end = false, false
			if state != trigger {
				state = plain
			}
		case b == '[':
			i += after(sql[i:], 1, "]")
			semi, end = false, false
			if state != trigger {
				state = plain
			}
		case letter(b):
			n := i + 1
			for n < len(sql) && letter(sql[n]) {
				n++
			}
			word := sql[i:n]
			i = n
			switch state {
			case start:
				switch {
				case fold(word, "CREATE"):
					state = create
				case fold(word, "EXPLAIN"), fold(word, "QUERY"), fold(word, "PLAN"):
				default:
					state = plain
				}
			case create:
				switch {
				case fold(word, "TRIGGER"):
					state = trigger
				case fold(word, "TEMP"), fold(word, "TEMPORARY"):
				default:
					state = plain
				}
			case trigger:
				end = semi && fold(word, "END")
				semi = false
			}
		default:
			i++
			semi, end = false, false
			if state != trigger {
				state = plain
			}
		}
	}
	return sql, "", false
}

// blank reports whether sql holds nothing but space, comments and semicolons.
func blank(sql string) bool { return skip(sql) == "" }

// skip cuts leading space, comments and semicolons off sql.
func skip(sql string) string {
	for i := 0; i < len(sql); {
		switch b := sql[i]; {
		case space(b), b == ';':
			i++
		case b == '-' && strings.HasPrefix(sql[i:], "--"):
			i += lineEnd(sql[i:])
		case b == '/' && strings.HasPrefix(sql[i:], "/*"):
			i += after(sql[i:], 2, "*/")
		default:
			return sql[i:]
		}
	}
	return ""
}

// keyword is the first word of sql, in capitals.
func keyword(sql string) string {
	sql = skip(sql)
	n := 0
	for n < len(sql) && n < 16 && letter(sql[n]) {
		n++
	}
	return strings.ToUpper(sql[:n])
}

func space(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' && b != '\v' }

func letter(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '$' || b >= 0x80
}

func fold(word, keyword string) bool {
	return len(word) == len(keyword) && strings.EqualFold(word, keyword)
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

// after is the length of a token that starts with from bytes and ends with end.
func after(s string, from int, end string) int {
	if i := strings.Index(s[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(s)
}

// quoted is the length of a quoted token; a doubled quote stands for itself.
func quoted(s string, q byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] == q {
			if i+1 < len(s) && s[i+1] == q {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(s)
}
