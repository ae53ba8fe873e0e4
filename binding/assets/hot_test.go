package assets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

func TestHotIsBounded(t *testing.T) {
	h := newHot(10)
	for _, name := range []string{"a", "b"} {
		h.add(name, []byte("1234"))
	}
	h.find("a") // b is now the one used least
	h.add("c", []byte("1234"))
	h.add("c", []byte("1234"))
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "": false} {
		if _, ok := h.find(name); ok != want {
			t.Errorf("%q is there: %v", name, ok)
		}
	}
	if h.bytes != 8 || len(h.files) != 2 || h.used.Len() != 2 {
		t.Errorf("%d bytes, %d files, %d in order", h.bytes, len(h.files), h.used.Len())
	}
	for _, c := range []struct {
		h    *hot
		name string
		size int64
		want bool
	}{{h, "d", 10, true}, {h, "d", 11, false}, {h, "d", 0, false}, {h, "", 5, false}, {nil, "d", 5, false}, {newHot(maxHot), "d", maxHotFile, true}, {newHot(maxHot), "d", maxHotFile + 1, false}} {
		if got := c.h.takes(c.name, c.size); got != c.want {
			t.Errorf("takes(%q, %d) is %v", c.name, c.size, got)
		}
	}
}

// disk counts how often its files are opened.
type disk struct {
	content map[string]string // by path
	broken  bool
	opened  map[string]int
}

func (d *disk) Lookup(path string) (config.AssetFile, bool) {
	text, ok := d.content[path]
	return config.AssetFile{Path: path, ETag: path, Digest: "digest of " + path, Size: int64(len(text))}, ok
}

func (d *disk) Open(f config.AssetFile) (io.ReadSeekCloser, error) {
	d.opened[f.Path]++
	return diskFile{strings.NewReader(d.content[f.Path]), d.broken}, nil
}

type diskFile struct {
	*strings.Reader
	broken bool
}

var errDamaged = errors.New("damaged")

func (f diskFile) Read(p []byte) (int, error) {
	if f.broken {
		return 0, errDamaged
	}
	return f.Reader.Read(p)
}

func (diskFile) Close() error { return nil }

// A small file is read once; a large one, and one that is damaged, each time.
func TestHotFilesAreReadOnce(t *testing.T) {
	d := &disk{content: map[string]string{"/small": "small", "/large": strings.Repeat("x", maxHotFile+1), "/empty": ""}, opened: map[string]int{}}
	front, _, err := Kind{hot: newHot(maxHot)}.Front(&config.Version{Assets: &config.Assets{Files: d}})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (body string, cut bool) {
		w := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				cut = true
			}
		}()
		front(w, httptest.NewRequest("GET", path, nil), nil)
		return w.Body.String(), false
	}
	d.broken = true
	if body, cut := get("/small"); !cut || body != "" {
		t.Errorf("a damaged file is answered with %q", body)
	}
	d.broken = false
	d.opened = map[string]int{}
	for range 3 {
		for path, want := range d.content {
			if body, cut := get(path); body != want || cut {
				t.Errorf("%s: %d bytes, want %d", path, len(body), len(want))
			}
		}
	}
	if got, want := fmt.Sprint(d.opened), "map[/empty:3 /large:3 /small:1]"; got != want {
		t.Errorf("opened %s, want %s", got, want)
	}
}

// A file of a live directory is what its ETag says, also when it changes
// between the two.
func TestDirKeepsWhatItHashed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("first"))
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	read := func(f config.AssetFile) string {
		file, err := d.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		text, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first, _ := d.Lookup("/a.txt")
	write([]byte("the second"))
	if text := read(first); text != "first" {
		t.Errorf("read %q", text)
	}
	second, _ := d.Lookup("/a.txt")
	if text := read(second); text != "the second" || d.kept != 10 {
		t.Errorf("read %q, %d bytes are kept", text, d.kept)
	}
	if text := read(first); text != "the second" { // what it was is gone
		t.Errorf("read %q", text)
	}
	large := bytes.Repeat([]byte("x"), maxHotFile+1)
	write(large)
	third, _ := d.Lookup("/a.txt")
	if text := read(third); text != string(large) || d.kept != 0 {
		t.Errorf("read %d bytes, %d are kept", len(text), d.kept)
	}
	write(large[1:])
	fourth, _ := d.Lookup("/a.txt")
	if text := read(fourth); text != string(large[1:]) || d.kept != maxHotFile {
		t.Errorf("read %d bytes, %d are kept", len(text), d.kept)
	}
}
