package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

const (
	crashWriters = 8
	crashKeys    = 4 // per writer, so that values are replaced all the time
)

// crashValue is the value of the n-th write by a writer: its size, and thus
// whether it becomes a file, follows from n and the round. Every other writer
// writes the same content, so that files are shared.
func crashValue(seed uint64, writer, n int) []byte {
	h := fnv.New64a()
	fmt.Fprint(h, seed, writer/2, n)
	r := rand.New(rand.NewPCG(h.Sum64(), 0))
	size := r.IntN(200)
	if r.IntN(3) == 0 {
		size = InlineBytes + r.IntN(50_000)
	}
	return append(fmt.Appendf(nil, "%d:", n), bytes.Repeat([]byte{byte('a' + r.IntN(26))}, size)...)
}

// crashChild writes until it is killed, and tells of every write before it
// starts and after it is acknowledged.
func crashChild(args []string) error {
	dir := args[0]
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	s := crashOpen(dir)
	n, err := s.Ensure("crash")
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { // one write of few bytes is atomic on a pipe
		os.Stdout.WriteString(fmt.Sprintf(format, args...))
	}
	for w := range crashWriters {
		go func() {
			for i := 1; ; i++ {
				key := fmt.Sprintf("w%d/%d", w, i%crashKeys)
				say("start %s %d\n", key, i)
				var err error
				if i%7 == 0 {
					err = n.Delete(context.Background(), key)
				} else {
					err = n.Put(context.Background(), key, crashValue(seed, w, i), PutOptions{})
				}
				if err != nil {
					panic(err)
				}
				say("done %s %d\n", key, i)
			}
		}()
	}
	for { // files are swept while they come and go
		if _, err := s.SweepBlobs(context.Background()); err != nil {
			return err
		}
	}
}

func crashOpen(dir string) *Store {
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{MemTableBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blob"))
	if err != nil {
		panic(err)
	}
	s, err := OpenStore(db, blobs, Options{SweepInterval: -1})
	if err != nil {
		panic(err)
	}
	return s
}

// TestKillLosesNothing kills a process full of writers with SIGKILL, many
// times over the same directory: every acknowledged put and delete is there
// afterwards, or the one that was under way after it, whole.
func TestKillLosesNothing(t *testing.T) {
	crashtest.Child(crashChild)
	dir := t.TempDir()
	base := rand.Uint64()
	t.Logf("seed %d", base)
	for round := range 12 {
		seed := base + uint64(round)
		c := crashtest.Start(t, dir, fmt.Sprint(seed))
		keys := c.Writes(50 + int(seed%400)) // so many are acknowledged before the kill

		s := crashOpen(dir)
		n, err := s.Ensure("crash")
		if err != nil {
			t.Fatal(err)
		}
		for key, st := range keys {
			if st.Acked == 0 {
				continue // an earlier round's value or the first of this one
			}
			writer := int(key[1] - '0')
			got, err := n.Get(ctx, key)
			ok := false
			for _, i := range []int{st.Acked, st.Started} {
				if i%7 == 0 {
					ok = ok || errors.Is(err, ErrNotFound)
				} else {
					ok = ok || err == nil && bytes.Equal(got, crashValue(seed, writer, i))
				}
			}
			if !ok {
				t.Errorf("round %d: %s has %.40q (%d bytes, %v); write %d was acknowledged, %d started", round, key, got, len(got), err, st.Acked, st.Started)
			}
		}
		if _, err := s.SweepBlobs(ctx); err != nil {
			t.Fatal(err)
		}
		page, err := n.List(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys { // the sweep took no file that is needed
			if _, err := n.Get(ctx, k.Name); err != nil {
				t.Errorf("round %d: listed, but: %v", round, err)
			}
		}
		s.Close()
		s.db.Close()
	}
}
