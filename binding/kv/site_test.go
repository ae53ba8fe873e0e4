package kv

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

// The namespace of a Workers Site has the files of the version that was mounted
// last; another binding to it changes nothing.
func TestSite(t *testing.T) {
	f := newFixture(t)
	k := &Kind{f.store}
	file := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(file, []byte("<h1>site</h1>"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := f.store.Ensure("site")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Put(t.Context(), "kept.1.html", []byte("as it was"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range MaxListKeys + 1 {
		if err := n.Put(t.Context(), fmt.Sprintf("stale.%d", i), nil, PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	v := &config.Version{Site: &config.Site{Binding: "FILES", Files: map[string]string{"index.1.html": file, "kept.1.html": file}}}
	put := func(name string) error {
		b, _ := config.NewBinding(name, k.Type(), map[string]string{"namespace_id": "site"})
		_, err := k.Mount(b, binding.Site{Version: v})
		return err
	}
	list := func() string {
		page, err := n.List(t.Context(), ListOptions{Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		names := page.Cursor
		for _, key := range page.Keys {
			value, err := n.Get(t.Context(), key.Name)
			if err != nil {
				t.Fatal(err)
			}
			names += fmt.Sprintf("%s=%s ", key.Name, value)
		}
		return names
	}
	before := list()
	if err := put("OTHER"); err != nil || list() != before {
		t.Errorf("another binding: %v, %s", err, list())
	}
	if err := put("FILES"); err != nil || list() != "index.1.html=<h1>site</h1> kept.1.html=as it was " {
		t.Errorf("got %v, %s", err, list())
	}
	v.Site.Files["gone.1.html"] = file + "x"
	if err := put("FILES"); err == nil {
		t.Error("a file that is gone is no error")
	}
}
