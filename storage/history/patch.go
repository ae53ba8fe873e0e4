package history

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// A patch turns a page back into what it was: the bytes that were different,
// as a list of ranges. Each is the number of unchanged words since the range
// before, the number of words, and their old bytes; a word has 8 bytes. In
// front stands the number of ranges.

const word = 8

// stride is how many bytes are compared at once to find a difference.
const stride = 256

// near is the number of equal words that do not end a range: a range of its
// own would cost about as much.
const near = 1

var errPatch = errors.New("malformed patch")

// appendPatch appends the patch that turns page after into page before to b.
// Both have the same length, a multiple of 8.
func appendPatch(b, before, after []byte) []byte {
	// The number of ranges is known at the end; two bytes are enough for it,
	// because a page has at most 65536/8 words.
	at, n, last := len(b), 0, 0
	b = append(b, 0, 0)
	for i := 0; i < len(after); i += word {
		if i%stride == 0 && len(after)-i >= stride && bytes.Equal(before[i:i+stride], after[i:i+stride]) {
			i += stride - word
			continue
		}
		if same(before, after, i) {
			continue
		}
		end := i + word
		for j := end; j < len(after) && j <= end+near*word; j += word {
			if !same(before, after, j) {
				end = j + word
			}
		}
		b = binary.AppendUvarint(b, uint64(i-last)/word)
		b = binary.AppendUvarint(b, uint64(end-i)/word)
		b = append(b, before[i:end]...)
		n, last, i = n+1, end, end-word
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(n))
	return b
}

// appendWhole appends the patch that turns any page into before.
func appendWhole(b, before []byte) []byte {
	b = append(b, 1, 0, 0)
	b = binary.AppendUvarint(b, uint64(len(before)/word))
	return append(b, before...)
}

func same(a, b []byte, i int) bool {
	return binary.NativeEndian.Uint64(a[i:]) == binary.NativeEndian.Uint64(b[i:])
}

// ranges calls f with the place and the old bytes of each range of the patch at
// the start of b, and returns what follows it. size is the length of a page.
func ranges(b []byte, size int, f func(at int, old []byte)) (rest []byte, err error) {
	if len(b) < 2 {
		return nil, errPatch
	}
	n := int(binary.LittleEndian.Uint16(b))
	b = b[2:]
	at := uint64(0)
	for range n {
		skip, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, errPatch
		}
		words, l := binary.Uvarint(b[k:])
		if l <= 0 {
			return nil, errPatch
		}
		b = b[k+l:]
		whole := uint64(size)
		if skip > whole || words > whole || at+(skip+words)*word > whole || words*word > uint64(len(b)) {
			return nil, errPatch
		}
		at += skip * word
		f(int(at), b[:words*word])
		at += words * word
		b = b[words*word:]
	}
	return b, nil
}

// applyPatch applies the patch at the start of b to page, which may be nil to
// only skip it, and returns what follows it. size is the length of a page.
func applyPatch(page, b []byte, size int) (rest []byte, err error) {
	return ranges(b, size, func(at int, old []byte) {
		if page != nil {
			copy(page[at:], old)
		}
	})
}

// overlayPatch applies a patch that is known to be well-formed to page, and
// notes in known which words it sets.
func overlayPatch(page []byte, known []bool, b []byte) {
	ranges(b, len(page), func(at int, old []byte) {
		copy(page[at:], old)
		for i := range len(old) / word {
			known[at/word+i] = true
		}
	})
}

// appendOverlay appends the patch that sets the known words of a page.
func appendOverlay(b, page []byte, known []bool) []byte {
	at, n, last := len(b), 0, 0
	b = append(b, 0, 0)
	for i := 0; i < len(known); i++ {
		if !known[i] {
			continue
		}
		end := i
		for end < len(known) && known[end] {
			end++
		}
		b = binary.AppendUvarint(b, uint64(i-last))
		b = binary.AppendUvarint(b, uint64(end-i))
		b = append(b, page[i*word:end*word]...)
		n, last, i = n+1, end, end-1
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(n))
	return b
}
