package manifest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML reads data into a tree. The library's decoder judges whether it is
// TOML; its parser then gives the positions, which the decoder does not.
func parseTOML(r *report, data []byte) *node {
	var probe map[string]any
	if err := toml.Unmarshal(data, &probe); err != nil {
		p := Problem{File: r.file, Message: "not valid TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		if de := (*toml.DecodeError)(nil); errors.As(err, &de) {
			p.Line, p.Column = de.Position()
		}
		r.problems = append(r.problems, p)
		return nil
	}
	t := tomlReader{report: r, lines: newLines(data)}
	t.parser.Reset(data)
	root := &node{kind: isObject, line: 1, col: 1, header: true}
	table := root
	for t.parser.NextExpression() {
		e := t.parser.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			t.keyValue(table, e)
		case unstable.Table:
			table = t.table(root, e.Key())
		case unstable.ArrayTable:
			table = t.arrayTable(root, e.Key())
		}
	}
	if err := t.parser.Error(); err != nil {
		r.problems = append(r.problems, Problem{File: r.file, Message: "not valid TOML: " + err.Error()})
		return nil
	}
	r.refuseLossy(root, "")
	return root
}

// maxSafe is the largest integer that a JavaScript number tells apart from its
// neighbours.
const maxSafe = 1<<53 - 1

// refuseLossy reports the integers in n that JavaScript cannot hold.
func (r *report) refuseLossy(n *node, path string) {
	if n.lossy {
		r.errorf(n, path, "the integer %s cannot be represented losslessly in JavaScript; write it as a string, %q", n.text, n.text)
	}
	for i, item := range n.items {
		r.refuseLossy(item, fmt.Sprintf("%s[%d]", path, i))
	}
	for _, f := range n.fields {
		r.refuseLossy(f.val, join(path, f.key))
	}
}

type tomlReader struct {
	*report
	parser unstable.Parser
	lines  lines
}

func (t *tomlReader) place(n *node, at unstable.Range) {
	n.line, n.col = t.lines.position(int(at.Offset))
}

// descend returns the table called key within n, making it if needed. Of an
// array of tables it is the last one.
func (t *tomlReader) descend(n *node, key *unstable.Node) *node {
	name := string(key.Data)
	next := n.get(name)
	if next == nil {
		next = &node{kind: isObject, header: true}
		t.place(next, key.Raw)
		n.set(name, next)
	}
	if next.kind == isArray && len(next.items) > 0 {
		next = next.items[len(next.items)-1]
	}
	return next
}

func (t *tomlReader) table(root *node, keys unstable.Iterator) *node {
	n := root
	for keys.Next() {
		n = t.descend(n, keys.Node())
	}
	return n
}

func (t *tomlReader) arrayTable(root *node, keys unstable.Iterator) *node {
	n := root
	for keys.Next() {
		key := keys.Node()
		if !keys.IsLast() {
			n = t.descend(n, key)
			continue
		}
		array := n.get(string(key.Data))
		if array == nil {
			array = &node{kind: isArray}
			t.place(array, key.Raw)
			n.set(string(key.Data), array)
		}
		item := &node{kind: isObject, header: true}
		t.place(item, key.Raw)
		array.items = append(array.items, item)
		return item
	}
	return n
}

func (t *tomlReader) keyValue(table *node, e *unstable.Node) {
	n := table
	for keys := e.Key(); keys.Next(); {
		key := keys.Node()
		if !keys.IsLast() {
			n = t.descend(n, key)
			continue
		}
		val := t.value(e.Value())
		t.place(val, key.Raw)
		n.set(string(key.Data), val)
	}
}

func (t *tomlReader) value(v *unstable.Node) *node {
	n := &node{}
	t.place(n, v.Raw)
	switch v.Kind {
	case unstable.String:
		n.kind, n.text = isString, string(v.Data)
	case unstable.Bool:
		n.kind, n.truth = isBool, string(v.Data) == "true"
	case unstable.Integer:
		i, _ := strconv.ParseInt(string(v.Data), 0, 64) // "_", 0x, 0o and 0b as in Go; decimals have no leading zero
		n.kind, n.text = isNumber, strconv.FormatInt(i, 10)
		n.lossy = i > maxSafe || i < -maxSafe
	case unstable.Float:
		f, _ := strconv.ParseFloat(strings.ReplaceAll(string(v.Data), "_", ""), 64)
		n.kind = isNumber
		if math.IsInf(f, 0) || math.IsNaN(f) {
			n.kind = isNull // as JSON.stringify has it
			break
		}
		n.text = number(strconv.FormatFloat(f, 'g', -1, 64))
	case unstable.LocalDate, unstable.LocalTime, unstable.LocalDateTime, unstable.DateTime:
		n.kind, n.text = isDate, string(v.Data)
	case unstable.Array:
		n.kind = isArray
		for items := v.Children(); items.Next(); {
			if items.Node().Kind == unstable.Comment {
				continue
			}
			item := t.value(items.Node())
			if item.line == 0 {
				t.place(item, v.Raw)
			}
			n.items = append(n.items, item)
		}
	case unstable.InlineTable:
		n.kind = isObject
		for items := v.Children(); items.Next(); {
			if items.Node().Kind == unstable.KeyValue {
				t.keyValue(n, items.Node())
			}
		}
	}
	return n
}
