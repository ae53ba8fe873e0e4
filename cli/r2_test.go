package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
)

// A damaged object is named, by its bucket and key.
func TestScrub(t *testing.T) {
	dir := t.TempDir()
	stores, _, err := platform.OpenStores(t.Context(), platform.StoreOptions{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Binding{Name: "B", Type: "r2_bucket", Raw: []byte(`{"bucket_name":"files"}`)}
	kind, err := binding.ByType(stores.Kinds).Of(settings)
	if err != nil {
		t.Fatal(err)
	}
	var bucket *r2.Bucket
	if err := kind.(binding.Maker).Make(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	if err := kind.(binding.GoKind).Bind(settings, binding.Host{}, &bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "a/b", bytes.NewReader(make([]byte, 3<<20)), r2.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := call(t, "r2", "scrub", "--data", dir); code != 0 || stdout != "1 objects, 3 MiB read, 0 damaged\n" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	files, err := filepath.Glob(filepath.Join(dir, "blob/r2/??/*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], make([]byte, 3<<20-1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, "r2", "scrub", "--data", dir)
	if code != 1 || !strings.HasPrefix(stdout, "files/a/b: ") || !strings.Contains(stdout, "1 damaged") || !strings.Contains(stderr, "1 objects are damaged") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}
