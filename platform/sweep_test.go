package platform

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// What an upload left behind when its server died is gone soon after the next
// start, in a directory that has been whole for a while.
func TestSweepAtStart(t *testing.T) {
	dir := t.TempDir()
	stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	pin, err := stores.State.PutBlob(strings.NewReader("export default {}"))
	if err != nil {
		t.Fatal(err)
	}
	digest := pin.Digest
	pin.Release()
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}

	age(t, filepath.Join(dir, contentsFile), doubtFor)
	age(t, filepath.Join(dir, blobFolder, "control", digest.String()[:2], digest.String()), spareYoung)

	p, err := Open(t.Context(), Options{Data: dir, Binary: func(context.Context) (string, error) {
		return "", errors.New("no Worker runs here")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	poll.Until(t, "the module is swept", func() bool {
		there, err := p.Stores.code.Has(digest)
		if err != nil {
			t.Fatal(err)
		}
		return !there
	})
}

// age makes a file a minute older than d.
func age(t *testing.T, path string, d time.Duration) {
	t.Helper()
	at := time.Now().Add(-d - time.Minute)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
