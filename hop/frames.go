package hop

import "encoding/binary"

// frames follows the bytes of one direction of a WebSocket, to know where a
// frame of ours may stand. It checks nothing: the two ends do.
//
// Source: RFC 6455, 5.2
type frames struct {
	head   [14]byte // of the frame that has begun
	have   int      // bytes of it
	left   uint64   // bytes of the frame's payload to come
	closed bool     // a Close frame has begun; nothing may follow it
}

const opcodeClose = 8

// between says that the last byte was the end of a frame.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// pass takes the bytes that follow.
func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		p = p[f.next(p):]
	}
}

// next takes the bytes up to the end of a frame, and returns how many there
// are: all of p if the frame goes on. p must have one.
func (f *frames) next(p []byte) int {
	n := 0
	for f.left == 0 && n < len(p) {
		f.head[f.have] = p[n]
		f.have++
		n++
		if length, ok := f.length(); ok {
			f.closed = f.closed || f.head[0]&0xf == opcodeClose
			f.have = 0
			if f.left = length; length == 0 {
				return n
			}
		}
	}
	part := min(f.left, uint64(len(p)-n))
	f.left -= part
	return n + int(part)
}

// length is that of the payload, once the whole header is there.
func (f *frames) length() (uint64, bool) {
	if f.have < 2 {
		return 0, false
	}
	size, length := 2, uint64(f.head[1]&0x7f)
	switch length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	extended := size
	if f.head[1]&0x80 != 0 { // a mask
		size += 4
	}
	if f.have < size {
		return 0, false
	}
	switch extended {
	case 4:
		length = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 10:
		length = binary.BigEndian.Uint64(f.head[2:])
	}
	return length, true
}

// closeFrame is a server's Close frame.
func closeFrame(code uint16, reason string) []byte {
	p := []byte{0x80 | opcodeClose, byte(2 + len(reason)), byte(code >> 8), byte(code)}
	return append(p, reason...)
}
