package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// reply is the http.ResponseWriter of a request that [short] serves. On the
// wire it is net/http's, byte for byte but for the time: the same guesses
// of a length and a type, the same order of headers (see TestShortIsLikeNetHTTP).
type reply struct {
	short   *short
	request *http.Request

	header   http.Header // the handler's
	sent     http.Header // as it was when the response began
	trailers []string    // announced ones
	status   int         // 0: nothing was said yet
	length   int64       // the body's, -1 if not known
	written  int64

	done     bool // the handler has returned
	headed   bool // the header was written
	chunked  bool
	closes   bool // the connection ends with this response
	hijacked bool
	deadline bool // the handler has set one for writing
	failed   bool // the client cannot be written to
}

// holdBack is how much of a body is collected before the header goes out, as
// much as net/http collects.
const holdBack = 2 << 10

// noteErrors writes to the client.
type noteErrors struct{ *reply }

func (n noteErrors) Write(p []byte) (int, error) {
	m, err := n.short.conn.Write(p)
	if err != nil {
		n.fail()
	}
	return m, err
}

// fail notes that the client cannot be written to.
func (w *reply) fail() {
	w.failed = true
	w.short.mu.Lock()
	if w.short.cancel != nil {
		w.short.cancel()
	}
	w.short.mu.Unlock()
}

// Header implements http.ResponseWriter.
func (w *reply) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *reply) WriteHeader(status int) {
	switch {
	case w.hijacked || w.status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.statusLine(status)
		w.header.WriteSubset(w.short.out, lengths)
		w.short.out.Write(crlf)
		w.short.out.Flush()
		return
	}
	w.status, w.sent = status, w.header.Clone()
	if s := first(w.header, "Content-Length"); s != "" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			w.header.Del("Content-Length") // sent has it still, which matters to HEAD only
		}
	}
}

// lengths are the headers that no informational response has.
var lengths = map[string]bool{"Content-Length": true, "Transfer-Encoding": true}

func (w *reply) statusLine(status int) {
	out := w.short.out
	out.WriteString("HTTP/1.1 ")
	out.WriteString(strconv.Itoa(status))
	out.WriteByte(' ')
	if text := http.StatusText(status); text != "" {
		out.WriteString(text)
	} else {
		fmt.Fprintf(out, "status code %d", status)
	}
	out.Write(crlf)
}

// Write implements http.ResponseWriter.
func (w *reply) Write(p []byte) (int, error) {
	switch {
	case w.hijacked:
		return 0, http.ErrHijacked
	case w.done:
		return 0, errOver
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length != -1 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	return w.short.body.Write(p)
}

// ReadFrom implements io.ReaderFrom, so that the kernel can send a file: an
// *io.LimitedReader of one, in a response that says its length and type.
func (w *reply) ReadFrom(r io.Reader) (int64, error) {
	file, ok := r.(*io.LimitedReader)
	if ok {
		_, ok = file.R.(*os.File)
	}
	if !ok || w.hijacked || w.done || w.failed || file.N < holdBack {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.request.Method == http.MethodHead || !bodyAllowed(w.status) || w.length < w.written+file.N || first(w.sent, "Content-Type") == "" {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	if w.chunked {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	n, err := w.short.conn.ReadFrom(file)
	w.written += n
	if err != nil {
		w.fail()
	}
	return n, err
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

var errOver = errors.New("the handler has returned")

// FlushError is for http.ResponseController.
func (w *reply) FlushError() error {
	if w.done {
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	err := w.short.body.Flush()
	if !w.headed {
		w.begin(nil)
	}
	if e := w.short.out.Flush(); err == nil {
		err = e
	}
	return err
}

// Flush implements http.Flusher.
func (w *reply) Flush() { w.FlushError() }

// replyBody is where the body goes from where it was held back.
type replyBody reply

func (b *replyBody) Write(p []byte) (int, error) {
	w, out := (*reply)(b), b.short.out
	if !w.headed {
		w.begin(p)
	}
	if w.request.Method == http.MethodHead {
		return len(p), nil
	}
	if !w.chunked {
		return out.Write(p)
	}
	out.WriteString(strconv.FormatInt(int64(len(p)), 16))
	out.Write(crlf)
	n, err := out.Write(p)
	out.Write(crlf)
	return n, err
}

// begin writes the header. p is the beginning of the body, and all of it if the
// handler is done.
func (w *reply) begin(p []byte) {
	w.headed = true
	h, head, body := w.sent, w.request.Method == http.MethodHead, bodyAllowed(w.status)
	var exclude map[string]bool
	for k := range h {
		if strings.HasPrefix(k, http.TrailerPrefix) {
			if exclude == nil {
				exclude = map[string]bool{}
			}
			exclude[k] = true
		}
	}
	trailers := exclude != nil || len(h["Trailer"]) > 0
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); httpguts.ValidTrailerHeader(name) {
				w.trailers = append(w.trailers, name)
			}
		}
	}

	// What is added to the handler's headers.
	_, dated := h["Date"]
	length, contentType, connection, chunked := false, "", "", ""
	coding := first(h, "Transfer-Encoding")
	if _, ok := h["Content-Length"]; !ok && w.done && !trailers && coding == "" && body && (!head || len(p) > 0) {
		w.length, length = int64(len(p)), true
	}
	if _, ok := h["Content-Type"]; !ok && body && first(h, "Content-Encoding") == "" && coding == "" && len(p) > 0 {
		contentType = http.DetectContentType(p)
	}
	if !body {
		delete(h, "Content-Length")
		if w.status == http.StatusNotModified {
			delete(h, "Content-Type")
		}
	}
	if w.length != -1 && coding != "" && coding != "identity" {
		delete(h, "Content-Length")
		w.length = -1
	}
	switch {
	case head || !body || w.length != -1:
		delete(h, "Transfer-Encoding")
	case coding == "identity":
		delete(h, "Transfer-Encoding")
		w.closes = true
	default:
		w.chunked, chunked = true, "chunked"
		delete(h, "Content-Length")
		if coding == chunked {
			delete(h, "Transfer-Encoding")
		}
	}
	closing := w.short.server.shorts.closing.Load()
	if first(h, "Connection") == "close" || closing {
		w.closes = true
	}
	if w.closes && (closing || !httpguts.HeaderValuesContainsToken(h["Connection"], "close")) {
		delete(h, "Connection")
		connection = "close"
	}

	out := w.short.out
	w.statusLine(w.status)
	h.WriteSubset(out, exclude)
	if !dated {
		out.WriteString("Date: ")
		out.Write(time.Now().UTC().AppendFormat(out.AvailableBuffer(), http.TimeFormat))
		out.Write(crlf)
	}
	if length {
		out.WriteString("Content-Length: ")
		out.Write(strconv.AppendInt(out.AvailableBuffer(), w.length, 10))
		out.Write(crlf)
	}
	for _, add := range [...][2]string{{"Content-Type: ", contentType}, {"Connection: ", connection}, {"Transfer-Encoding: ", chunked}} {
		if add[1] != "" {
			out.WriteString(add[0])
			out.WriteString(add[1])
			out.Write(crlf)
		}
	}
	out.Write(crlf)
}

// finish ends the response when the handler has returned.
func (w *reply) finish() {
	w.done = true
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.short.body.Flush()
	if !w.headed {
		w.begin(nil)
	}
	out := w.short.out
	if w.chunked {
		out.WriteString("0\r\n")
		w.trailer().Write(out)
		out.Write(crlf)
	}
	out.Flush()
	if w.deadline {
		w.short.conn.SetWriteDeadline(time.Time{})
	}
}

// trailer returns the trailers, announced or not, that the handler has set.
func (w *reply) trailer() http.Header {
	var t http.Header
	set := func(name string, values []string) {
		if t == nil {
			t = http.Header{}
		}
		t[name] = append(t[name], values...)
	}
	for k, v := range w.header {
		if name, ok := strings.CutPrefix(k, http.TrailerPrefix); ok {
			set(name, v)
		}
	}
	for _, name := range w.trailers {
		if v := w.header[name]; len(v) > 0 {
			set(name, v)
		}
	}
	return t
}

// last reports whether the connection can take no other response.
func (w *reply) last() bool {
	short := w.length != -1 && w.length != w.written && w.request.Method != http.MethodHead && bodyAllowed(w.status)
	return w.closes || w.failed || short
}

// Hijack implements http.Hijacker.
func (w *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		w.FlushError()
	}
	w.hijacked = true
	s := w.short
	s.unwatch()
	s.conn.SetDeadline(time.Time{})
	rest := s.unread()
	in := bufio.NewReaderSize(&replayConn{plainConn: s.conn, first: rest}, max(4<<10, len(rest)))
	in.Peek(len(rest))                  // callers look at what is buffered, and then at the connection itself
	s.in, s.out, s.body = nil, nil, nil // the connection may stay open for days
	s.server.shorts.remove(s)           // and Shutdown waits for it in another way
	return s.conn, bufio.NewReadWriter(in, bufio.NewWriter(s.conn)), nil
}

// SetReadDeadline is for http.ResponseController.
func (w *reply) SetReadDeadline(t time.Time) error { return w.short.conn.SetReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController. It holds for this response.
func (w *reply) SetWriteDeadline(t time.Time) error {
	w.deadline = true
	return w.short.conn.SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController: no request body is left on
// the wire that a response could be in the way of. So, other than with net/http,
// one that nobody reads does not end the connection.
func (w *reply) EnableFullDuplex() error { return nil }

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
