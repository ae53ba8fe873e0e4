package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shape is what a value may be. The zero shape is anything at all.
type shape struct {
	// name is how a message says what is expected.
	name string
	kind kind // of the value; isNull in a shape means anything
	// whole: the number has no fraction.
	whole bool
	// enum, when not empty, lists the strings allowed.
	enum []string
	// elem is the shape of an array's elements or of the values of an object
	// with free keys.
	elem *shape
	// fields are the members of an object with known keys.
	fields []key
	// choices are shapes of different kinds, of which the value has one.
	choices []shape
	// deferred: checkLevel checks the value, if it is asked for.
	deferred bool
}

var (
	anything    = shape{}
	environment = shape{deferred: true}
	anyObject   = shape{kind: isObject, name: "an object"}
)

func list(elem shape) shape {
	return shape{kind: isArray, name: "a list", elem: &elem}
}

func mapOf(elem shape) shape {
	return shape{kind: isObject, name: "an object", elem: &elem}
}

func object(fields ...key) shape {
	return shape{kind: isObject, name: "an object", fields: fields}
}

func enum(values ...string) shape {
	return shape{kind: isString, name: `one of "` + strings.Join(values, `", "`) + `"`, enum: values}
}

func either(name string, choices ...shape) shape {
	return shape{name: name, choices: choices}
}

// check reports whatever in n is not of shape s. It returns whether n can be
// used. Unknown keys are warnings, everything else is an error.
func (r *report) check(n *node, path string, s shape) bool {
	if len(s.choices) > 0 {
		for _, c := range s.choices {
			if n.kind == c.kind {
				return r.check(n, path, c)
			}
		}
		r.mismatch(n, path, s.name)
		return false
	}
	switch {
	case s.deferred:
		return true
	case s.kind == isNull:
		return r.refuseDates(n, path)
	case n.kind != s.kind,
		s.whole && !fitsInt(n.text),
		len(s.enum) > 0 && !slices.Contains(s.enum, n.text):
		r.mismatch(n, path, s.name)
		return false
	}
	ok := true
	switch {
	case n.kind == isArray && s.elem != nil:
		for i, item := range n.items {
			ok = r.check(item, fmt.Sprintf("%s[%d]", path, i), *s.elem) && ok
		}
	case n.kind == isObject && s.elem != nil:
		for _, f := range n.fields {
			ok = r.check(f.val, path+"."+f.key, *s.elem) && ok
		}
	case s.fields != nil:
		ok = r.checkFields(n, path, s.fields)
	case n.kind == isObject:
		ok = r.refuseDates(n, path)
	}
	return ok
}

// refuseDates reports the TOML dates and times in a value of no known shape.
// It returns whether there is none.
func (r *report) refuseDates(n *node, path string) bool {
	ok := n.kind != isDate
	if !ok {
		r.errorf(n, path, "TOML dates are not supported; write it as a string, %q", n.text)
	}
	for i, item := range n.items {
		ok = r.refuseDates(item, fmt.Sprintf("%s[%d]", path, i)) && ok
	}
	for _, f := range n.fields {
		ok = r.refuseDates(f.val, join(path, f.key)) && ok
	}
	return ok
}

func fitsInt(number string) bool {
	_, err := strconv.Atoi(number)
	return err == nil
}

// checkFields also drops the unknown members, so that nothing reads them.
func (r *report) checkFields(n *node, path string, fields []key) bool {
	ok := true
	given := n.fields
	n.fields = nil
	for _, f := range given {
		at := slices.IndexFunc(fields, func(k key) bool { return k.name == f.key })
		if at < 0 {
			r.unknown(f, join(path, f.key), fields)
			continue
		}
		n.fields = append(n.fields, f)
		k := fields[at]
		ok = r.check(f.val, join(path, f.key), k.shape) && ok
		if (k.fate == later || k.fate == throws) && !empty(f.val) {
			r.warnf(f.val, join(path, f.key), "%s", notYet(k))
		}
	}
	for _, k := range fields {
		if k.required && n.get(k.name) == nil {
			p := r.at(n, join(path, k.name))
			p.Message, p.Expected = "is missing", k.shape.name
			r.problems = append(r.problems, p)
			ok = false
		}
	}
	return ok
}

// checkLevel checks the top level, or one environment, which have the same keys.
func (r *report) checkLevel(n *node, prefix string) {
	for _, f := range n.fields {
		k, ok := byName[f.key]
		path := prefix + f.key
		switch {
		case !ok:
			r.unknown(f, path, keys)
			continue
		case prefix != "" && k.scope == topOnly:
			r.warnf(f.val, path, "is read at the top level only; move it there")
			continue
		case k.fate == obsolete:
			r.warnf(f.val, path, "is no longer supported by wrangler and has no effect; remove it")
			continue
		}
		r.check(f.val, path, k.shape)
	}
}

// notYet is the warning for a key whose meaning does not run here yet.
func notYet(k key) string {
	switch {
	case k.name == "remote":
		return "remote bindings are not supported; the binding is served locally"
	case k.fate == throws:
		return "is not supported yet; a binding it declares throws when it is used"
	}
	return "is not supported yet and has no effect"
}

func (r *report) unknown(f field, path string, among []key) {
	if near := nearest(f.key, among); near != "" {
		r.warnf(f.val, path, "unknown key; did you mean %q?", near)
		return
	}
	r.warnf(f.val, path, "unknown key; it has no effect")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the key most like name, or "" when none is like it: at most
// a third of the letters may differ.
func nearest(name string, among []key) string {
	folded := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	best, limit := "", max(len(name)/3, 1)+1
	for _, k := range among {
		if k.fate == obsolete {
			continue
		}
		if d := distance(folded, strings.ToLower(k.name), limit); d < limit {
			best, limit = k.name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that make b out of a; anything from limit up is limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
