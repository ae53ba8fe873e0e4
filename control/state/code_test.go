package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

// Static files count against a Worker's quota as modules do, each content once
// however many paths and versions have it. What is refused leaves nothing behind.
func TestWorkerQuotaCountsAssets(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.each = 100
	add := func(module int, assets map[string]int) error {
		return s.Update(t.Context(), func(tx *Tx) error {
			if err := tx.PutWorker(&Worker{Name: "site"}); err != nil {
				return err
			}
			content := func(size int) (digest string, bytes int64, err error) {
				pin, err := s.PutBlob(strings.NewReader(strings.Repeat("x", size)))
				if err != nil {
					return "", 0, err
				}
				defer pin.Release()
				return pin.Digest.String(), pin.Size, nil
			}
			v := Version{Worker: "site"}
			if module > 0 {
				digest, size, err := content(module)
				if err != nil {
					return err
				}
				v.MainModule, v.Modules = "index.js", []Module{{Name: "index.js", Type: config.ESModule, Digest: digest, Size: size}}
			}
			if len(assets) > 0 {
				paths, files := map[string]string{}, []AssetFile{}
				for path, size := range assets {
					digest, bytes, err := content(size)
					if err != nil {
						return err
					}
					paths[path] = fmt.Sprint("h", size)
					files = append(files, AssetFile{Hash: paths[path], Digest: digest, Size: bytes})
				}
				session, _, err := tx.StartAssets("site", paths)
				if err != nil {
					return err
				}
				if _, err := tx.AddAssets(session.ID, files); err != nil {
					return err
				}
				v.Assets = &AssetsUse{Manifest: NewID()}
				if err := tx.AddManifest(v.Assets.Manifest, "site", session); err != nil {
					return err
				}
			}
			return tx.AddVersion(&v)
		})
	}
	for _, test := range []struct {
		name    string
		module  int
		assets  map[string]int
		refused bool
		want    int64 // afterwards
	}{
		{"nothing but files", 0, map[string]int{"/a": 10, "/b": 20, "/copy": 20}, false, 30},
		{"a module that is also a file", 20, nil, false, 30},
		{"the same files again", 0, map[string]int{"/a": 10, "/b": 20}, false, 30},
		{"one byte over", 40, map[string]int{"/c": 31}, true, 30},
		{"the bound", 40, map[string]int{"/c": 30}, false, 100},
		{"the smallest file", 0, map[string]int{"/d": 1}, true, 100},
	} {
		if err := add(test.module, test.assets); errors.Is(err, ErrWorkerQuota) != test.refused || err != nil && !test.refused {
			t.Errorf("%s: %v", test.name, err)
		}
		err := s.View(t.Context(), func(tx *Tx) error {
			largest, err := tx.LargestCode()
			if largest != (CodeSize{"site", test.want}) {
				t.Errorf("%s: %+v, want %d", test.name, largest, test.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.each = 50 // lowered below what is there: a version without code of its own goes on
	if err := add(20, nil); err != nil {
		t.Error(err)
	}
}
