package manifest

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// maxDepth bounds how deeply values may nest; wrangler's deepest documented
// key is 8 levels down, and vars may hold any JSON.
const maxDepth = 100

// parseJSON reads JSON with comments and trailing commas into a tree.
func parseJSON(r *report, data []byte) *node {
	v, err := hujson.Parse(data)
	if err != nil {
		p := Problem{File: r.file}
		text := strings.TrimPrefix(err.Error(), "hujson: ")
		if n, _ := fmt.Sscanf(text, "line %d, column %d:", &p.Line, &p.Column); n == 2 {
			_, text, _ = strings.Cut(text, ": ")
		}
		p.Message = "not valid JSON: " + text
		r.problems = append(r.problems, p)
		return nil
	}
	j := jsonReader{report: r, lines: newLines(data)}
	root := j.value(v, 0)
	if len(r.problems) > 0 {
		return nil
	}
	return root
}

type jsonReader struct {
	*report
	lines lines
}

func (j *jsonReader) value(v hujson.Value, depth int) *node {
	n := &node{}
	n.line, n.col = j.lines.position(v.StartOffset)
	if depth > maxDepth {
		j.errorf(n, "", "values nest deeper than %d levels", maxDepth)
		return n
	}
	switch v := v.Value.(type) {
	case hujson.Literal:
		switch v.Kind() {
		case '"':
			n.kind, n.text = isString, v.String()
		case '0':
			n.kind, n.text = isNumber, number(string(v))
		case 't', 'f':
			n.kind, n.truth = isBool, v.Kind() == 't'
		}
	case *hujson.Array:
		n.kind = isArray
		for _, e := range v.Elements {
			n.items = append(n.items, j.value(e, depth+1))
		}
	case *hujson.Object:
		n.kind = isObject
		for _, m := range v.Members {
			key := m.Name.Value.(hujson.Literal).String()
			val := j.value(m.Value, depth+1)
			val.line, val.col = j.lines.position(m.Name.StartOffset)
			if n.get(key) != nil {
				j.warnf(val, key, "is given twice in one object; the last one counts")
			}
			n.set(key, val)
		}
	}
	return n
}

// number returns text as Go reads it best: whole numbers without exponent or
// fraction, and null for what JavaScript could not hold.
func number(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	const maxSafe = 1 << 53
	switch {
	case err != nil:
		return "null"
	case f == math.Trunc(f) && math.Abs(f) <= maxSafe:
		return strconv.FormatInt(int64(f), 10)
	}
	return text
}

// lines finds the line of an offset.
type lines []int

func newLines(data []byte) lines {
	starts := lines{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (l lines) position(offset int) (line, col int) {
	line = sort.SearchInts(l, offset+1)
	return line, offset - l[line-1] + 1
}
