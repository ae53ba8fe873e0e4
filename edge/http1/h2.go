package http1

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// h2 is what a client says on an HTTP/2 connection, on its way to net/http.
//
// Header blocks are decoded and encoded anew, in one HEADERS frame where they
// fit, because net/http resets the stream of a target that package url refuses
// (see disguise), and answers requests that have fields of a connection, which
// are malformed. Equal settings in one frame become one, since net/http takes
// them for an attack. All other frames pass as they are, and those that break
// the rules of frames or of HPACK do so for net/http, too, which then says so.
//
// So there are two HPACK tables, the client's and net/http's, neither of which
// grows over headerTable.
type h2 struct {
	in     *bufio.Reader
	frames frames
	begun  bool         // the preface has passed
	ready  bytes.Buffer // is read first
	pass   int          // bytes of a frame that are read next, as they come
	err    error        // is read last

	payload []byte // of the frame at hand
	block   block  // the header block at hand
	dec     *hpack.Decoder
	enc     *hpack.Encoder
	encoded bytes.Buffer
}

// block is a header block.
type block struct {
	head   frameHead // of HEADERS; zero: no block has begun
	prio   []byte    // what HEADERS says of priority
	taken  int       // encoded bytes
	size   int       // of all fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts it
	fields []hpack.HeaderField
}

// frameHead is the beginning of a frame.
type frameHead struct {
	length      int
	kind, flags byte
	stream      uint32
}

const (
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // is what a client says first
	frameHeadLen = 9
	maxFrame     = 16 << 10               // payload of one frame
	headerTable  = 4 << 10                // of HPACK
	maxFields    = MaxHeaderBytes + 10*32 // as net/http makes it of MaxHeaderBytes
	maxBlock     = 2 * maxFields          // encoded

	kindData, kindHeaders, kindSettings, kindContinuation = 0, 1, 4, 9

	flagEndStream, flagEndHeaders, flagPadded, flagPriority = 1, 4, 8, 32
	flagAck                                                 = 1
)

var errBlock = errors.New("a header block without end")

func newH2(r io.Reader) *h2 {
	h := &h2{in: bufio.NewReader(r)}
	h.dec = hpack.NewDecoder(headerTable, h.field)
	h.dec.SetMaxStringLength(maxFields)
	h.enc = hpack.NewEncoder(&h.encoded)
	h.enc.SetMaxDynamicTableSizeLimit(headerTable)
	return h
}

// Read is called by one goroutine at a time.
func (h *h2) Read(p []byte) (int, error) {
	for {
		switch {
		case h.ready.Len() > 0:
			return h.ready.Read(p)
		case h.err != nil:
			return 0, h.err
		case len(p) == 0:
			return 0, nil
		case h.pass > 0:
			n, err := h.in.Read(p[:min(len(p), h.pass)])
			h.pass -= n
			h.err = err
			return n, err
		}
		if h.ready.Cap() > 2*maxFrame {
			h.ready = bytes.Buffer{}
		}
		h.err = h.next()
	}
}

// next reads what comes next from the client. An error is final.
func (h *h2) next() error {
	if !h.begun {
		h.begun = true
		return h.start()
	}
	b, err := h.in.Peek(frameHeadLen)
	if err != nil {
		return err
	}
	head := frameHead{
		length: int(b[0])<<16 | int(binary.BigEndian.Uint16(b[1:])),
		kind:   b[3], flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
	if err := h.frames.count(head); err != nil {
		return err
	}
	within := h.block.head.stream != 0
	continues := within && head.kind == kindContinuation && head.stream == h.block.head.stream
	switch {
	case head.length > maxFrame || within != continues:
		if within { // net/http shall miss the rest, too
			h.write(h.block.head, h.block.head.flags&flagEndStream)
			h.block.head = frameHead{}
		}
	case continues || head.kind == kindHeaders && head.stream != 0:
		if err := h.read(head); err != nil {
			return err
		}
		return h.header(head)
	case head.kind == kindSettings && head.flags&flagAck == 0 && head.length%6 == 0:
		if err := h.read(head); err != nil {
			return err
		}
		h.write(head, head.flags, distinct(h.payload))
		return nil
	}
	h.ready.Write(b)
	h.in.Discard(frameHeadLen)
	h.pass = head.length
	return nil
}

// start passes the preface. HTTP/1 would come past wire: nothing of it passes,
// and net/http closes without a word.
func (h *h2) start() error {
	for i := range len(preface) {
		if c, err := h.in.ReadByte(); err != nil || c != preface[i] {
			return io.EOF
		}
	}
	h.ready.WriteString(preface)
	return nil
}

// read reads a frame.
func (h *h2) read(head frameHead) error {
	h.in.Discard(frameHeadLen)
	h.payload = slices.Grow(h.payload[:0], head.length)[:head.length]
	_, err := io.ReadFull(h.in, h.payload)
	return err
}

// write makes a frame ready.
func (h *h2) write(head frameHead, flags byte, payload ...[]byte) {
	n := 0
	for _, p := range payload {
		n += len(p)
	}
	b := append(h.ready.AvailableBuffer(), byte(n>>16), byte(n>>8), byte(n), head.kind, flags)
	h.ready.Write(binary.BigEndian.AppendUint32(b, head.stream))
	for _, p := range payload {
		h.ready.Write(p)
	}
}

// header takes HEADERS or CONTINUATION.
func (h *h2) header(head frameHead) error {
	b := &h.block
	fragment := h.payload
	if head.kind == kindHeaders {
		var prio []byte
		var ok bool
		if prio, fragment, ok = unpad(head, h.payload); !ok {
			h.write(head, head.flags, h.payload)
			return nil
		}
		*b = block{head: head, prio: append(b.prio[:0], prio...), fields: b.fields[:0]}
		h.dec.SetEmitEnabled(true)
	}
	if b.taken += len(fragment); b.taken > maxBlock {
		return errBlock
	}
	_, err := h.dec.Write(fragment)
	if err == nil && head.flags&flagEndHeaders == 0 {
		return nil
	}
	if err == nil {
		err = h.dec.Close()
	}
	h.encoded.Reset()
	if err != nil {
		h.encoded.WriteByte(0x80) // is no HPACK
	} else {
		for _, f := range h.block.judge() {
			h.enc.WriteField(f)
		}
	}
	h.emit()
	clear(b.fields)
	b.head = frameHead{}
	if cap(b.fields) > 128 || h.encoded.Cap() > maxFrame { // of a large block nothing is kept
		b.fields, h.encoded = nil, bytes.Buffer{}
	}
	return nil
}

// field takes a field of the block at hand.
func (h *h2) field(f hpack.HeaderField) {
	if h.block.size += int(f.Size()); h.block.size > maxFields {
		h.dec.SetEmitEnabled(false)
		return
	}
	h.block.fields = append(h.block.fields, f)
}

// emit makes the block, which is encoded, ready.
func (h *h2) emit() {
	head, prio, encoded := h.block.head, h.block.prio, h.encoded.Bytes()
	for flags := head.flags & (flagEndStream | flagPriority); ; flags = 0 {
		part := encoded[:min(len(encoded), maxFrame-len(prio))]
		encoded = encoded[len(part):]
		if len(encoded) == 0 {
			flags |= flagEndHeaders
		}
		h.write(head, flags, prio, part)
		if len(encoded) == 0 {
			return
		}
		head.kind, prio = kindContinuation, nil
	}
}

// unpad takes the payload of HEADERS apart.
func unpad(head frameHead, p []byte) (prio, fragment []byte, ok bool) {
	padding := 0
	if head.flags&flagPadded != 0 {
		if len(p) == 0 {
			return nil, nil, false
		}
		padding, p = int(p[0]), p[1:]
	}
	if head.flags&flagPriority != 0 {
		if len(p) < 5 {
			return nil, nil, false
		}
		prio, p = p[:5], p[5:]
	}
	if len(p) < padding {
		return nil, nil, false
	}
	return prio, p[:len(p)-padding], true
}
