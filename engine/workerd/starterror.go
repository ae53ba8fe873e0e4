package workerd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// StartError says why a process ended before it was ready: most often an error
// in the Worker's own code.
type StartError struct {
	// Message is the error without "Uncaught " and position:
	// "SyntaxError: missing ) after argument list".
	Message string
	// Stack is the stack that followed the message, a frame a line, in the
	// form "    at boom (index.js:2:24)"; may be empty.
	Stack string
	// Service is the service that failed; empty when it is not known.
	Service string
	// Module, Line and Column (from 1) are those of the innermost frame; Module
	// is empty when the error has no position.
	Module       string
	Line, Column int
}

// Error gives message and position.
func (e *StartError) Error() string {
	if e.Module == "" {
		return e.Message
	}
	return fmt.Sprintf("%s (%s:%d:%d)", e.Message, e.Module, e.Line, e.Column)
}

var (
	// "service user: Uncaught TypeError: …"
	serviceError = regexp.MustCompile(`(?s)^service ([^\s:]+): (.*)$`)
	// "  at index.js:2:24 in boom"
	startFrame = regexp.MustCompile(`^\s+at (.+?):(\d+):(\d+)(?: in (.*))?$`)
)

// parseStartError reads workerd's messages; the first with a service wins, as
// what follows is a consequence.
func parseStartError(messages []string) *StartError {
	text, service := strings.Join(messages, "\n"), ""
	for _, m := range messages {
		if match := serviceError.FindStringSubmatch(m); match != nil {
			service, text = match[1], match[2]
			break
		}
	}
	if strings.Contains(text, "<--- Last few GCs --->") || strings.Contains(text, "heap out of memory") {
		// V8 gives up with a page about its heap. Cloudflare's words.
		return &StartError{Message: "Script startup exceeded memory limits."}
	}
	e := &StartError{Service: service}
	lines := strings.Split(strings.TrimPrefix(text, "Uncaught "), "\n")
	end := len(lines)
	for end > 0 && startFrame.MatchString(lines[end-1]) {
		end--
	}
	e.Message = strings.Join(lines[:end], "\n")
	var stack []string
	for i, l := range lines[end:] {
		m := startFrame.FindStringSubmatch(l)
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		if i == 0 {
			e.Module, e.Line, e.Column = m[1], line, column
		}
		if m[4] != "" {
			stack = append(stack, fmt.Sprintf("    at %s (%s:%d:%d)", m[4], m[1], line, column))
		} else {
			stack = append(stack, fmt.Sprintf("    at %s:%d:%d", m[1], line, column))
		}
	}
	e.Stack = strings.Join(stack, "\n")
	return e
}
