package platform

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		there, err := p.Stores.code.Has(digest)
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the module is still there after 10 s")
		}
	}
}
