package r2

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc64"
	"slices"
	"strings"
	"testing"
)

func TestListUploads(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	for _, key := range []string{"a", "a", "a\x00b", "a/1", "a/2", "b/1", "b/2", "c", "\xf0\x9f\x98\x80"} {
		_, err := b.CreateMultipartUpload(ctx, key, PutOptions{StorageClass: InfrequentAccess})
		f.ok(err)
	}
	list := func(o ListUploadsOptions, most int) (names []string, last UploadInfo) {
		f.ok(b.EachUpload(ctx, o, func(u *UploadInfo, prefix string) bool {
			if u == nil {
				names = append(names, prefix+"*")
			} else {
				names, last = append(names, u.Key), *u
			}
			return len(names) < most
		}))
		return names, last
	}
	for _, c := range []struct {
		o    ListUploadsOptions
		want string
	}{
		{ListUploadsOptions{}, "a a a\x00b a/1 a/2 b/1 b/2 c \xf0\x9f\x98\x80"},
		{ListUploadsOptions{Prefix: "a/"}, "a/1 a/2"},
		{ListUploadsOptions{Prefix: "a\x00"}, "a\x00b"},
		{ListUploadsOptions{Prefix: "z"}, ""},
		{ListUploadsOptions{Delimiter: "/"}, "a a a\x00b a/* b/* c \xf0\x9f\x98\x80"},
		{ListUploadsOptions{Delimiter: "/", KeyMarker: "a/"}, "b/* c \xf0\x9f\x98\x80"},
		{ListUploadsOptions{KeyMarker: "a"}, "a\x00b a/1 a/2 b/1 b/2 c \xf0\x9f\x98\x80"},
		{ListUploadsOptions{KeyMarker: "a/1", Prefix: "a"}, "a/2"},
		{ListUploadsOptions{KeyMarker: "0", Prefix: "b"}, "b/1 b/2"},
	} {
		if got, _ := list(c.o, 100); strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
	_, first := list(ListUploadsOptions{}, 1)
	if first.Key != "a" || first.StorageClass != InfrequentAccess || first.Begun.UnixMilli() != epoch {
		t.Errorf("the first upload is %+v", first)
	}
	rest, second := list(ListUploadsOptions{KeyMarker: "a", IDMarker: first.ID}, 1)
	if !slices.Equal(rest, []string{"a"}) || second.ID == first.ID {
		t.Errorf("behind it: %q, %+v", rest, second)
	}
	if err := b.EachUpload(ctx, ListUploadsOptions{KeyMarker: "a", IDMarker: "?"}, nil); err == nil {
		t.Error("a marker that is no id was taken")
	}
}

func TestListParts(t *testing.T) {
	f := newFixture(t)
	f.minPart = 1
	b := f.bucket("b")
	u, err := b.CreateMultipartUpload(ctx, "k", PutOptions{Checksums: Checksums{SHA256: []byte{}}})
	f.ok(err)
	contents := map[int][]byte{1: random(1, 50_000), 7: random(7, 50_000), 9: random(9, 100)}
	for number, content := range contents {
		_, err := u.Put(ctx, number, bytes.NewReader(content), PartOptions{})
		f.ok(err)
	}
	var parts []Part
	info, err := u.EachPart(ctx, 2, func(p PartInfo) bool {
		sum := sha256.Sum256(contents[p.Number])
		if int(p.Size) != len(contents[p.Number]) || !bytes.Equal(p.Checksums.SHA256, sum[:]) || p.Uploaded.UnixMilli() != epoch {
			t.Errorf("part %+v", p)
		}
		parts = append(parts, p.Part)
		return true
	})
	f.ok(err)
	if len(parts) != 2 || parts[0].Number != 7 || info.Checksum != "SHA-256" {
		t.Errorf("parts %v, %+v", parts, info)
	}
	sums := sha256.New()
	for _, n := range []int{7, 9} {
		sum := sha256.Sum256(contents[n])
		sums.Write(sum[:])
	}
	_, err = u.Complete(ctx, parts)
	f.ok(err)
	f.reopen(Options{})
	b = f.bucket("b")
	o, err := b.Head(ctx, "k")
	f.ok(err)
	if !bytes.Equal(o.PartSums.SHA256, sums.Sum(nil)) || o.Checksums.SHA256 != nil {
		t.Errorf("checksum of the parts: %x", o.PartSums.SHA256)
	}
	if n := f.rows(rowPartNote); n != 0 {
		t.Errorf("%d notes of parts are left", n)
	}
	for n, want := range map[int]int64{1: 50_000, 2: 100} {
		r, err := b.Get(ctx, "k", GetOptions{Part: n})
		f.ok(err)
		if r.Length != want || r.Parts != 2 {
			t.Errorf("part %d: %d bytes of %d parts", n, r.Length, r.Parts)
		}
		r.Close()
	}
	if _, err := b.Get(ctx, "k", GetOptions{Part: 3}); err == nil {
		t.Error("there is a part 3")
	}
}

// The checksum of a whole is made of those of the parts, of any sizes.
func TestJoin(t *testing.T) {
	for _, sizes := range [][]int{{0}, {1}, {5, 5, 3}, {100, 0, 1}, {1000, 1000, 1000, 1}} {
		var j join
		var whole []byte
		for i, size := range sizes {
			part := random(uint64(i), size)
			whole = append(whole, part...)
			j.add(crc64.Checksum(part, nvme), int64(size))
		}
		if want := crc64.Checksum(whole, nvme); j.sum != want {
			t.Errorf("%v: %x, want %x", sizes, j.sum, want)
		}
	}
}

// An upload that asks for CRC64NVME gets that of the whole, and abort and deletion
// leave no notes.
func TestWholeChecksum(t *testing.T) {
	f := newFixture(t)
	f.minPart = 1
	b := f.bucket("b")
	content := random(3, 250_000)
	begin := func(key string) (*Upload, []Part) {
		u, err := b.CreateMultipartUpload(ctx, key, PutOptions{Checksums: Checksums{CRC64NVME: []byte{}}})
		f.ok(err)
		var parts []Part
		for i, piece := range slices.Collect(slices.Chunk(content, 100_000)) {
			p, err := u.Put(ctx, i+1, bytes.NewReader(piece), PartOptions{})
			f.ok(err)
			parts = append(parts, p.Part)
		}
		return u, parts
	}
	u, parts := begin("k")
	o, err := u.Complete(ctx, parts)
	f.ok(err)
	if got := binary.BigEndian.Uint64(o.Checksums.CRC64NVME); got != crc64.Checksum(content, nvme) {
		t.Errorf("%x", got)
	}
	u, _ = begin("aborted")
	f.ok(u.Abort(ctx))
	if n := f.rows(rowPartNote); n != 0 {
		t.Errorf("%d notes of parts are left", n)
	}
}
