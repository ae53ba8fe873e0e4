package r2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/selvage-edge/selvage/internal/crashtest"
)

const (
	crashWriters = 6
	crashKeys    = 3 // per writer, so that objects are replaced all the time
)

// crashContent is what the n-th write by a writer stores: nil for a delete, one
// piece for a put, several for an upload in parts. Every other writer writes the
// same, so that files are shared.
func crashContent(round uint64, writer, n int) [][]byte {
	r := rand.New(rand.NewPCG(round, uint64(writer/2*1_000_000+n)))
	if n%7 == 0 {
		return nil
	}
	size := r.IntN(200)
	if r.IntN(2) == 0 {
		size = InlineBytes + r.IntN(20_000)
	}
	if n%3 != 0 {
		return [][]byte{random(r.Uint64(), size)}
	}
	size = 1000 + size
	return [][]byte{random(r.Uint64(), size), random(r.Uint64(), size), random(r.Uint64(), 1+r.IntN(size))}
}

// crashWrite does the n-th write.
func crashWrite(b *Bucket, key string, round uint64, writer, n int) error {
	pieces := crashContent(round, writer, n)
	switch len(pieces) {
	case 0:
		return b.Delete(ctx, key)
	case 1:
		_, err := b.Put(ctx, key, bytes.NewReader(pieces[0]), PutOptions{})
		return err
	}
	u, err := b.CreateMultipartUpload(ctx, key, PutOptions{})
	if err != nil {
		return err
	}
	var parts []Part
	for i, piece := range pieces {
		p, err := u.UploadPart(ctx, i+1, bytes.NewReader(piece), nil)
		if err != nil {
			return err
		}
		parts = append(parts, p)
	}
	if n%2 == 0 {
		// A part that the object does not have.
		if _, err := u.UploadPart(ctx, 9, bytes.NewReader(pieces[0]), nil); err != nil {
			return err
		}
	}
	_, err = u.Complete(ctx, parts)
	return err
}

// crashChild writes until it is killed, and tells of every write before it
// starts and after it is acknowledged. Uploads are aborted and garbage is swept
// meanwhile.
func crashChild(args []string) error {
	round, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	t := new(childTB)
	_, _, s := openStore(t, args[0], Options{})
	b, err := s.Ensure("crash")
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { // one write of few bytes is atomic on a pipe
		os.Stdout.WriteString(fmt.Sprintf(format, args...))
	}
	for w := range crashWriters {
		go func() {
			for n := 1; ; n++ {
				key := fmt.Sprintf("w%d/%d", w, n%crashKeys)
				say("start %s %d\n", key, n)
				if err := crashWrite(b, key, round, w, n); err != nil {
					panic(err)
				}
				say("done %s %d\n", key, n)
			}
		}()
	}
	go func() {
		for i := uint64(0); ; i++ {
			u, err := b.CreateMultipartUpload(ctx, "aborted", PutOptions{})
			if err == nil {
				_, err = u.UploadPart(ctx, 1, bytes.NewReader(random(i%5, InlineBytes+1000)), nil)
			}
			if err == nil && i%2 == 0 {
				err = u.Abort(ctx)
			}
			if err != nil {
				panic(err)
			}
		}
	}()
	for {
		if _, err := s.Sweep(ctx); err != nil {
			return err
		}
	}
}

// childTB is what openStore needs outside of a test.
type childTB struct{ testing.TB }

func (*childTB) Helper()           {}
func (*childTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// TestKillLosesNothing kills a process full of writers with SIGKILL, many times
// over the same directory: every acknowledged put, upload and delete is there
// afterwards, or the one that was under way after it, whole; no sweep has taken
// what is needed; and what nothing needs is gone after one.
func TestKillLosesNothing(t *testing.T) {
	crashtest.Child(crashChild)
	dir := t.TempDir()
	base := rand.Uint64()
	t.Logf("seed %d", base)
	for round := range uint64(8) {
		round += base
		c := crashtest.Start(t, dir, fmt.Sprint(round))
		keys := c.Writes(20 + int(round%150)) // so many are acknowledged before the kill

		db, _, s := openStore(t, dir, Options{})
		f := &fixture{t: t, dir: dir, db: db, Store: s}
		b := f.bucket("crash")
		for key, st := range keys {
			if st.Acked == 0 {
				continue // an earlier round's object or the first of this one
			}
			var got []byte
			r, err := b.Get(ctx, key, GetOptions{})
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			ok := false
			for _, n := range []int{st.Acked, st.Started} {
				if want := crashContent(round, int(key[1]-'0'), n); want == nil {
					ok = ok || errors.Is(err, ErrNoSuchKey)
				} else {
					ok = ok || err == nil && bytes.Equal(got, bytes.Join(want, nil))
				}
			}
			if !ok {
				t.Errorf("round %d: %s has %d bytes (%v); write %d was acknowledged, %d started", round, key, len(got), err, st.Acked, st.Started)
			}
		}
		f.noGarbage(b)
		f.ok(db.Close())
	}
}

// noGarbage aborts all uploads, sweeps, and compares what is there with what is
// needed.
func (f *fixture) noGarbage(b *Bucket) {
	f.t.Helper()
	var uploads []*Upload
	f.ok(local{b}.eachUpload(func(key string, id contentID, _ uploadRow) bool {
		uploads = append(uploads, b.ResumeMultipartUpload(key, id.uploadID()))
		return true
	}))
	for _, u := range uploads {
		f.ok(u.Abort(ctx))
	}
	_, err := f.Sweep(ctx)
	f.ok(err)
	found, err := f.Scrub(ctx)
	f.ok(err)
	if found.Count > 0 {
		f.t.Errorf("damaged: %+v", found.Damaged)
	}
	page, err := b.List(ctx, ListOptions{})
	f.ok(err)
	files, parts := map[string]bool{}, 0
	for _, o := range page.Objects {
		f.ok(f.parts(o.content, 0, func(_ uint16, p part) bool {
			if parts++; p.form == partBlob {
				files[p.digest.String()] = true
			}
			return true
		}))
	}
	if f.files() != len(files) || f.rows(rowPart) != parts || f.rows(rowGarbage) != 0 || f.rows(rowPartNote) != 0 {
		f.t.Errorf("%d notes, %d files and %d parts, of which %d and %d are needed", f.rows(rowPartNote), f.files(), f.rows(rowPart), len(files), parts)
	}
}
