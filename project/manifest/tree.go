package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// kind is what a value in a manifest is, whichever syntax it was written in.
type kind uint8

const (
	isNull kind = iota
	isString
	isNumber
	isBool
	isDate // TOML only; nothing takes one
	isArray
	isObject
)

// node is one value of a manifest and where it stands. Both syntaxes are read
// into nodes, so that all that follows knows only one.
type node struct {
	kind kind
	// line and col are those of the key for a member of an object, of the
	// value itself for an element of an array.
	line, col int

	text   string // isString, isDate; isNumber as JSON
	truth  bool   // isBool
	items  []*node
	fields []field // isObject, in the order of the file

	lossy  bool // TOML: an integer that JavaScript cannot hold
	header bool // TOML: made by a [table] or dotted key, and can be added to
}

type field struct {
	key string
	val *node
}

// get returns the member called key, or nil. A nil node has no members.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.val
		}
	}
	return nil
}

// set adds the member or replaces its value.
func (n *node) set(key string, val *node) {
	for i := range n.fields {
		if n.fields[i].key == key {
			n.fields[i].val = val
			return
		}
	}
	n.fields = append(n.fields, field{key, val})
}

// str returns the text of a string, and "" for anything else.
func (n *node) str() string {
	if n == nil || n.kind != isString {
		return ""
	}
	return n.text
}

// MarshalJSON lets a node be part of anything that is marshalled.
func (n *node) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes(), nil
}

func (n *node) write(b *bytes.Buffer) {
	switch n.kind {
	case isString, isDate:
		writeString(b, n.text)
	case isNumber:
		b.WriteString(n.text)
	case isBool:
		b.WriteString(strconv.FormatBool(n.truth))
	case isArray:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case isObject:
		b.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, f.key)
			b.WriteByte(':')
			f.val.write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString("null")
	}
}

func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)         // a string always encodes
	b.Truncate(b.Len() - 1) // the encoder's newline
}

// decode unmarshals n into v, whose shape the table of keys has already
// checked. A nil node leaves v as it is.
func (n *node) decode(v any) {
	if n == nil {
		return
	}
	data, _ := n.MarshalJSON()
	if err := json.Unmarshal(data, v); err != nil {
		// Only a table of keys that disagrees with the Go type gets here.
		panic("manifest: " + err.Error())
	}
}

// show is the value as a message quotes it.
func (n *node) show() string {
	if n.kind == isDate {
		return "the date " + n.text
	}
	data, _ := n.MarshalJSON()
	const limit = 60
	if len(data) > limit {
		data = append(bytes.ToValidUTF8(data[:limit], nil), "…"...)
	}
	return string(data)
}
