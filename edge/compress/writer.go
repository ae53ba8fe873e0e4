package compress

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// writer is the http.ResponseWriter of one request. What becomes of the
// response is decided when the handler gives its header, or, when that says
// neither length nor type, with the beginning of the body.
type writer struct {
	http.ResponseWriter
	stage       *Stage
	accept      []string  // the client's Accept-Encoding
	seen        [1]string // the Worker's
	ifNoneMatch []string
	head        bool // a HEAD request
	ranged      bool // a request with Range

	state   state
	status  int
	coding  coding // that is encoded to
	hold    []byte // the beginning of a held body
	length  int64  // of the body as the handler gives it, -1 if not known
	written int64  // of it

	encoder  encoder
	from     coding // that is decoded, identity if none is
	decoding *decoding
	decoded  *writer // of what was decoded, for this client may take another coding
	lent     int64   // bytes of memory for the decoder

	digest string // of the body, if it is a file's
	size   int64
	made   *keptBody // what is being kept of it
}

type state uint8

const (
	open     state = iota // the handler has said nothing
	held                  // it has given a header that was not sent yet
	plain                 // all goes on as it is
	encodes               // the body goes through encoder
	decodes               // the body goes through decoding
	headOnly              // the header was sent, a body is not for this client
)

// sniffed is how much of a body net/http looks at to guess its type.
const sniffed = 512

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.state != open {
		return
	}
	if status < 200 {
		if status == http.StatusSwitchingProtocols {
			w.state = plain
		}
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
	h := w.Header()
	switch {
	case status == http.StatusNotModified:
		weaken(h, w.ifNoneMatch)
		w.begin(plain)
	case status == http.StatusNoContent, status == http.StatusPartialContent, has(h["Cache-Control"], "no-transform"):
		w.begin(plain)
	case first(h, "Content-Encoding") != "":
		w.encoded(h)
	default:
		w.unencoded(h)
	}
}

// begin sends the header.
func (w *writer) begin(s state) {
	h := w.Header()
	w.state = s
	switch {
	case s == encodes && w.head:
		recode(h, w.coding)
		w.state = headOnly
	case s == encodes:
		if w.encoder = w.stage.encoders.take(w.coding, (*encodedBody)(w)); w.encoder == nil {
			w.state = plain
			break
		}
		if w.digest != "" {
			w.made = w.stage.kept.begin(name{w.digest, w.coding}, w.size)
		}
		recode(h, w.coding)
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// decode begins a response that is decoded.
func (w *writer) decode(h http.Header, beginning []byte) {
	if len(beginning) > 0 {
		n := decoderMemory(w.from, beginning[0])
		if !w.stage.decoders.take(n) {
			w.refuse(h)
			return
		}
		w.lent = n
	}
	recode(h, identity)
	w.decoded = &writer{ResponseWriter: w.ResponseWriter, stage: w.stage, accept: w.accept, head: w.head, ranged: w.ranged, length: -1}
	w.decoded.WriteHeader(w.status)
	if w.decoded.state == held {
		w.decoded.settle(nil, false) // the header is the handler's again when another goroutine writes
	}
	if len(beginning) == 0 { // nothing, in any coding
		w.state = headOnly
		return
	}
	w.state = decodes
	w.decoding = decode(w.from, w.decoded, w.length < 0)
}

// refuse answers in place of a response that would have to be decoded when
// there is no memory for it.
func (w *writer) refuse(h http.Header) {
	clear(h)
	const text = "The server cannot decode this response now. Ask again with Accept-Encoding: br, gzip.\n"
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Cache-Control"] = []string{"no-store"}
	h["Retry-After"] = []string{"1"}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.state = headOnly
	w.ResponseWriter.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w.ResponseWriter, text)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	if w.state == open {
		w.WriteHeader(http.StatusOK)
	}
	if w.state != held {
		return w.pass(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if w.from == identity && len(w.hold)+len(p) < sniffed {
		w.hold = append(w.hold, p...)
		return len(p), nil
	}
	whole := p
	if len(w.hold) > 0 {
		whole = append(w.hold, p...)
		w.hold = nil
	}
	w.settle(whole, false)
	if _, err := w.pass(whole); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pass takes p, of a body that has begun, on its way.
func (w *writer) pass(p []byte) (int, error) {
	switch w.state {
	case headOnly:
		return len(p), nil
	case plain:
		return w.ResponseWriter.Write(p)
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.state == decodes {
		return w.decoding.in.Write(p)
	}
	return w.encoder.Write(p)
}

// FlushError is for http.ResponseController: all that was written reaches the
// client, compressed or not.
func (w *writer) FlushError() error {
	if w.state == open {
		w.WriteHeader(http.StatusOK)
	}
	switch w.state {
	case held:
		if w.from != identity {
			return nil // there is nothing yet
		}
		if err := w.unhold(false); err != nil {
			return err
		}
		return w.FlushError()
	case decodes:
		return nil // its goroutine does
	case encodes:
		if err := w.encoder.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *writer) Flush() { w.FlushError() }

func (w *writer) unhold(all bool) error {
	hold := w.hold
	w.hold = nil
	w.settle(hold, all)
	if len(hold) == 0 {
		return nil
	}
	_, err := w.pass(hold)
	return err
}

// finish ends a response whose handler has returned. The error is why it is not
// whole.
func (w *writer) finish() error {
	if w.state == held {
		if err := w.unhold(true); err != nil {
			return err
		}
	}
	if w.state != encodes && w.state != decodes {
		if w.decoded != nil {
			return w.decoded.finish()
		}
		return nil
	}
	if w.length >= 0 && w.written != w.length {
		return fmt.Errorf("the response ends after %d of %d bytes", w.written, w.length)
	}
	if w.state == decodes {
		err := w.decoding.end()
		if w.decoding = nil; err != nil {
			return fmt.Errorf("decode the response, which says that it is in %s: %w", w.from, err)
		}
		return w.decoded.finish()
	}
	if err := w.encoder.Close(); err != nil {
		return fmt.Errorf("compress the response: %w", err)
	}
	if w.made != nil {
		w.stage.kept.end(w.made)
		w.made = nil
	}
	return nil
}

// release gives back what was borrowed.
func (w *writer) release() {
	if w.made != nil {
		w.stage.kept.drop(w.made)
		w.made = nil
	}
	if w.encoder != nil {
		w.stage.encoders.done(w.coding, w.encoder)
		w.encoder = nil
	}
	if w.decoding != nil {
		w.decoding.abandon()
		w.decoding = nil
	}
	if w.decoded != nil {
		w.decoded.release()
	}
	w.stage.decoders.give(w.lent)
}
