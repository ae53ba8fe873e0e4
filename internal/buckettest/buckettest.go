// Package buckettest holds R2 buckets behind S3 servers to R2's semantics, whatever
// the server.
package buckettest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

var ctx = context.Background()

// open opens a store with one bucket that the server keeps.
func open(t *testing.T, u config.Upstream) *r2.Bucket {
	t.Helper()
	dir := t.TempDir()
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.Open(filepath.Join(dir, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r2.OpenStore(db, blobs, r2.Options{Upstreams: []config.Upstream{u}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bucket(u.Name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Run runs the suite with a bucket that a server keeps, which is empty.
func Run(t *testing.T, u config.Upstream) {
	b := open(t, u)
	for _, c := range []struct {
		name string
		test func(*testing.T, *r2.Bucket)
	}{
		{"objects", objects}, {"refused", refused}, {"ranges", ranges}, {"conditions", conditions}, {"races", races},
		{"lists", lists}, {"uploads", uploads}, {"deletes", deletes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b) })
	}
}

func random(seed uint64, size int) []byte {
	p := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p)
	return p
}

// contents are the ways in which a content may come.
func contents(p []byte) map[string]io.Reader {
	return map[string]io.Reader{
		"of known size":   r2.Sized{Reader: bytes.NewReader(p), Bytes: int64(len(p))},
		"of unknown size": io.MultiReader(bytes.NewReader(p)),
	}
}

func put(t *testing.T, b *r2.Bucket, key, content string) *r2.Object {
	t.Helper()
	o, err := b.Put(ctx, key, strings.NewReader(content), r2.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func read(t *testing.T, b *r2.Bucket, key string, o r2.GetOptions) ([]byte, *r2.Reader) {
	t.Helper()
	r, err := b.Get(ctx, key, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}

// What was put is read, with all that goes with it.
func objects(t *testing.T, b *r2.Bucket) {
	expiry, odd := int64(1_900_000_000_000), int64(1_900_000_000_123)
	sum := func(p []byte) []byte { s := md5.Sum(p); return s[:] }
	for i, o := range []r2.PutOptions{
		{},
		{HTTP: r2.HTTPMetadata{ContentType: "text/plain", ContentLanguage: "de", ContentDisposition: "inline", ContentEncoding: "br", CacheControl: "no-store", CacheExpiry: &expiry}},
		{HTTP: r2.HTTPMetadata{ContentType: "text/plain", ContentDisposition: `attachment; filename="ü.txt"`, CacheExpiry: &odd}},
		{HTTP: r2.HTTPMetadata{CacheControl: "no-store"}, Custom: map[string]string{"plain": "a b", "Upper": "1", "ü": "ö", "": "", "empty": "", "edge": " x ", "word": "=?utf-8?q?a?=", "selvage": "mine", "with_line": "a\nb"}},
	} {
		for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3 << 20} {
			content := random(uint64(size), size)
			for way, r := range contents(content) {
				name := fmt.Sprintf("folder %d/ü+&%%/%d %s", i, size, way)
				o.Checksums = r2.Checksums{MD5: sum(content)}
				stored, err := b.Put(ctx, name, r, o)
				if err != nil {
					t.Errorf("%q: %v", name, err)
					continue
				}
				got, object := read(t, b, name, r2.GetOptions{})
				if !bytes.Equal(got, content) {
					t.Errorf("%q: the content differs", name)
				}
				if stored.ETag != hex.EncodeToString(sum(content)) || stored.Size != int64(size) || len(stored.Version) != 32 || stored.StorageClass != r2.Standard ||
					!bytes.Equal(stored.Checksums.MD5, sum(content)) || !reflect.DeepEqual(stored.HTTP, o.HTTP) || !maps.Equal(stored.Custom, o.Custom) || time.Since(stored.Uploaded) > time.Hour {
					t.Errorf("%q: put says %+v", name, stored)
				}
				if !reflect.DeepEqual(&object.Object, stored) {
					t.Errorf("%q: get says %+v\nput said %+v", name, object.Object, stored)
				}
				if head, err := b.Head(ctx, name); err != nil || !reflect.DeepEqual(head, stored) {
					t.Errorf("%q: head says %+v, %v", name, head, err)
				}
			}
		}
	}
	sums := r2.Checksums{SHA1: unhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441"), SHA512: unhex("d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85"), CRC64NVME: unhex("ae8b14860a799888")}
	if _, err := b.Put(ctx, "sums", strings.NewReader("123456789"), r2.PutOptions{Checksums: sums}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(ctx, "computed", r2.Sized{Reader: bytes.NewReader(make([]byte, 1<<20)), Bytes: 1 << 20}, r2.PutOptions{Checksums: r2.Checksums{CRC32: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	if o, err := b.Head(ctx, "computed"); err != nil || hex.EncodeToString(o.Checksums.CRC32) != "a738ea1c" {
		t.Errorf("the checksum that was to be computed is %x, %v", o.Checksums.CRC32, err)
	}
	sums.MD5 = sum([]byte("123456789"))
	if o, err := b.Head(ctx, "sums"); err != nil || !reflect.DeepEqual(o.Checksums, sums) {
		t.Errorf("checksums are %+v, %v", o, err)
	}
}

func unhex(s string) []byte {
	p, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return p
}

// A refused put changes nothing.
func refused(t *testing.T, b *r2.Bucket) {
	put(t, b, "r", "old")
	cut := errors.New("cut off")
	wrong := bytes.Repeat([]byte{1}, 48)
	large := random(1, 2<<20)
	for name, c := range map[string]struct {
		r    io.Reader
		o    r2.PutOptions
		want error
	}{
		"small digest":       {strings.NewReader("new"), r2.PutOptions{Checksums: r2.Checksums{SHA384: wrong}}, r2.ErrBadDigest},
		"large digest":       {bytes.NewReader(large), r2.PutOptions{Checksums: r2.Checksums{SHA384: wrong}}, r2.ErrBadDigest},
		"streamed digest":    {r2.Sized{Reader: bytes.NewReader(large), Bytes: 2 << 20}, r2.PutOptions{Checksums: r2.Checksums{SHA384: wrong}}, r2.ErrBadDigest},
		"too short":          {r2.Sized{Reader: bytes.NewReader(large), Bytes: 3 << 20}, r2.PutOptions{}, r2.ErrInvalidArgument},
		"too long":           {r2.Sized{Reader: bytes.NewReader(large), Bytes: 1 << 20}, r2.PutOptions{}, r2.ErrInvalidArgument},
		"small and short":    {r2.Sized{Reader: strings.NewReader("new"), Bytes: 9}, r2.PutOptions{}, r2.ErrInvalidArgument},
		"cut off":            {io.MultiReader(bytes.NewReader(large), failing{cut}), r2.PutOptions{}, cut},
		"streamed, cut off":  {r2.Sized{Reader: io.MultiReader(bytes.NewReader(large), failing{cut}), Bytes: 3 << 20}, r2.PutOptions{}, cut},
		"too large":          {r2.Sized{Reader: failing{cut}, Bytes: r2.MaxPutBytes + 1}, r2.PutOptions{}, r2.ErrTooLarge},
		"key of a customer":  {strings.NewReader("new"), r2.PutOptions{SSECKey: make([]byte, 32)}, r2.ErrInvalidArgument},
		"metadata":           {strings.NewReader("new"), r2.PutOptions{Custom: map[string]string{"k": strings.Repeat("x", 9000)}}, r2.ErrMetadataTooLarge},
		"condition":          {strings.NewReader("new"), r2.PutOptions{OnlyIf: &r2.Conditional{ETagMatches: []r2.ETag{{Value: "x"}}}}, r2.ErrPreconditionFailed},
		"streamed condition": {r2.Sized{Reader: bytes.NewReader(large), Bytes: 2 << 20}, r2.PutOptions{OnlyIf: &r2.Conditional{ETagDoesNotMatch: []r2.ETag{{Any: true}}}}, r2.ErrPreconditionFailed},
	} {
		if _, err := b.Put(ctx, "r", c.r, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if got, _ := read(t, b, "r", r2.GetOptions{}); string(got) != "old" {
			t.Errorf("%s: the content is %.20q", name, got)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func ranges(t *testing.T, b *r2.Bucket) {
	content := random(7, 600_000)
	if _, err := b.Put(ctx, "ranges", bytes.NewReader(content), r2.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	n := func(v int64) *int64 { return &v }
	for _, c := range []struct {
		r              *r2.Range
		header         string
		offset, length int64
		err            error
	}{
		{nil, "bytes=0-0", 0, 1, nil},
		{nil, "bytes=599999-", 599_999, 1, nil},
		{nil, "bytes=600000-", 0, 600_000, nil},
		{nil, "bytes=-10", 599_990, 10, nil},
		{nil, "lines=1-2", 0, 600_000, nil},
		{&r2.Range{Offset: n(100)}, "", 100, 599_900, nil},
		{&r2.Range{Offset: n(100), Length: n(5)}, "", 100, 5, nil},
		{&r2.Range{Length: n(1 << 40)}, "", 0, 600_000, nil},
		{&r2.Range{Suffix: n(1 << 40)}, "", 0, 600_000, nil},
		{&r2.Range{Offset: n(600_001)}, "", 0, 0, r2.ErrInvalidRange},
		{&r2.Range{Length: n(0)}, "", 0, 0, r2.ErrInvalidRange},
	} {
		name := fmt.Sprintf("%+v %s", c.r, c.header)
		r, err := b.Get(ctx, "ranges", r2.GetOptions{Range: c.r, RangeHeader: c.header})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if err != nil {
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || r.Offset != c.offset || r.Length != c.length || r.Size != 600_000 || !bytes.Equal(got, content[c.offset:c.offset+c.length]) {
			t.Errorf("%s: %d bytes, offset %d, length %d, %v", name, len(got), r.Offset, r.Length, err)
		}
		r.Close()
	}
	if _, err := b.Get(ctx, "missing", r2.GetOptions{}); !errors.Is(err, r2.ErrNoSuchKey) {
		t.Errorf("missing: %v", err)
	}
	if _, err := b.Get(ctx, "missing", r2.GetOptions{RangeHeader: "bytes=0-1"}); !errors.Is(err, r2.ErrNoSuchKey) {
		t.Errorf("missing: %v", err)
	}
}

func conditions(t *testing.T, b *r2.Bucket) {
	o := put(t, b, "c", "one")
	is, other, any := []r2.ETag{{Value: o.ETag}}, []r2.ETag{{Value: "x"}}, []r2.ETag{{Any: true}}
	for name, c := range map[string]struct {
		key   string
		c     r2.Conditional
		holds bool
	}{
		"matches":             {"c", r2.Conditional{ETagMatches: is}, true},
		"does not match":      {"c", r2.Conditional{ETagMatches: other}, false},
		"no other":            {"c", r2.Conditional{ETagDoesNotMatch: other}, true},
		"new":                 {"c", r2.Conditional{ETagDoesNotMatch: any}, false},
		"before":              {"c", r2.Conditional{UploadedBefore: o.Uploaded.Add(time.Hour)}, true},
		"not before":          {"c", r2.Conditional{UploadedBefore: o.Uploaded}, false},
		"after":               {"c", r2.Conditional{UploadedAfter: o.Uploaded.Add(-time.Hour)}, true},
		"nothing new":         {"none", r2.Conditional{ETagDoesNotMatch: any}, true},
		"nothing that is so":  {"none", r2.Conditional{ETagMatches: any}, false},
		"nothing came before": {"none", r2.Conditional{UploadedBefore: o.Uploaded}, true},
	} {
		if c.key == "c" {
			r, err := b.Get(ctx, "c", r2.GetOptions{OnlyIf: &c.c})
			if c.holds != (err == nil) || !c.holds && !errors.Is(err, r2.ErrPreconditionFailed) || r == nil || r.ETag != o.ETag {
				t.Errorf("%s: get: %v", name, err)
			}
			if r != nil {
				r.Close()
			}
		}
		_, err := b.Put(ctx, c.key, strings.NewReader("one"), r2.PutOptions{OnlyIf: &c.c})
		if c.holds != (err == nil) || !c.holds && !errors.Is(err, r2.ErrPreconditionFailed) {
			t.Errorf("%s: put: %v", name, err)
		}
		if err := b.Delete(ctx, "none"); err != nil {
			t.Error(err)
		}
	}
}

// Of many that write where nothing is, or what they have seen, one wins each time.
func races(t *testing.T, b *r2.Bucket) {
	tag := ""
	for round := range 10 {
		c := &r2.Conditional{ETagDoesNotMatch: []r2.ETag{{Any: true}}}
		if tag != "" {
			c = &r2.Conditional{ETagMatches: []r2.ETag{{Value: tag}}}
		}
		var won []string
		var mu sync.Mutex
		var group sync.WaitGroup
		for writer := range 8 {
			group.Go(func() {
				o, err := b.Put(ctx, "raced", strings.NewReader(fmt.Sprint(round, writer)), r2.PutOptions{OnlyIf: c})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, o.ETag)
				} else if !errors.Is(err, r2.ErrPreconditionFailed) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		group.Wait()
		o, err := b.Head(ctx, "raced")
		if err != nil {
			t.Fatal(err)
		}
		if len(won) != 1 || o.ETag != won[0] {
			t.Fatalf("round %d: %v won, and %s is there", round, won, o.ETag)
		}
		tag = o.ETag
	}
}

func lists(t *testing.T, b *r2.Bucket) {
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("list/%c/%02d &+%%ü", 'a'+i%5, i)
		put(t, b, key, "x")
		want = append(want, key)
	}
	put(t, b, "list/é", "x")
	slices.Sort(want)
	want = append(want, "list/é")
	if _, err := b.Put(ctx, "list/a/meta", strings.NewReader("x"), r2.PutOptions{HTTP: r2.HTTPMetadata{ContentType: "text/css"}, Custom: map[string]string{"K": "v"}}); err != nil {
		t.Fatal(err)
	}
	want = slices.Insert(want, 5, "list/a/meta")
	for _, c := range []struct {
		o    r2.ListOptions
		want []string
	}{
		{r2.ListOptions{Prefix: "list/"}, want},
		{r2.ListOptions{Prefix: "list/", StartAfter: want[3]}, want[4:]},
		{r2.ListOptions{Prefix: "list/b"}, want[6:11]},
		{r2.ListOptions{Prefix: "list/", Delimiter: "/"}, []string{"list/a/", "list/b/", "list/c/", "list/d/", "list/e/", "list/é"}},
		{r2.ListOptions{Prefix: "none/"}, nil},
	} {
		for _, limit := range []int{1, 2, 7, 0} {
			c.o.Limit, c.o.Cursor = limit, ""
			var got []string
			for {
				page, err := b.List(ctx, c.o)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(page.Objects) + len(page.Prefixes); limit > 0 && n > limit {
					t.Errorf("%+v: a page has %d", c.o, n)
				}
				for _, o := range page.Objects {
					got = append(got, o.Key)
					if o.Size != 1 || o.ETag != "9dd4e461268c8034f5c8564e155c67a6" {
						t.Errorf("%+v: %+v", c.o, o)
					}
				}
				got = append(got, page.Prefixes...)
				if c.o.Cursor = page.Cursor; page.Cursor == "" {
					break
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%+v: %q\nwant %q", c.o, got, c.want)
			}
		}
	}
	page, err := b.List(ctx, r2.ListOptions{Prefix: "list/a/", IncludeHTTP: true, IncludeCustom: true})
	if err != nil || len(page.Objects) != 6 {
		t.Fatalf("%+v, %v", page, err)
	}
	if o := page.Objects[5]; o.HTTP.ContentType != "text/css" || o.Custom["K"] != "v" {
		t.Errorf("%+v", o)
	}
	head, err := b.Head(ctx, page.Objects[5].Key)
	if err != nil || !reflect.DeepEqual(head, page.Objects[5]) {
		t.Errorf("head says %+v, and the list %+v", head, page.Objects[5])
	}
}

func uploads(t *testing.T, b *r2.Bucket) {
	begin := func(o r2.PutOptions) *r2.Upload {
		u, err := b.CreateMultipartUpload(ctx, "upload", o)
		if err != nil {
			t.Fatal(err)
		}
		return b.ResumeMultipartUpload("upload", u.ID())
	}
	part := func(u *r2.Upload, number, size int) r2.Part {
		p := random(uint64(number), size)
		made, err := u.UploadPart(ctx, number, r2.Sized{Reader: bytes.NewReader(p), Bytes: int64(size)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	options := r2.PutOptions{HTTP: r2.HTTPMetadata{ContentType: "text/plain"}, Custom: map[string]string{"K": "v"}}
	u := begin(options)
	second, first, third := part(u, 2, 5<<20), part(u, 1, 5<<20), part(u, 3, 100)
	wrong := part(u, 4, 6<<20)
	for name, c := range map[string]struct {
		parts []r2.Part
		want  error
	}{
		"missing":     {[]r2.Part{first, {Number: 9, ETag: first.ETag}}, r2.ErrInvalidPart},
		"another tag": {[]r2.Part{{Number: 1, ETag: second.ETag}}, r2.ErrInvalidPart},
		"too small":   {[]r2.Part{third, wrong}, r2.ErrPartTooSmall},
		"unequal":     {[]r2.Part{first, wrong}, r2.ErrBadUpload},
		"twice":       {[]r2.Part{first, first}, r2.ErrInvalidArgument},
	} {
		if _, err := u.Complete(ctx, c.parts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var numbers []int
	var sizes []int64
	if _, err := u.EachPart(ctx, 2, func(p r2.PartInfo) bool {
		numbers, sizes = append(numbers, p.Number), append(sizes, p.Size)
		return len(numbers) < 2
	}); err != nil || !slices.Equal(numbers, []int{2, 3}) || !slices.Equal(sizes, []int64{5 << 20, 100}) {
		t.Errorf("parts %v of %v bytes, %v", numbers, sizes, err)
	}
	another := begin(r2.PutOptions{})
	var ids []string
	err := b.EachUpload(ctx, r2.ListUploadsOptions{Prefix: "up"}, func(u *r2.UploadInfo, _ string) bool {
		ids = append(ids, u.ID)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{u.ID(), another.ID()}; len(ids) != 2 || !slices.Contains(ids, want[0]) || !slices.Contains(ids, want[1]) {
		t.Errorf("the uploads are %q, not %q", ids, want)
	}
	if err := another.Abort(ctx); err != nil {
		t.Error(err)
	}
	o, err := u.Complete(ctx, []r2.Part{third, first, second})
	if err != nil {
		t.Fatal(err)
	}
	content := slices.Concat(random(1, 5<<20), random(2, 5<<20), random(3, 100))
	got, r := read(t, b, "upload", r2.GetOptions{})
	sums := md5.New()
	for _, p := range []r2.Part{first, second, third} {
		sums.Write(unhex(p.ETag))
	}
	if !bytes.Equal(got, content) || o.ETag != hex.EncodeToString(sums.Sum(nil))+"-3" || o.Size != int64(len(content)) || !reflect.DeepEqual(o.HTTP, options.HTTP) || !maps.Equal(o.Custom, options.Custom) || o.Checksums.MD5 != nil {
		t.Errorf("%d bytes of %+v", len(got), o)
	}
	if !reflect.DeepEqual(&r.Object, o) {
		t.Errorf("get says %+v, complete said %+v", r.Object, o)
	}
	got, r = read(t, b, "upload", r2.GetOptions{Part: 2})
	if !bytes.Equal(got, random(2, 5<<20)) || r.Parts != 3 || r.Offset != 5<<20 {
		t.Errorf("part 2 has %d bytes at %d, of %d parts", len(got), r.Offset, r.Parts)
	}
	if _, err := b.Get(ctx, "upload", r2.GetOptions{Part: 4}); !errors.Is(err, r2.ErrInvalidRange) {
		t.Errorf("part 4: %v", err)
	}
	if _, err := u.UploadPart(ctx, 1, strings.NewReader("x"), nil); !errors.Is(err, r2.ErrNoSuchUpload) {
		t.Errorf("a part of a complete upload: %v", err)
	}
	u = begin(r2.PutOptions{})
	part(u, 1, 100)
	if err := errors.Join(u.Abort(ctx), u.Abort(ctx)); err != nil {
		t.Error(err)
	}
	if _, err := u.Complete(ctx, []r2.Part{first}); !errors.Is(err, r2.ErrNoSuchUpload) {
		t.Errorf("complete after abort: %v", err)
	}
}

func deletes(t *testing.T, b *r2.Bucket) {
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("delete/%d &ü", i))
		put(t, b, keys[i], "x")
	}
	if err := b.Delete(ctx, keys[0]); err != nil {
		t.Error(err)
	}
	if err := b.Delete(ctx, append(keys, "delete/none")...); err != nil {
		t.Error(err)
	}
	if page, err := b.List(ctx, r2.ListOptions{Prefix: "delete/"}); err != nil || len(page.Objects) > 0 {
		t.Errorf("%+v, %v", page, err)
	}
}
