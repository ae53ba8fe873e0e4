package history

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestPatch: a patch turns a page back into what it was and is not much larger
// than the difference.
func TestPatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		size := 512 << r.IntN(8)
		after := make([]byte, size)
		for i := range after {
			after[i] = byte(r.Uint32())
		}
		before := bytes.Clone(after)
		changed := 0
		for range r.IntN(6) {
			at := r.IntN(size)
			n := r.IntN(min(size-at, 100) + 1)
			changed += n
			for i := range n {
				before[at+i] ^= byte(r.IntN(3))
			}
		}
		patch := appendPatch(nil, before, after)
		if len(patch) > 2+changed+6*(4+3*word) {
			t.Fatalf("a patch of %d bytes for %d changed ones", len(patch), changed)
		}
		page := bytes.Clone(after)
		if rest, err := applyPatch(page, append(patch, "rest"...), size); err != nil || string(rest) != "rest" {
			t.Fatalf("%q %v", rest, err)
		}
		if !bytes.Equal(page, before) {
			t.Fatal("the page is not what it was")
		}
		if _, err := applyPatch(page, appendWhole(nil, after), size); err != nil || !bytes.Equal(page, after) {
			t.Fatal("a whole page does not come back: ", err)
		}
	}
}

// FuzzSegment reads whatever is in a file as a segment.
func FuzzSegment(f *testing.F) {
	path := filepath.Join(f.TempDir(), "segment")
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	w := writer{f: file, encoder: encoder}
	page := bytes.Repeat([]byte("content "), 64)
	for _, e := range []entry{{kind: within, page: 7}, {kind: commit, page: 1, size: 7}, {kind: lost, page: 9}, {kind: commit, page: 2, size: 7}} {
		if err := w.add(e, page, make([]byte, 512)); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := w.finish(footer{salt: 1, to: 3, before: 9, after: 7, page: 512}, []mark{{100, 0}, {200, 2}, {300, 3}}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[len(whole)-footerLen:])
	f.Fuzz(func(t *testing.T, data []byte) {
		// The parts are read too, as if the checksums around them were right.
		if blocks, marks, err := decodeIndex(data); err == nil {
			(&segment{}).fits(blocks, marks)
		}
		decodeBlock(data, 512)
		path := filepath.Join(t.TempDir(), "segment")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSegment(path)
		if err != nil {
			return
		}
		defer s.close()
		if f, err := decodeFooter(s.encode()); err != nil || f != s.footer {
			t.Errorf("footer %v is read as %v, %v", s.footer, f, err)
		}
		blocks, _, err := s.index()
		if err != nil {
			return
		}
		for _, b := range blocks {
			entries, err := s.entries(b)
			if err != nil {
				continue
			}
			for _, e := range entries {
				if _, err := applyPatch(make([]byte, s.page), e.patch, int(s.page)); err != nil {
					t.Errorf("a patch that was read cannot be applied: %v", err)
				}
			}
		}
	})
}

// FuzzMarks reads whatever is in a file as marks.
func FuzzMarks(f *testing.F) {
	list := []record{{mark{100, 0}, 1, 1}, {mark{200, 3}, 1, 1}, {mark{300, 5}, 2, 2}, {mark{400, 9}, 2, 2}}
	var data []byte
	for i := range list {
		data = list[i].append(data)
	}
	if got, n := decodeMarks(data); n != len(data) || !reflect.DeepEqual(got, list[2:]) {
		f.Fatalf("%v of %d bytes", got, n)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		list, n := decodeMarks(data)
		if n > len(data) || n%recordLen != 0 {
			t.Fatalf("%d of %d bytes are whole", n, len(data))
		}
		var again []byte
		for i := range list {
			again = list[i].append(again)
		}
		if !bytes.HasSuffix(data[:n], again) {
			t.Errorf("%v is not what was read", list)
		}
	})
}
