package workflow

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Value is something that JavaScript can clone: parameters, a payload, what a
// step returned. It is empty for undefined, JSON where JSON says it all, and else
// a tilde and then what clone.js writes. It has no line breaks.
type Value []byte

// NewValue makes a Value of what marshals to JSON.
func NewValue(v any) (Value, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("make a value: %w", err)
	}
	return data, nil
}

// Decode unmarshals the value, as JSON, into v.
func (v Value) Decode(into any) error {
	if err := json.Unmarshal(v.JSON(), into); err != nil {
		return fmt.Errorf("decode value: %w", err)
	}
	return nil
}

// JSON is the value as JSON.stringify would write it. What JSON cannot hold is
// left out as there, except that a BigInt becomes its digits in a string.
func (v Value) JSON() json.RawMessage {
	switch {
	case len(v) == 0:
		return json.RawMessage("null")
	case v[0] != '~':
		if !json.Valid(v) {
			return json.RawMessage("null")
		}
		return json.RawMessage(v)
	}
	var c cloned
	if json.Unmarshal(v[1:], &c.nodes) != nil {
		return json.RawMessage("null")
	}
	data, err := json.Marshal(c.plain(0, 0))
	if err != nil {
		return json.RawMessage("null")
	}
	return data
}

// cloned is what clone.js writes: a list of nodes, each a tag and what belongs to
// it, which refer to one another by their places. The first is the root.
type cloned struct {
	nodes [][]json.RawMessage
	seen  int
}

// maxCloneDepth bounds what is shown. A value may refer to one node many times, or to
// itself: no more is shown than twice its nodes, and 1,000 more.
const maxCloneDepth = 200

// absent is what JSON.stringify leaves out.
type absent struct{}

// MarshalJSON implements json.Marshaler.
func (absent) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// plain is the node at a place as something that marshals to JSON.
func (c *cloned) plain(at, depth int) any {
	if c.seen++; at < 0 || at >= len(c.nodes) || len(c.nodes[at]) == 0 || depth > maxCloneDepth || c.seen > 2*len(c.nodes)+1000 {
		return absent{}
	}
	n := c.nodes[at]
	args := n[1:]
	child := func(i int) any {
		var ref int
		if i >= len(args) || json.Unmarshal(args[i], &ref) != nil {
			return absent{}
		}
		return c.plain(ref, depth+1)
	}
	switch text(n[0]) {
	case "j":
		if len(args) == 1 {
			return args[0]
		}
	case "b":
		if len(args) == 1 {
			return args[0]
		}
	case "d":
		var ms float64
		if len(args) == 1 && json.Unmarshal(args[0], &ms) == nil && string(args[0]) != "null" {
			return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z")
		}
	case "p":
		return child(0)
	case "a":
		list := make([]any, len(args))
		for i := range args {
			list[i] = child(i)
		}
		return list
	case "o":
		object := map[string]any{}
		for i := 0; i+1 < len(args); i += 2 {
			if v := child(i + 1); v != (absent{}) {
				object[text(args[i])] = v
			}
		}
		return object
	case "v":
		return c.array(args)
	case "m", "t", "x", "r", "e":
		return map[string]any{}
	case "n":
		return json.RawMessage("null")
	}
	return absent{}
}

// array is a typed array, which JSON.stringify takes for an object.
func (c *cloned) array(args []json.RawMessage) any {
	var name string
	var buffer, offset, length int
	for i, to := range []any{&name, &buffer, &offset, &length} {
		if i >= len(args) || json.Unmarshal(args[i], to) != nil {
			return absent{}
		}
	}
	if name != "Uint8Array" || buffer < 0 || buffer >= len(c.nodes) || len(c.nodes[buffer]) != 2 {
		return map[string]any{}
	}
	var data []byte
	if json.Unmarshal(c.nodes[buffer][1], &data) != nil || offset < 0 || length < 0 || offset+length > len(data) || offset+length < 0 {
		return map[string]any{}
	}
	object := map[string]any{}
	for i, b := range data[offset : offset+length] {
		object[strconv.Itoa(i)] = b
	}
	return object
}

// text is the string that JSON holds; empty if it holds something else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
