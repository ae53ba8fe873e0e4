package hop

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// wsFrame is one of a server, or of a client if masked.
func wsFrame(opcode byte, masked bool, length int) []byte {
	var mask byte
	if masked {
		mask = 0x80
	}
	p := []byte{0x80 | opcode}
	switch {
	case length < 126:
		p = append(p, mask|byte(length))
	case length <= 0xffff:
		p = binary.BigEndian.AppendUint16(append(p, mask|126), uint16(length))
	default:
		p = binary.BigEndian.AppendUint64(append(p, mask|127), uint64(length))
	}
	if masked {
		p = append(p, 1, 2, 3, 4)
	}
	return append(p, bytes.Repeat([]byte{0x88}, length)...) // a payload that looks like Close frames
}

func TestFrames(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for _, length := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000} {
			var f frames
			p := wsFrame(2, masked, length)
			for i := range p {
				if i > 0 && f.between() {
					t.Fatalf("a frame of %d bytes ends after %d of %d", length, i, len(p))
				}
				f.pass(p[i : i+1])
			}
			if !f.between() || f.closed {
				t.Errorf("a frame of %d bytes has not ended, or was taken for a Close frame", length)
			}
			if n := f.next(append(p, 0x88, 0x00)); n != len(p) || f.closed {
				t.Errorf("the end of a frame of %d bytes is found after %d", len(p), n)
			}
		}
	}
	var f frames
	if f.pass(wsFrame(1, false, 3)); f.closed {
		t.Error("a text frame is a Close frame")
	}
	if f.pass(closeFrame(1012, "bye")); !f.closed || !f.between() {
		t.Error("our own Close frame is none")
	}
}

// However the bytes come, the frames are the same, and every byte is of one.
func FuzzFrames(f *testing.F) {
	f.Add(append(wsFrame(1, false, 5), wsFrame(8, false, 2)...), uint8(3))
	f.Add(append(wsFrame(2, true, 200), wsFrame(2, false, 70000)[:100]...), uint8(1))
	f.Add([]byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint8(4))
	f.Fuzz(func(t *testing.T, p []byte, size uint8) {
		var whole, parts, steps frames
		whole.pass(p)
		for rest := p; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			parts.pass(rest[:n])
			rest = rest[n:]
		}
		if whole != parts {
			t.Errorf("at once %+v, in parts %+v", whole, parts)
		}
		for rest := p; len(rest) > 0; {
			n := steps.next(rest)
			if n < 1 || n > len(rest) {
				t.Fatalf("next took %d of %d bytes", n, len(rest))
			}
			if rest = rest[n:]; len(rest) > 0 && !steps.between() {
				t.Fatal("next stopped within a frame")
			}
		}
		if whole != steps {
			t.Errorf("at once %+v, in steps %+v", whole, steps)
		}
	})
}
