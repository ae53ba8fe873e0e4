package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, content string) *Pin {
	t.Helper()
	p, err := s.Put(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func none(Digest) (bool, error) { return false, nil }

func TestPutOpenDelete(t *testing.T) {
	s := open(t, t.TempDir())
	p := put(t, s, "hello")
	if p.Size != 5 || p.Digest.String() != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
		t.Errorf("pin: %+v", p)
	}
	if d, err := ParseDigest(p.Digest.String()); err != nil || d != p.Digest {
		t.Errorf("ParseDigest: %v %v", d, err)
	}
	f, err := s.Open(p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.Release()
	if gone, err := s.Delete(p.Digest, none); !gone || err != nil {
		t.Errorf("delete: %v %v", gone, err)
	}
	if has, _ := s.Has(p.Digest); has {
		t.Error("deleted blob is still there")
	}
	if _, err := s.Open(p.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("open of deleted blob: %v", err)
	}
	f.Seek(1, io.SeekStart)
	if rest, err := io.ReadAll(f); string(rest) != "ello" {
		t.Errorf("open blob after delete: %q %v", rest, err)
	}
}

func TestPinnedAndLiveBlobsStay(t *testing.T) {
	s := open(t, t.TempDir())
	pinned, live, dead := put(t, s, "pinned"), put(t, s, "live"), put(t, s, "dead")
	put(t, s, "pinned").Release() // one of two pins
	live.Release()
	dead.Release()
	n, err := s.Sweep(context.Background(), func(d Digest) (bool, error) { return d == live.Digest, nil })
	if n != 1 || err != nil {
		t.Errorf("sweep: %d %v, want 1 deleted", n, err)
	}
	for p, want := range map[*Pin]bool{pinned: true, live: true, dead: false} {
		if has, _ := s.Has(p.Digest); has != want {
			t.Errorf("blob %s: there %v, want %v", p.Digest, has, want)
		}
	}
	boom := errors.New("boom")
	if _, err := s.Sweep(context.Background(), func(Digest) (bool, error) { return false, boom }); !errors.Is(err, boom) {
		t.Errorf("sweep must not guess when the owner does not know: %v", err)
	}
}

func TestFailedPutAndCrashLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	boom := errors.New("boom")
	if _, err := s.Put(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("put: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, tempFolder)); len(left) != 0 {
		t.Errorf("failed put left %v", left)
	}
	os.WriteFile(filepath.Join(dir, tempFolder, "put-crashed"), []byte("half"), 0o600)
	open(t, dir)
	if left, _ := os.ReadDir(filepath.Join(dir, tempFolder)); len(left) != 0 {
		t.Errorf("open left %v", left)
	}
}
