package r2

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMultipart(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	f.put(b, "k", random(9, 50_000), PutOptions{})
	u, err := b.CreateMultipartUpload(ctx, "k", PutOptions{Custom: map[string]string{"a": "b"}, HTTP: HTTPMetadata{ContentType: "x/y"}, StorageClass: InfrequentAccess})
	f.ok(err)
	part := func(number int, content []byte) Part {
		t.Helper()
		p, err := u.UploadPart(ctx, number, bytes.NewReader(content), nil)
		f.ok(err)
		if p.ETag != fmt.Sprintf("%x", md5.Sum(content)) {
			t.Errorf("the tag of part %d is %s", number, p.ETag)
		}
		return p
	}
	one, two := random(1, 70_000), random(2, 70_000)
	last := []byte("last")
	part(7, random(8, 70_000)) // replaced by the next
	p7, p2, p9 := part(7, two), part(2, one), part(9, last)
	p3 := part(3, random(3, 90_000)) // not used
	part(4, []byte("tiny"))
	f.same(b, "k", random(9, 50_000))

	for name, c := range map[string]struct {
		parts []Part
		want  *Error
	}{
		"unknown number": {[]Part{{1, p2.ETag}}, ErrInvalidPart},
		"other's tag":    {[]Part{{2, p7.ETag}}, ErrInvalidPart},
		"no such number": {[]Part{{0, p2.ETag}}, ErrInvalidPart},
		"too far":        {[]Part{{65538, p2.ETag}}, ErrInvalidPart},
		"twice":          {[]Part{p2, p2}, ErrInvalidArgument},
		"too small":      {[]Part{{4, fmt.Sprintf("%x", md5.Sum([]byte("tiny")))}, p7}, ErrPartTooSmall},
		"other size":     {[]Part{p2, p3, p7}, ErrBadUpload},
		"larger last":    {[]Part{p2, p3}, ErrBadUpload},
	} {
		_, err := u.Complete(ctx, c.parts)
		if f.fails(err, c.want); err == nil {
			t.Fatal(name)
		}
	}
	f.reopen(Options{})
	b = f.bucket("b")
	u = b.ResumeMultipartUpload("k", u.ID())
	o, err := u.Complete(ctx, []Part{p9, {p2.Number, `"` + strings.ToUpper(p2.ETag) + `"`}, p7})
	f.ok(err)
	a, z, l := md5.Sum(one), md5.Sum(two), md5.Sum(last)
	etag := fmt.Sprintf("%x-3", md5.Sum(append(append(a[:], z[:]...), l[:]...)))
	if o.ETag != etag || o.Size != 140_004 || o.Custom["a"] != "b" || o.HTTP.ContentType != "x/y" || o.StorageClass != InfrequentAccess || o.Checksums.MD5 != nil {
		t.Errorf("%+v", o)
	}
	f.same(b, "k", append(append(one, two...), last...))
	if n := f.rows(rowPart); n != 3 || f.files() != 2 || f.rows(rowUpload) != 0 {
		t.Errorf("%d parts, %d files", n, f.files())
	}
	_, err = u.Complete(ctx, nil)
	f.fails(err, ErrNoSuchUpload)
	_, err = u.UploadPart(ctx, 1, strings.NewReader("x"), nil)
	f.fails(err, ErrNoSuchUpload)
	f.ok(u.Abort(ctx)) // which ends nothing
	f.same(b, "k", append(append(one, two...), last...))
	f.put(b, "k", []byte("whole"), PutOptions{})
	if n := f.rows(rowPart); n != 1 || f.files() != 0 {
		t.Errorf("%d parts, %d files after it was replaced", n, f.files())
	}

	for _, id := range []string{"", "x", strings.Repeat("A", 22), "../.."} {
		_, err := b.ResumeMultipartUpload("k", id).UploadPart(ctx, 1, strings.NewReader(""), nil)
		f.fails(err, ErrNoSuchUpload)
	}
	u, err = b.CreateMultipartUpload(ctx, "k", PutOptions{})
	f.ok(err)
	_, err = b.ResumeMultipartUpload("other", u.ID()).UploadPart(ctx, 1, strings.NewReader(""), nil)
	f.fails(err, ErrNoSuchUpload)
	for _, number := range []int{-1, 0, MaxParts + 1} {
		_, err := u.UploadPart(ctx, number, strings.NewReader(""), nil)
		f.fails(err, ErrInvalidArgument)
	}
	o, err = u.Complete(ctx, nil)
	f.ok(err)
	if o.Size != 0 || o.ETag != "d41d8cd98f00b204e9800998ecf8427e-0" {
		t.Errorf("of no parts: %+v", o)
	}
	f.same(b, "k", nil)
}

// Uploads that nobody completes are aborted by the sweep.
func TestOldUploads(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	begin := func(key string) *Upload {
		u, err := b.CreateMultipartUpload(ctx, key, PutOptions{})
		f.ok(err)
		_, err = u.UploadPart(ctx, 1, bytes.NewReader(random(1, 70_000)), nil)
		f.ok(err)
		return u
	}
	old := begin("old\x00")
	f.clock.Add(time.Hour.Milliseconds())
	young := begin("young")
	f.clock.Add((UploadLifetime - time.Hour).Milliseconds())
	_, err := f.Sweep(ctx)
	f.ok(err)
	_, err = old.Complete(ctx, nil)
	f.fails(err, ErrNoSuchUpload)
	if f.rows(rowPart) != 1 || f.files() != 1 {
		t.Errorf("%d parts, %d files", f.rows(rowPart), f.files())
	}
	f.ok(young.Abort(ctx))
	if f.rows(rowPart)+f.files()+f.rows(rowUpload) != 0 {
		t.Error("parts are left")
	}
}

// Parts come at the same time as the upload is completed or aborted: what does not
// make it into the object is gone.
func TestUploadRaces(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	for round := range 10 {
		u, err := b.CreateMultipartUpload(ctx, "k", PutOptions{})
		f.ok(err)
		first, err := u.UploadPart(ctx, 1, bytes.NewReader(random(1, 40_000)), nil)
		f.ok(err)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() { u.UploadPart(ctx, 2+i, bytes.NewReader(random(uint64(2+i), 40_000)), nil) })
		}
		all.Go(func() {
			if round%2 == 0 {
				_, err = u.Complete(ctx, []Part{first})
			} else {
				err = u.Abort(ctx)
			}
		})
		all.Wait()
		f.ok(err)
	}
	if n := f.rows(rowPart); n != 1 || f.files() != 1 || f.rows(rowGarbage) != 0 {
		t.Errorf("%d parts, %d files", n, f.files())
	}
	f.same(b, "k", random(1, 40_000))
}
