package platform

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

// What an upload left behind when its server died is gone soon after the next start.
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
