package r2

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
)

// sizes are around every border: inline, encrypted chunks, copy buffers.
var sizes = []int{0, 1, 100, InlineBytes - 48, InlineBytes - 47, InlineBytes, InlineBytes + 1, ssecChunk - 1, ssecChunk, ssecChunk + 1, 3 * ssecChunk, 200_000}

// What was put is read back, with everything that goes with it, encrypted or not,
// before and after a restart.
func TestPutAndGet(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	expiry := int64(1_900_000_000_000)
	o := PutOptions{
		HTTP:         HTTPMetadata{ContentType: "text/plain", ContentLanguage: "de", ContentDisposition: "inline", ContentEncoding: "br", CacheControl: "no-store", CacheExpiry: &expiry},
		Custom:       map[string]string{"a": "1", "ü": "ö", "": ""},
		StorageClass: InfrequentAccess,
	}
	key := random(99, ssecKeyBytes)
	want := map[string]*Object{}
	for _, size := range sizes {
		for _, ssec := range [][]byte{nil, key} {
			name := fmt.Sprint(size, ssec != nil, "/\x00ü")
			o.SSECKey = ssec
			content := random(uint64(size), size)
			object := f.put(b, name, content, o)
			sum := md5.Sum(content)
			if object.Size != int64(size) || object.ETag != hex.EncodeToString(sum[:]) || len(object.Version) != 32 || object.Uploaded.UnixMilli() != epoch || !bytes.Equal(object.Checksums.MD5, sum[:]) {
				t.Errorf("%q: put says %+v", name, object)
			}
			want[name] = object
		}
	}
	for range 2 {
		for name, object := range want {
			g := GetOptions{}
			if object.SSECKeyMD5 != "" {
				g.SSECKey = key
			}
			got, r := f.get(b, name, g)
			if !bytes.Equal(got, random(uint64(object.Size), int(object.Size))) {
				t.Errorf("%q: the content differs", name)
			}
			if !reflect.DeepEqual(&r.Object, object) {
				t.Errorf("%q: get says %+v\nput said %+v", name, r.Object, object)
			}
			if head, err := b.Head(ctx, name); err != nil || !reflect.DeepEqual(head, object) {
				t.Errorf("%q: head says %+v, %v", name, head, err)
			}
		}
		f.reopen(Options{})
		b = f.bucket("b")
	}
	if n := f.reading.Load() + f.writing.Load(); n != 0 {
		t.Errorf("%d contents are under way", n)
	}
}

// A refused put changes nothing, and leaves nothing on the disk.
func TestPutRefused(t *testing.T) {
	f := newFixture(t)
	f.maxPut = 300_000
	b := f.bucket("b")
	f.put(b, "k", []byte("old"), PutOptions{})
	failure := errors.New("cut off")
	wrong := func(size int) []byte { return bytes.Repeat([]byte{1}, size) }
	long := strings.Repeat("k", MaxKeyBytes+1)
	for _, c := range []struct {
		name string
		key  string
		r    io.Reader
		o    PutOptions
		want error
		text string
	}{
		{"no key", "", nil, PutOptions{}, ErrObjectName, ""},
		{"long key", long, nil, PutOptions{}, ErrObjectName, ""},
		{"not UTF-8", "\xff", nil, PutOptions{}, ErrObjectName, ""},
		{"metadata", "k", nil, PutOptions{Custom: map[string]string{"k": strings.Repeat("x", MaxMetadataBytes)}}, ErrMetadataTooLarge, ""},
		{"wide metadata", "k", nil, PutOptions{Custom: map[string]string{"k": strings.Repeat("€", MaxMetadataBytes/2)}}, ErrMetadataTooLarge, ""},
		{"class", "k", nil, PutOptions{StorageClass: "Glacier"}, ErrInvalidArgument, "Glacier"},
		{"key size", "k", nil, PutOptions{SSECKey: []byte("short")}, ErrInvalidArgument, "32"},
		{"sum size", "k", nil, PutOptions{Checksums: Checksums{SHA1: []byte("short")}}, ErrInvalidArgument, "SHA-1"},
		{"too large", "k", bytes.NewReader(make([]byte, 300_001)), PutOptions{}, ErrTooLarge, ""},
		{"cut off at once", "k", iotest.ErrReader(failure), PutOptions{}, failure, ""},
		{"cut off late", "k", io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(failure)), PutOptions{}, failure, ""},
		{"small digest", "k", strings.NewReader("new"), PutOptions{Checksums: Checksums{MD5: wrong(16)}}, ErrBadDigest, "Actual MD5 was: 22af645d1859cb5ca6da0c484f1f37ea"},
		{"large digest", "k", bytes.NewReader(make([]byte, 100_000)), PutOptions{Checksums: Checksums{SHA512: wrong(64)}}, ErrBadDigest, "You provided a SHA-512 checksum with value: 0101"},
		{"condition", "k", bytes.NewReader(make([]byte, 100_000)), PutOptions{OnlyIf: &Conditional{ETagMatches: []ETag{{Value: "x"}}}}, ErrPreconditionFailed, ""},
	} {
		if c.r == nil {
			c.r = strings.NewReader("new")
		}
		if _, err := b.Put(ctx, c.key, c.r, c.o); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		f.same(b, "k", []byte("old"))
		if n := f.files(); n != 0 {
			t.Errorf("%s: %d files are left", c.name, n)
		}
	}
	if temporary, _ := filepath.Glob(filepath.Join(f.dir, "blob/tmp/*")); len(temporary) > 0 {
		t.Errorf("left behind: %v", temporary)
	}
	f.put(b, strings.Repeat("k", MaxKeyBytes), nil, PutOptions{Custom: map[string]string{"k": strings.Repeat("ÿ", MaxMetadataBytes-1)}})
}

// The checksums of "123456789" that their specifications give.
func TestChecksums(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	want := map[string]string{
		"MD5": "25f9e794323b453885f5181f1b624d0b", "SHA-1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		"SHA-256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
		"SHA-384": "eb455d56d2c1a69de64e832011f3393d45f3fa31d6842f21af92d2fe469c499da5e3179847334a18479c8d1dedea1be3",
		"SHA-512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
		"CRC32":   "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888",
	}
	for _, a := range algorithms {
		sum, err := hex.DecodeString(want[a.name])
		f.ok(err)
		var given Checksums
		*a.field(&given) = sum
		f.put(b, a.name, []byte("123456789"), PutOptions{Checksums: given})
		o, err := b.Head(ctx, a.name)
		f.ok(err)
		if got := *a.field(&o.Checksums); !bytes.Equal(got, sum) {
			t.Errorf("%s is %x", a.name, got)
		}
		sum[0]++
		_, err = b.Put(ctx, a.name, strings.NewReader("123456789"), PutOptions{Checksums: given})
		f.fails(err, ErrBadDigest)
	}
}

func TestRanges(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	key := random(7, ssecKeyBytes)
	content := random(1, 150_000)
	n := int64(len(content))
	f.put(b, "plain", content, PutOptions{})
	f.put(b, "locked", content, PutOptions{SSECKey: key})
	f.put(b, "empty", nil, PutOptions{})
	u, err := b.CreateMultipartUpload(ctx, "parts", PutOptions{})
	f.ok(err)
	var parts []Part
	for i := 0; i < len(content); i += 40_000 {
		p, err := u.UploadPart(ctx, i/10_000+1, bytes.NewReader(content[i:min(i+40_000, len(content))]), nil)
		f.ok(err)
		parts = append(parts, p)
	}
	_, err = u.Complete(ctx, parts)
	f.ok(err)
	p := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		r            *Range
		header       string
		offset, size int64 // -1: not satisfiable
	}{
		{nil, "", 0, n},
		{&Range{}, "", 0, n},
		{&Range{Offset: p(5)}, "", 5, n - 5},
		{&Range{Length: p(5)}, "", 0, 5},
		{&Range{Offset: p(39_990), Length: p(20)}, "", 39_990, 20},
		{&Range{Offset: p(65_530), Length: p(70_000)}, "", 65_530, 70_000},
		{&Range{Offset: p(n - 1), Length: p(99)}, "", n - 1, 1},
		{&Range{Suffix: p(7)}, "", n - 7, 7},
		{&Range{Suffix: p(n + 7)}, "", 0, n},
		{&Range{Suffix: p(0)}, "", -1, 0},
		{&Range{Offset: p(n)}, "", -1, 0},
		{&Range{Offset: p(n + 1)}, "", -1, 0},
		{&Range{Offset: p(-1)}, "", -1, 0},
		{&Range{Length: p(0)}, "", -1, 0},
		{nil, "bytes=1-3", 1, 3},
		{nil, "bytes=80000-", 80_000, n - 80_000},
		{nil, " Bytes = 131070 - 999999 ", 131_070, n - 131_070},
		{nil, "bytes=-9", n - 9, 9},
		{nil, "bytes=-999999", 0, n},
		{nil, "bytes=999999-", 0, n},
		{nil, "bytes=3-1", 0, n},
		{nil, "bytes=1-2,4-5", 0, n},
		{nil, "lines=1-2", 0, n},
		{nil, "bytes=-0", 0, n},
		{nil, "bytes=99999999999999999999-", 0, n},
	} {
		for _, name := range []string{"plain", "locked", "parts"} {
			g := GetOptions{Range: c.r, RangeHeader: c.header}
			if name == "locked" {
				g.SSECKey = key
			}
			if c.offset < 0 {
				_, err := b.Get(ctx, name, g)
				f.fails(err, ErrInvalidRange)
				continue
			}
			got, r := f.get(b, name, g)
			if r.Offset != c.offset || r.Length != c.size || !bytes.Equal(got, content[c.offset:c.offset+c.size]) {
				t.Errorf("%s %+v %q: %d bytes from %d (%d)", name, c.r, c.header, r.Length, r.Offset, len(got))
			}
		}
	}
	if got, r := f.get(b, "empty", GetOptions{RangeHeader: "bytes=0-"}); len(got) != 0 || r.Length != 0 {
		t.Errorf("of nothing: %+v", r)
	}
}

func TestSSEC(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	key, other := random(1, ssecKeyBytes), random(2, ssecKeyBytes)
	text := bytes.Repeat([]byte("nobody may read this "), 10_000)
	f.put(b, "locked", text, PutOptions{SSECKey: key})
	f.put(b, "small", text[:100], PutOptions{SSECKey: key})
	f.put(b, "open", text[:100], PutOptions{})
	for _, c := range []struct {
		name string
		key  []byte
		want *Error
	}{
		{"locked", nil, errSSECNeeded}, {"small", nil, errSSECNeeded}, {"locked", other, errSSECWrong},
		{"locked", other[:5], ErrInvalidArgument}, {"open", key, errSSECUnused},
	} {
		_, err := b.Get(ctx, c.name, GetOptions{SSECKey: c.key})
		f.fails(err, c.want)
	}
	u, err := b.CreateMultipartUpload(ctx, "parts", PutOptions{SSECKey: key})
	f.ok(err)
	_, err = u.UploadPart(ctx, 1, strings.NewReader("x"), nil)
	f.fails(err, errSSECNeeded)
	_, err = u.UploadPart(ctx, 1, strings.NewReader("x"), other)
	f.fails(err, errSSECWrong)
	var parts []Part
	for i := range 3 {
		p, err := u.UploadPart(ctx, i+1, bytes.NewReader(text[i*70_000:(i+1)*70_000]), key)
		f.ok(err)
		parts = append(parts, p)
	}
	_, err = u.Complete(ctx, parts)
	f.ok(err)
	offset := int64(69_999)
	if got, _ := f.get(b, "parts", GetOptions{SSECKey: key, Range: &Range{Offset: &offset}}); !bytes.Equal(got, text[69_999:]) {
		t.Error("the content of the upload differs")
	}
	// Nothing on the disk has the text.
	f.ok(f.Store.db.Delete(objectKey(b.number, "open")))
	f.ok(filepath.WalkDir(filepath.Join(f.dir, "blob"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("nobody")) {
			t.Errorf("%s has it in the clear", path)
		}
		return err
	}))
	for _, id := range []string{"locked", "small"} {
		o, err := local{b}.lookup(id)
		f.ok(err)
		p, _, err := f.part(o.content, 0)
		f.ok(err)
		if bytes.Contains(p.inline, []byte("nobody")) {
			t.Errorf("%s is kept in the clear", id)
		}
		// Changed bytes are noticed.
		if p.form == partInline {
			p.inline[40] ^= 1
			batch := f.db.Batch()
			setPart(batch, o.content, 0, p)
			f.ok(batch.Commit())
			r, err := b.Get(ctx, id, GetOptions{SSECKey: key})
			if err == nil {
				_, err = io.ReadAll(r)
			}
			if !errors.Is(err, errSSECDamaged) {
				t.Errorf("changed bytes: %v", err)
			}
		}
	}
}

// The table of RFC 9110, as R2 reads it.
func TestConditions(t *testing.T) {
	at := time.UnixMilli(epoch + 500)
	o := &Object{ETag: "e", Uploaded: at}
	tag := func(v string) []ETag { return []ETag{{Value: v}} }
	weak := []ETag{{Value: "e", Weak: true}}
	star := []ETag{{Any: true}}
	for i, c := range []struct {
		c          *Conditional
		has, hasnt bool
	}{
		{nil, true, true},
		{&Conditional{}, true, true},
		{&Conditional{ETagMatches: tag("e")}, true, false},
		{&Conditional{ETagMatches: tag("x")}, false, false},
		{&Conditional{ETagMatches: weak}, false, false},
		{&Conditional{ETagMatches: star}, true, false},
		{&Conditional{ETagMatches: append(tag("x"), tag("e")...)}, true, false},
		{&Conditional{ETagDoesNotMatch: tag("e")}, false, true},
		{&Conditional{ETagDoesNotMatch: weak}, false, true},
		{&Conditional{ETagDoesNotMatch: tag("x")}, true, true},
		{&Conditional{ETagDoesNotMatch: star}, false, true},
		{&Conditional{UploadedBefore: at.Add(1e6)}, true, true},
		{&Conditional{UploadedBefore: at}, false, true},
		{&Conditional{UploadedBefore: at.Add(-1e6)}, false, true},
		{&Conditional{UploadedAfter: at.Add(-1e6)}, true, false},
		{&Conditional{UploadedAfter: at}, false, false},
		{&Conditional{UploadedAfter: at.Add(-1e6), WholeSeconds: true}, false, false},
		{&Conditional{UploadedBefore: at.Add(-1e6), ETagMatches: tag("e")}, true, false},
		{&Conditional{UploadedAfter: at, ETagDoesNotMatch: tag("x")}, true, false},
		{&Conditional{UploadedAfter: at.Add(-1e6), ETagDoesNotMatch: tag("e")}, false, false},
	} {
		if has, hasnt := c.c.Holds(o), c.c.Holds(nil); has != c.has || hasnt != c.hasnt {
			t.Errorf("%d %+v: %v for the object, %v for none", i, c.c, has, hasnt)
		}
	}
	f := newFixture(t)
	b := f.bucket("b")
	f.put(b, "k", []byte("content"), PutOptions{})
	r, err := b.Get(ctx, "k", GetOptions{OnlyIf: &Conditional{ETagDoesNotMatch: star}})
	f.fails(err, ErrPreconditionFailed)
	if r.Size != 7 {
		t.Errorf("the object is not described: %+v", r)
	}
	_, err = b.Get(ctx, "none", GetOptions{OnlyIf: &Conditional{ETagDoesNotMatch: star}})
	f.fails(err, ErrNoSuchKey)
}

// Of many puts at the same time that want to be the first, one is; and of those
// that count up by comparing tags, none is lost.
func TestConditionsAreAtomic(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	var first, counted atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, InlineBytes+1)
			_, err := b.Put(ctx, "first", bytes.NewReader(content), PutOptions{OnlyIf: &Conditional{ETagDoesNotMatch: []ETag{{Any: true}}}})
			if err == nil {
				first.Add(1)
			} else if !errors.Is(err, ErrPreconditionFailed) {
				t.Error(err)
			}
		})
		all.Go(func() {
			for range 10 {
				for {
					only := &Conditional{ETagDoesNotMatch: []ETag{{Any: true}}}
					n := 0
					if r, err := b.Get(ctx, "count", GetOptions{}); err == nil {
						fmt.Fscan(r, &n)
						r.Close()
						only = &Conditional{ETagMatches: []ETag{{Value: r.ETag}}}
					}
					_, err := b.Put(ctx, "count", strings.NewReader(fmt.Sprint(n+1)), PutOptions{OnlyIf: only})
					if err == nil {
						counted.Add(1)
						break
					}
				}
			}
		})
	}
	all.Wait()
	if first.Load() != 1 {
		t.Errorf("%d puts were the first", first.Load())
	}
	f.same(b, "count", []byte("80"))
	if n := f.files(); n != 1 {
		t.Errorf("%d files, want that of the first", n)
	}
}

// Replaced and deleted content goes at once; content that several objects have
// stays until the last goes.
func TestContentGoes(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	large := random(1, 100_000)
	for _, key := range []string{"a", "b", "c"} {
		f.put(b, key, large, PutOptions{})
	}
	if n := f.files(); n != 1 {
		t.Errorf("%d files for one content", n)
	}
	f.put(b, "a", []byte("small"), PutOptions{})
	f.ok(b.Delete(ctx, "b", "none", "b"))
	f.same(b, "c", large)
	f.same(b, "a", []byte("small"))
	_, err := b.Head(ctx, "b")
	f.fails(err, ErrNoSuchKey)
	f.ok(b.Delete(ctx, "c", "a"))
	for _, kind := range []byte{rowObject, rowPart, rowBlob, rowGarbage} {
		if n := f.rows(kind); n != 0 {
			t.Errorf("%d rows %q are left", n, kind)
		}
	}
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	f.fails(b.Delete(ctx, make([]string, MaxDeleteKeys+1)...), ErrInvalidArgument)
}

// A reader gets what it has opened to its end, though it is replaced meanwhile.
func TestReadersKeepTheirContent(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	whole := random(1, 300_000)
	upload := func() {
		u, err := b.CreateMultipartUpload(ctx, "parts", PutOptions{})
		f.ok(err)
		var parts []Part
		for i := range 3 {
			p, err := u.UploadPart(ctx, i+1, bytes.NewReader(whole[i*100_000:(i+1)*100_000]), nil)
			f.ok(err)
			parts = append(parts, p)
		}
		_, err = u.Complete(ctx, parts)
		f.ok(err)
	}
	upload()
	f.put(b, "whole", whole, PutOptions{})
	f.put(b, "small", whole[:100], PutOptions{})
	var open []*Reader
	for _, key := range []string{"parts", "parts", "whole", "small"} {
		r, err := b.Get(ctx, key, GetOptions{})
		f.ok(err)
		open = append(open, r)
	}
	f.ok(b.Delete(ctx, "parts", "whole", "small"))
	if n := f.rows(rowGarbage); n != 1 {
		t.Errorf("%d contents are kept, want 1", n)
	}
	if _, err := f.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for i, r := range open {
		got, err := io.ReadAll(r)
		f.ok(err)
		if !bytes.Equal(got, whole[:r.Size]) {
			t.Errorf("reader %d: the content differs", i)
		}
		f.ok(r.Close())
		f.ok(r.Close())
	}
	if n := f.rows(rowGarbage) + f.rows(rowPart) + f.files(); n != 0 {
		t.Errorf("%d rows and files are left", n)
	}
	// After a crash nobody reads, and the sweep has the rest.
	upload()
	_, err := b.Get(ctx, "parts", GetOptions{})
	f.ok(err)
	f.ok(b.Delete(ctx, "parts"))
	f.reopen(Options{})
	if n, err := f.Sweep(ctx); n != 1 || err != nil || f.files()+f.rows(rowPart) != 0 {
		t.Errorf("swept %d, %v; %d files are left", n, err, f.files())
	}
}

func TestDamage(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	f.put(b, "good", random(1, 100_000), PutOptions{})
	f.put(b, "locked", random(3, 100_000), PutOptions{SSECKey: random(4, 32)})
	f.put(b, "bad", random(2, 100_000), PutOptions{})
	f.put(b, "gone", random(5, 100_000), PutOptions{})
	f.put(b, "inline", random(6, 100), PutOptions{})
	found, err := f.Scrub(ctx)
	f.ok(err)
	if found.Objects != 5 || found.Bytes != 400_100 || found.Count != 0 {
		t.Errorf("scrub of what is sound: %+v", found)
	}
	path := func(key string) string {
		o, err := local{b}.lookup(key)
		f.ok(err)
		p, _, err := f.part(o.content, 0)
		f.ok(err)
		return filepath.Join(f.dir, "blob", p.digest.String()[:2], p.digest.String())
	}
	file, err := os.OpenFile(path("bad"), os.O_RDWR, 0)
	f.ok(err)
	_, err = file.WriteAt([]byte("damage"), 50_000)
	f.ok(err)
	f.ok(file.Close())
	f.ok(os.Remove(path("gone")))
	o, err := local{b}.lookup("inline")
	f.ok(err)
	p, _, err := f.part(o.content, 0)
	f.ok(err)
	p.inline[5] ^= 1
	batch := f.db.Batch()
	setPart(batch, o.content, 0, p)
	f.ok(batch.Commit())

	found, err = f.Scrub(ctx)
	f.ok(err)
	keys := map[string]bool{}
	for _, d := range found.Damaged {
		keys[d.Key] = true
	}
	if found.Count != 3 || !maps.Equal(keys, map[string]bool{"bad": true, "gone": true, "inline": true}) {
		t.Errorf("scrub: %+v", found)
	}
	r, err := b.Get(ctx, "bad", GetOptions{})
	f.ok(err)
	if _, err := io.ReadAll(r); !errors.Is(err, blob.ErrDamaged) {
		t.Errorf("reading it: %v", err)
	}
	if _, err := b.Get(ctx, "gone", GetOptions{}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("opening it: %v", err)
	}
	for _, key := range []string{"bad", "gone"} { // both can be stored anew
		f.put(b, key, []byte("new"), PutOptions{})
		f.same(b, key, []byte("new"))
	}
}

func TestBuckets(t *testing.T) {
	f := newFixture(t)
	for _, bad := range []string{"", "ab", "-ab", "ab-", "Abc", "a_b", "a b", strings.Repeat("a", 64), "a/b", "../x"} {
		_, err := f.CreateBucket(ctx, Info{Name: bad})
		f.fails(err, ErrBucketName)
	}
	_, err := f.CreateBucket(ctx, Info{Name: "abc", StorageClass: "no"})
	f.fails(err, ErrInvalidArgument)
	info, err := f.CreateBucket(ctx, Info{Name: "abc", StorageClass: InfrequentAccess, Location: "WEUR"})
	f.ok(err)
	_, err = f.CreateBucket(ctx, Info{Name: "abc"})
	f.fails(err, ErrBucketExists)
	if info != (Info{"abc", time.UnixMilli(epoch).UTC(), InfrequentAccess, "WEUR"}) {
		t.Errorf("%+v", info)
	}
	f.bucket("BINDING")
	b := f.bucket("abc")
	f.put(b, "k", []byte("x"), PutOptions{})
	f.fails(f.DeleteBucket(ctx, "abc"), ErrBucketNotEmpty)
	u, err := b.CreateMultipartUpload(ctx, "k", PutOptions{})
	f.ok(err)
	_, err = u.UploadPart(ctx, 1, bytes.NewReader(random(1, 100_000)), nil)
	f.ok(err)
	f.ok(b.Delete(ctx, "k"))
	f.ok(f.DeleteBucket(ctx, "abc"))
	f.fails(f.DeleteBucket(ctx, "abc"), ErrNoSuchBucket)
	_, err = b.Put(ctx, "k", strings.NewReader(""), PutOptions{})
	f.fails(err, ErrNoSuchBucket)
	_, err = u.UploadPart(ctx, 2, strings.NewReader("x"), nil)
	f.fails(err, ErrNoSuchBucket)
	_, err = b.List(ctx, ListOptions{})
	f.fails(err, ErrNoSuchBucket)
	if n := f.files() + f.rows(rowPart) + f.rows(rowUpload) + f.rows(rowGarbage); n != 0 {
		t.Errorf("%d files and rows are left", n)
	}
	// A new one of the name is empty.
	b = f.bucket("abc")
	if page, err := b.List(ctx, ListOptions{}); err != nil || len(page.Objects) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	list, err := f.Store.Buckets(ctx)
	f.ok(err)
	if len(list) != 2 || list[0].Name != "BINDING" || list[1].Name != "abc" {
		t.Errorf("%+v", list)
	}
}

func TestQuota(t *testing.T) {
	f := newFixture(t)
	f.reopen(Options{Quota: 100_000})
	b := f.bucket("b")
	f.put(b, "a", random(1, 60_000), PutOptions{})
	full := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "all buckets together may store 100000 bytes") {
			t.Errorf("%v", err)
		}
	}
	_, err := b.Put(ctx, "b", bytes.NewReader(random(2, 40_001)), PutOptions{})
	full(err)
	u, err := b.CreateMultipartUpload(ctx, "u", PutOptions{})
	f.ok(err)
	_, err = u.UploadPart(ctx, 1, bytes.NewReader(random(2, 40_000)), nil)
	f.ok(err)
	_, err = u.UploadPart(ctx, 2, strings.NewReader("x"), nil)
	full(err)
	f.reopen(Options{Quota: 100_000})
	b = f.bucket("b")
	_, err = b.Put(ctx, "b", strings.NewReader("x"), PutOptions{})
	full(err)
	f.ok(b.ResumeMultipartUpload("u", u.ID()).Abort(ctx))
	f.put(b, "b", random(2, 40_000), PutOptions{})
	f.ok(b.Delete(ctx, "a", "b"))
	if used := f.used.Load(); used != 0 || f.files() != 0 {
		t.Errorf("%d bytes in %d files are counted", used, f.files())
	}
}

// zeros is content that takes no memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What an object of 16 MiB takes beyond one of 1 MiB, from the first byte that is
// put to the last that is read, is next to nothing.
func TestMemoryIsFlat(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	key := random(1, ssecKeyBytes)
	takes := func(size int64, key []byte) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		u, err := b.CreateMultipartUpload(ctx, "parts", PutOptions{SSECKey: key})
		f.ok(err)
		p, err := u.UploadPart(ctx, 1, io.LimitReader(zeros{}, size), key)
		f.ok(err)
		_, err = u.Complete(ctx, []Part{p})
		f.ok(err)
		_, err = b.Put(ctx, "whole", io.LimitReader(zeros{}, size), PutOptions{SSECKey: key})
		f.ok(err)
		for _, name := range []string{"parts", "whole"} {
			r, err := b.Get(ctx, name, GetOptions{SSECKey: key})
			f.ok(err)
			n, err := io.Copy(io.Discard, r)
			f.ok(err)
			f.ok(r.Close())
			if n != size {
				t.Errorf("%s has %d bytes", name, n)
			}
		}
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	for _, key := range [][]byte{nil, key} {
		small := takes(1<<20, key)
		if large := takes(16<<20, key); large > small+1<<20 {
			t.Errorf("16 MiB allocate %d KiB, 1 MiB %d KiB", large>>10, small>>10)
		}
	}
}
