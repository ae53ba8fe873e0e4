package s3

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// namespace is that of S3's documents.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// document is an XML document that is being written. A list of a thousand keys
// takes encoding/xml several times as long.
type document struct{ b []byte }

// newDocument begins a document with its outermost element.
func newDocument(root string) *document {
	d := &document{}
	d.b = append(d.b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<"...)
	d.b = append(d.b, root...)
	d.b = append(d.b, ` xmlns="`+namespace+`">`...)
	return d
}

func (d *document) begin(name string) {
	d.b = append(d.b, '<')
	d.b = append(d.b, name...)
	d.b = append(d.b, '>')
}

func (d *document) end(name string) {
	d.b = append(d.b, '<', '/')
	d.b = append(d.b, name...)
	d.b = append(d.b, '>')
}

// text writes an element that has only text.
func (d *document) text(name, value string) {
	d.begin(name)
	d.b = appendEscaped(d.b, value)
	d.end(name)
}

// optional is text, or nothing for "".
func (d *document) optional(name, value string) {
	if value != "" {
		d.text(name, value)
	}
}

func (d *document) number(name string, n int64) { d.text(name, strconv.FormatInt(n, 10)) }

func (d *document) boolean(name string, v bool) { d.text(name, strconv.FormatBool(v)) }

// time writes a moment as S3 does, in milliseconds.
func (d *document) time(name string, t time.Time) {
	d.text(name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// tag writes an entity tag, which has quotes.
func (d *document) tag(etag string) { d.text("ETag", `"`+etag+`"`) }

// appendEscaped adds a text. Characters that XML does not have are written as
// references, as Amazon's S3 does: no parser needs to take them, and clients that
// have such keys ask for encoding-type=url.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	if !utf8.ValidString(s) { // a client's own text in an error
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	last := 0
	for i := 0; i < len(s); i++ {
		var escape string
		switch c := s[i]; {
		case c == '<':
			escape = "&lt;"
		case c == '>':
			escape = "&gt;"
		case c == '&':
			escape = "&amp;"
		case c == '"':
			escape = "&quot;"
		case c < ' ':
			b = append(b, s[last:i]...)
			b = append(b, '&', '#', 'x')
			if c > 0xf {
				b = append(b, hex[c>>4])
			}
			b = append(b, hex[c&0xf], ';')
			last = i + 1
			continue
		default:
			continue
		}
		b = append(b, s[last:i]...)
		b = append(b, escape...)
		last = i + 1
	}
	return append(b, s[last:]...)
}
