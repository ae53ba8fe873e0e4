package engine

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/telemetry"
)

// defaultSubrequests is how many subrequests an invocation may make unless its
// version says otherwise.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#subrequests
const defaultSubrequests = 10_000

//go:embed invocation.js
var invocationSource string

// invocationModule is its name in a cell.
const invocationModule = "selvage:invocation"

// mark recognizes what invocation.js puts into keys and console lines to say
// whose they are: a control character, the cell's secret and the Ray ID.
type mark string

// rayLength is the number of characters of a Ray ID without its colo.
const rayLength = 16

// newMark makes the mark of one cell.
func newMark() mark {
	var secret [4]byte
	rand.Read(secret[:]) // never fails
	return mark("\x1e" + hex.EncodeToString(secret[:]))
}

// attribute puts a main module of ours before the user's, which makes the
// runtime count subrequests and mark console lines. Scripts in the syntax of
// service workers and CommonJS modules are left as they are. lines: console
// lines are marked; they are not where DevTools would show the marks. far are the
// classes whose objects are in another cell of the Worker; home: they are in this.
func (m mark) attribute(w *workerd.Worker, v *config.Version, lines bool, far []string, home bool) (workerd.ExtensionModule, bool) {
	if len(w.Modules) == 0 || w.Modules[0].Kind != workerd.ESModule {
		return workerd.ExtensionModule{}, false
	}
	limit := v.Limits.Subrequests
	if limit == 0 {
		limit = defaultSubrequests
	}
	classes := make([]string, len(v.Classes))
	for i, c := range v.Classes {
		classes[i] = c.Name
	}
	settings, _ := json.Marshal(map[string]any{"subrequests": limit, "key": string(m[1:]), "lines": lines, "classes": classes, "far": far}) // cannot fail
	main := "selvage-main.js"
	for slices.ContainsFunc(w.Modules, func(x workerd.Module) bool { return x.Name == main }) {
		main = "selvage-" + main
	}
	source := fmt.Sprintf("import { enter } from %q;\nimport * as user from %[2]s;\nexport * from %[2]s;\nexport default enter(user);\n",
		invocationModule, quoteJS(specifier(v.MainModule)))
	if len(far) > 0 {
		source += farClasses(far)
	}
	if home {
		source = recoverableClasses(v) + source
	}
	w.Modules = append([]workerd.Module{{Name: main, Kind: workerd.ESModule, Data: []byte(source)}}, w.Modules...)
	return workerd.ExtensionModule{Name: invocationModule, Source: fmt.Sprintf("const settings = %s;\n%s", settings, invocationSource)}, true
}

// specifier is what a module of the Worker's root imports another one by.
func specifier(module string) string {
	if strings.HasPrefix(module, "/") {
		return module
	}
	return "./" + module
}

// What follows a mark: the text that it was put before, an argument of its
// own, or an exception that left a handler.
const (
	markedText      = '\x1e'
	markedArguments = '\x1f'
	markedException = '\x1d'
)

// tag is how the shim names an event to invocation.js: a mark without its
// control character.
func (m mark) tag(id string) string { return string(m[1:]) + id }

// untag takes the tag of an event off its description in a tail event: the end
// of the name of the queue or of the cron expression.
func (m mark) untag(event json.RawMessage) (_ json.RawMessage, id string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(event, &fields) != nil {
		return event, ""
	}
	for _, name := range []string{"cron", "queue"} {
		var text string
		if json.Unmarshal(fields[name], &text) != nil {
			continue
		}
		if before, id, ok := strings.Cut(text, string(m)); ok {
			fields[name], _ = json.Marshal(before) // a string
			event, _ = json.Marshal(fields)        // of what was just parsed
			return event, id
		}
	}
	return event, ""
}

// line takes the mark off a console line. uncaught: the line is an exception
// that left a handler, with its stack.
func (m mark) line(message string) (text, ray string, uncaught bool) {
	ray, end, rest, ok := m.cut(message)
	switch {
	case !ok:
		return message, "", false
	case end == markedArguments:
		rest = strings.TrimPrefix(rest, " ")
	}
	if ray[0] == '-' { // the event had none
		ray = ""
	}
	return rest, ray, end == markedException
}

// logs takes the marks off the console calls of a tail event, and leaves out
// our own calls. ray is the id that the marks tell; empty without any.
func (m mark) logs(logs []telemetry.Log) (_ []telemetry.Log, ray string) {
	for i := range logs {
		var marked string
		if logs[i].Message, marked = m.arguments(logs[i].Message); marked != "" {
			ray = marked
		}
	}
	return slices.DeleteFunc(logs, func(l telemetry.Log) bool { return l.Message == nil }), ray
}

// arguments takes the mark off the arguments of a console call, a JSON array.
// nil: the call was ours.
func (m mark) arguments(message json.RawMessage) (_ json.RawMessage, ray string) {
	var list []json.RawMessage
	var first string
	if json.Unmarshal(message, &list) != nil || len(list) == 0 || json.Unmarshal(list[0], &first) != nil {
		return message, ""
	}
	ray, end, rest, ok := m.cut(first)
	if !ok {
		return message, ""
	}
	if ray[0] == '-' { // the event had none
		ray = ""
	}
	switch end {
	case markedException:
		return nil, ray
	case markedArguments:
		list = list[1:]
	default:
		list[0], _ = json.Marshal(rest) // a string
	}
	message, _ = json.Marshal(list) // of what was just parsed
	return message, ray
}

// ownFrame is a line of a stack that is not the Worker's.
var ownFrame = regexp.MustCompile(`\n\s+at [^\n]*\(` + invocationModule + `:\d+:\d+\)`)

// withoutOwnFrames leaves us out of a stack.
func withoutOwnFrames(text string) string {
	if !strings.Contains(text, invocationModule) {
		return text
	}
	return ownFrame.ReplaceAllString(text, "")
}

// headOfStack is what a stack begins with, as the runtime's line has it.
func headOfStack(text string) string {
	head, _, _ := strings.Cut(text, "\n    at ")
	return head
}

// cut reads a mark and the character that ends it at the start of s.
func (m mark) cut(s string) (ray string, end byte, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, string(m))
	if !ok || len(s) <= rayLength {
		return "", 0, "", false
	}
	end = s[rayLength]
	return s[:rayLength], end, s[rayLength+1:], end == markedText || end == markedArguments || end == markedException
}

// key takes the mark off the end of a request's path, and makes of it the
// header that other clients of ours send themselves.
func (m mark) key(r *http.Request) {
	i := len(r.URL.Path) - rayLength - len(m)
	if i < 0 || r.URL.Path[i] != m[0] || r.URL.Path[i:i+len(m)] != string(m) {
		return
	}
	r.Header["Cf-Ray"] = []string{r.URL.Path[i+len(m):]}
	r.URL.Path = r.URL.Path[:i]
	if r.URL.RawPath != "" {
		escaped := url.PathEscape(string(m))
		if j := strings.LastIndex(r.URL.RawPath, escaped); j >= 0 {
			r.URL.RawPath = r.URL.RawPath[:j]
		}
	}
}

// rayOf is the Ray ID that a request of a Worker carries, without the colo;
// empty if it carries none.
func rayOf(h http.Header) string {
	ray, _, _ := strings.Cut(h.Get("Cf-Ray"), "-")
	if len(ray) != rayLength {
		return ""
	}
	return ray
}
