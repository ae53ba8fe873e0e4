// Package ask is the short way between a module of ours that runs in a cell
// and the handler behind it. The question, a text, is in the URL, the answer in
// a header: a body costs the cell's thread 20 to 25 µs each way. Long ones go in
// bodies, so both ends can speak of texts of any length.
package ask

import (
	_ "embed"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/engine/workerd"
)

//go:embed ask.js
var source string

// Module is the cell's end: ask(fetcher, operation, question), with the handler's
// service as fetcher. It belongs into binding.Mount.Modules beside a module that
// imports it.
func Module() workerd.ExtensionModule {
	return workerd.ExtensionModule{Name: "selvage:ask", Internal: true, Source: source}
}

// Question reads what a request asks, whose path is the operation. A body that
// is longer than limit, in bytes, is an error.
func Question(r *http.Request, limit int64) ([]byte, error) {
	if r.Method == http.MethodGet {
		question, err := url.PathUnescape(r.URL.RawQuery) // a plus is a plus
		return []byte(question), err
	}
	question, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(question)) > limit {
		err = errors.New("the question is too long")
	}
	return question, err
}

// Short is how long an answer in a header may be, in bytes.
const Short = 4 << 10

// header carries short answers. One letter, because it is copied several times.
const header = "R"

// Text sends a text in a header if that can carry it, and reports whether it did.
func Text(w http.ResponseWriter, text []byte) bool {
	if len(text) == 0 || len(text) > Short || text[0] == ' ' || text[len(text)-1] == ' ' {
		return false
	}
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	inHeader(w, text)
	return true
}

func inHeader(w http.ResponseWriter, text []byte) {
	w.Header()[header] = []string{string(text)}
	w.WriteHeader(http.StatusNoContent)
}

// Answer sends a JSON text. Only its strings may hold characters beyond ASCII.
func Answer(w http.ResponseWriter, json []byte) {
	h := w.Header()
	h["Date"], h["Content-Type"] = nil, nil // net/http would add both, and workerd would show them to nobody
	if len(json) <= Short {
		inHeader(w, ascii(json))
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(json))}
	w.Write(json) // fails only when workerd has gone
}

// ascii escapes what a header cannot carry.
func ascii(json []byte) []byte {
	const hex = "0123456789abcdef"
	escape := func(b []byte, r rune) []byte {
		return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
	for i, c := range json {
		if c < utf8.RuneSelf && c != 0x7f {
			continue
		}
		out := append(make([]byte, 0, 2*len(json)), json[:i]...)
		for _, r := range string(json[i:]) {
			switch high, low := utf16.EncodeRune(r); {
			case r < utf8.RuneSelf && r != 0x7f:
				out = append(out, byte(r))
			case high == utf8.RuneError:
				out = escape(out, r)
			default:
				out = escape(escape(out, high), low)
			}
		}
		return out
	}
	return json
}
