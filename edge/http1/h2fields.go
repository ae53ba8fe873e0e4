package http1

import (
	"encoding/binary"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// malformed is a block that net/http resets its stream for, with
// PROTOCOL_ERROR, and nothing else happens: as a request it has no path, and a
// trailer has no method. (It ends the connection for some other blocks.)
var malformed = []hpack.HeaderField{{Name: ":method", Value: "GET"}}

// judge returns the fields that net/http gets.
func (b *block) judge() []hpack.HeaderField {
	var method string
	var path *hpack.HeaderField
	for i := range b.fields {
		switch f := &b.fields[i]; f.Name {
		case ":method":
			method = f.Value
		case ":path":
			path = f
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			return malformed
		case "te":
			if f.Value != "trailers" && f.Value != "" {
				return malformed
			}
		}
	}
	if path != nil {
		if !strings.HasPrefix(path.Value, "/") && (path.Value != "*" || method != "OPTIONS") {
			return malformed
		}
		if !httpguts.ValidHeaderFieldValue(path.Value) { // a disguise would hide it from net/http
			return malformed
		}
		if needsDisguise(path.Value) {
			hidden := hide(path.Value)
			b.size += len(hidden) - len(path.Value)
			path.Value = hidden
		}
	}
	if b.size <= maxFields {
		return b.fields
	}
	if path == nil {
		return malformed
	}
	path.Value = tooLarge
	pseudo := 0
	for pseudo < len(b.fields) && strings.HasPrefix(b.fields[pseudo].Name, ":") {
		pseudo++
	}
	return b.fields[:pseudo]
}

// distinct leaves out settings that come again in the same frame. Those of the
// HPACK table stay: the smallest one counts, too.
func distinct(settings []byte) []byte {
	const setting, many = 6, 100 // net/http refuses more, and all that are invalid
	if len(settings) > many*setting {
		return settings
	}
	out := settings[:0:0]
	for i := 0; i < len(settings); i += setting {
		s := settings[i : i+setting]
		again := false
		for j := i + setting; j < len(settings) && !again; j += setting {
			again = s[0] == settings[j] && s[1] == settings[j+1]
		}
		if !again || !valid(binary.BigEndian.Uint16(s), binary.BigEndian.Uint32(s[2:])) {
			out = append(out, s...)
		}
	}
	return out
}

// valid reports whether a setting may be left out.
func valid(id uint16, value uint32) bool {
	const headerTableSize, enablePush, initialWindowSize, maxFrameSize = 1, 2, 4, 5
	switch id {
	case headerTableSize:
		return false
	case enablePush:
		return value <= 1
	case initialWindowSize:
		return value <= 1<<31-1
	case maxFrameSize:
		return 1<<14 <= value && value <= 1<<24-1
	}
	return true
}
