package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// Whoever reads a whole blob gets what was stored or an error that names it; a
// range is given as it is.
func TestDamage(t *testing.T) {
	content := strings.Repeat("0123456789", 10_000)
	for _, c := range []struct {
		name string
		harm func(string) string
	}{
		{"a byte differs", func(s string) string { return s[:50_000] + "x" + s[50_001:] }},
		{"the last byte differs", func(s string) string { return s[:len(s)-1] + "x" }},
		{"cut off", func(s string) string { return s[:60_000] }},
		{"emptied", func(string) string { return "" }},
		{"longer", func(s string) string { return s + "x" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			p := put(t, s, content)
			defer p.Release()
			if err := os.WriteFile(s.path(p.Digest), []byte(c.harm(content)), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := s.Open(p.Digest)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			check := func(how string, err error) {
				t.Helper()
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), p.Digest.String()) {
					t.Errorf("%s: %v, want ErrDamaged with the digest", how, err)
				}
			}
			_, err = io.ReadAll(r)
			check("read to the end", err)
			// As http.ServeContent does it: the size, the beginning, that many bytes.
			size, err := r.Seek(0, io.SeekEnd)
			if err != nil {
				t.Fatal(err)
			}
			r.Seek(0, io.SeekStart)
			if size > 0 {
				_, err = io.CopyN(io.Discard, r, size)
				check("read as many bytes as there are", err)
			}
			if size > 10 {
				r.Seek(5, io.SeekStart)
				if part, err := io.ReadAll(io.LimitReader(r, 5)); err != nil || string(part) != "56789" {
					t.Errorf("a range: %q, %v", part, err)
				}
			}
		})
	}
}

// However it is read, an undamaged blob is given whole, also if it is empty.
func TestReader(t *testing.T) {
	s := open(t, t.TempDir())
	for _, content := range []string{"", "a", strings.Repeat("0123456789", 1000)} {
		p := put(t, s, content)
		r, err := s.Open(p.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, []byte(content)); err != nil {
			t.Errorf("%d bytes: %v", len(content), err)
		}
		r.Close()
		p.Release()
	}
}

// A sweep leaves alone what is young, and everything while it is told to.
func TestSpare(t *testing.T) {
	s := open(t, t.TempDir())
	young, old := put(t, s, "young"), put(t, s, "old")
	young.Release()
	old.Release()
	hours := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(s.path(old.Digest), hours, hours); err != nil {
		t.Fatal(err)
	}
	sweep := func(want int) {
		t.Helper()
		if n, err := s.Sweep(context.Background(), none); n != want || err != nil {
			t.Errorf("swept %d, %v; want %d", n, err, want)
		}
	}
	s.Spare(time.Now().Add(time.Hour), time.Hour)
	sweep(0)
	s.Spare(time.Now().Add(-time.Second), time.Hour)
	sweep(1)
	if has, _ := s.Has(young.Digest); !has {
		t.Error("the young blob is gone")
	}
	s.Spare(time.Time{}, 0)
	sweep(1)
}

// taker is an io.Writer that a file can be given to.
type taker struct {
	strings.Builder
	files int
}

func (t *taker) ReadFrom(r io.Reader) (int64, error) {
	t.files++
	return io.Copy(&t.Builder, r)
}

// A whole blob is given as a file, which nobody looks at, for an hour after it was
// seen to be right; a part of one always.
func TestSendTo(t *testing.T) {
	content := strings.Repeat("0123456789", 10_000)
	s := open(t, t.TempDir())
	clock := time.Now()
	s.now = func() time.Time { return clock }
	p := put(t, s, content)
	defer p.Release()
	send := func(offset, n int64) (*taker, error) {
		t.Helper()
		r, err := s.Open(p.Digest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if offset > 0 {
			r.Seek(offset, io.SeekStart)
		}
		var to taker
		sent, err := r.SendTo(&to, n)
		if int64(to.Len()) != sent {
			t.Errorf("%d bytes came, and %d are said", to.Len(), sent)
		}
		return &to, err
	}
	all := int64(len(content))
	for _, c := range []struct {
		name      string
		after     time.Duration
		offset, n int64
		files     int
	}{
		{"as it was put", 0, 0, all, 1},
		{"a moment before the hour is over", trust - 1, 0, all, 1},
		{"after it", 1, 0, all, 0},
		{"seen again by that", 0, 0, all, 1},
		{"a range", trust, 5, 10, 1},
		{"the beginning", 0, 0, 10, 1},
		{"to the end", 0, 5, all, 1},
		{"nothing of it", 0, 5, -1, 1},
	} {
		clock = clock.Add(c.after)
		to, err := send(c.offset, c.n)
		if want := content[c.offset : c.offset+max(min(c.n, all-c.offset), 0)]; err != nil || to.String() != want || to.files != c.files {
			t.Errorf("%s: %d bytes, %d files, %v", c.name, to.Len(), to.files, err)
		}
	}
	if err := os.WriteFile(s.path(p.Digest), []byte(content[1:]+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.path(p.Digest), clock, clock.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(-2 * trust) // so that it was seen a moment ago
	if _, err := send(0, all); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that was written since: %v", err)
	}
}
