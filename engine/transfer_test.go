package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

// owners are two Workers, of which the first has the class Counter of the key, and
// the second a binding to it.
func (b *bench) owners(first, second string, n int) (has, had *config.Worker) {
	const key = "the-Counter"
	own := b.version(first, fmt.Sprintf(counter, n), bound(b.t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	own.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: key}}
	has = &config.Worker{Name: first, Shares: []config.Share{{Version: own, Percentage: 100}}}
	// As it was deployed when the class was its own.
	other := b.version(second, fmt.Sprintf(counter, n), bound(b.t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	other.Lost = []string{"Counter"}
	had = &config.Worker{
		Name: second, Shares: []config.Share{{Version: other, Percentage: 100}},
		Moved: map[string]config.Moved{"Counter": {Worker: first, Class: "Counter", Key: key}},
	}
	return has, had
}

// set makes Workers the ones that are deployed.
func (b *bench) set(workers ...*config.Worker) {
	s := &config.Snapshot{Workers: map[string]*config.Worker{}}
	for _, w := range workers {
		s.Workers[w.Name] = w
	}
	b.source.Set(s)
}

// A class that another Worker takes over brings its objects along; the Worker that
// had it, and every other one that is bound to it there, reach them where they are.
func TestTransferredClass(t *testing.T) {
	b := newBench(t, nil)
	third := b.version("third", fmt.Sprintf(strings.Replace(counter, "export class", "class", 1), 0),
		bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter", "script_name": "a"}))
	bystander := &config.Worker{Name: "third", Shares: []config.Share{{Version: third, Percentage: 100}}}
	a, _ := b.owners("a", "b", 0)
	b.set(a, bystander)
	b.want("/a/", "1")
	b.want("/third/", "2")
	n := 2
	for i, way := range []string{"prepared", "not prepared", "not made"} {
		from, to := "a", "b"
		if i%2 == 1 {
			from, to = "b", "a"
		}
		has, had := b.owners(to, from, i+1)
		if way != "not prepared" {
			finish, err := b.Prepare(t.Context(), to, has.Shares)
			if err != nil {
				t.Fatal(err)
			}
			if way == "prepared" {
				b.set(has, had, bystander)
			} else {
				to, from = from, to // all is as it was
			}
			finish()
		} else {
			b.set(has, had, bystander)
		}
		for _, name := range []string{to, from, "third"} {
			if way == "not made" && name == from {
				continue // it is deployed nowhere yet
			}
			n++
			poll.Until(t, way+": "+name+" reaches the objects", func() bool {
				status, body, _ := b.ask("/" + name + "/")
				return status == 200 && body == fmt.Sprint(n)
			})
		}
		if _, err := os.Stat(filepath.Join(b.objectsDir(to), "the-Counter")); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
}
