package capture

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// FuzzHistory reads any bytes as a history: no panic, no memory in proportion to
// what they claim, and what is rebuilt has the pages that its list says.
func FuzzHistory(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "history")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var heads []record
		end, err := eachRecord(bytes.NewReader(data), int64(len(data)), func(r *record) (bool, error) {
			heads = append(heads, *r)
			if again, err := decodeHead(r.encode(), r.at, int64(len(data))); err != nil || again != *r {
				t.Errorf("%+v, again %+v, %v", *r, again, err)
			}
			return true, nil
		})
		if err != nil || end > int64(len(data)) {
			t.Fatalf("end %d of %d, %v", end, len(data), err)
		}
		h := New(filepath.Join(dir, "none"), file, Options{})
		for _, r := range heads {
			path := filepath.Join(dir, "rebuilt")
			if h.Rebuild(context.Background(), r.bookmark, path) != nil {
				continue
			}
			info, err := os.Stat(path)
			if err != nil || info.Size() != int64(r.pages)*int64(r.page) {
				t.Errorf("%d pages of %d bytes became a file of %d, %v", r.pages, r.page, info.Size(), err)
			}
		}
	})
}

// FuzzLook reads any bytes as a database with its log.
func FuzzLook(f *testing.F) {
	f.Fuzz(func(t *testing.T, db, wal, index []byte) {
		path := filepath.Join(t.TempDir(), "object.sqlite")
		for suffix, data := range map[string][]byte{"": db, "-wal": wal, "-shm": index} {
			if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		v, err := look(path, 1<<20)
		if err != nil {
			return
		}
		defer v.close()
		v.valid()
		if int64(v.pages)*int64(v.page) > int64(len(db)+len(wal)) {
			t.Errorf("%d pages of %d bytes in %d and %d", v.pages, v.page, len(db), len(wal))
		}
		b := make([]byte, int(v.pages)*v.page)
		if v.pages > 0 {
			if err := v.read(1, b); err != nil {
				t.Error(err)
			}
		}
	})
}
