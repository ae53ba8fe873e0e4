package kv

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// Whatever a Worker reads, it sees the same as with the runtime's client alone.
func TestModule(t *testing.T) {
	for _, date := range celltest.Dates {
		t.Run(date, func(t *testing.T) { testModule(t, date) })
	}
}

func testModule(t *testing.T, date string) {
	f := newFixture(t)
	k := &Kind{f.store}
	source, err := os.ReadFile("testdata/differential.js")
	if err != nil {
		t.Fatal(err)
	}
	b, err := config.NewBinding("KV", k.Type(), map[string]string{"namespace_id": "both"})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Make(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	ours := func(service string) binding.Mount {
		m := mount(t, k, "both", service)
		m.Handler = failing{m.Handler}
		return m
	}
	theirs := func(service string) binding.Mount {
		m := ours(service)
		m.Value, m.Modules = workerd.KVValue(service), nil
		return m
	}
	cell := celltest.RunAt(t, date, string(source), map[string]func(string) binding.Mount{"OURS": ours, "THEIRS": theirs})
	req, err := http.NewRequest("GET", "http://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := cell.Do(req)
	defer res.Body.Close()
	differences, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, differences, err)
	}
	if len(differences) > 0 {
		t.Errorf("%s", differences)
	}
	if n, _ := strconv.Atoi(res.Header.Get("Resolved")); n < 300 {
		t.Errorf("%d calls worked; the others test nothing but errors", n)
	}
}

// A script cannot have what a module makes, so it gets the runtime's client.
func TestScript(t *testing.T) {
	f := newFixture(t)
	k := &Kind{f.store}
	b, err := config.NewBinding("KV", k.Type(), map[string]string{"namespace_id": "script"})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Make(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	m, err := k.Mount(b, binding.Site{Version: &config.Version{ServiceWorker: true}, Service: "kv"})
	if err != nil || m.Value != workerd.Value(workerd.KVValue("kv")) {
		t.Errorf("got %#v, %v", m.Value, err)
	}
}

// failing is a handler with keys that fail.
type failing struct{ http.Handler }

func (h failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var status int
	switch _, err := fmt.Sscanf(r.URL.Path, "/fails %d", &status); {
	case err == nil:
		w.WriteHeader(status)
	case r.URL.Path == "/breaks":
		panic(http.ErrAbortHandler)
	default:
		h.Handler.ServeHTTP(w, r)
	}
}
