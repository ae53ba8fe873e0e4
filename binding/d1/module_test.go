package d1_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/celltest"
)

var seed = flag.Int("seed", 1, "what TestModuleByChance begins with")

// Whatever a Worker does with a database, it sees the same as with the runtime's
// own module for D1.
func TestModule(t *testing.T) {
	for _, date := range celltest.Dates {
		t.Run(date, func(t *testing.T) {
			if differences, _ := compare(t, startBoth(t, date), 0, 0); differences != "" {
				t.Error(differences)
			}
		})
	}
}

// The same of calls that chance makes. -seed gives others.
func TestModuleByChance(t *testing.T) {
	const calls = 800
	differences, resolved := compare(t, startBoth(t, celltest.CompatibilityDate), *seed, calls)
	if differences != "" {
		t.Error(differences)
	}
	if resolved < calls/4 {
		t.Errorf("%d of %d calls worked; the others test nothing but errors", resolved, calls)
	}
}

func compare(t *testing.T, cell *celltest.Cell, seed, calls int) (differences string, resolved int) {
	t.Helper()
	req, err := http.NewRequest("GET", fmt.Sprintf("http://example.com/?seed=%d&calls=%d", seed, calls), nil)
	if err != nil {
		t.Fatal(err)
	}
	res := cell.Do(req)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
	resolved, _ = strconv.Atoi(res.Header.Get("Resolved"))
	return string(body), resolved
}

// startBoth runs the Worker of differential.js with two databases: OURS has our
// module, THEIRS the runtime's.
func startBoth(t *testing.T, date string) *celltest.Cell {
	t.Helper()
	source, err := os.ReadFile("testdata/differential.js")
	if err != nil {
		t.Fatal(err)
	}
	store := openStore(t, d1.Options{})
	ours := func(id string) func(string) binding.Mount {
		return func(service string) binding.Mount {
			b, err := config.NewBinding("DB", "d1", map[string]string{"id": id})
			if err != nil {
				t.Fatal(err)
			}
			m, err := mount(t, store, true, b, binding.Site{Version: &config.Version{}, Service: service})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	theirs := func(service string) binding.Mount {
		m := ours("22222222-2222-4333-8444-555555555555")(service)
		value := m.Value.(workerd.WrappedValue)
		value.Module = "cloudflare-internal:d1-api"
		m.Value, m.Modules = value, nil
		return m
	}
	return celltest.RunAt(t, date, string(source), map[string]func(string) binding.Mount{"OURS": ours(databaseID), "THEIRS": theirs})
}
