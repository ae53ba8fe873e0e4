package engine

import (
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

// Who looks at a Worker with Durable Objects does not end its objects.
func TestLookAtDurableObjects(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.counter(0))
	b.want("/do/", "1")
	before, _ := b.cellOf("do")
	if before.Observed {
		t.Error("a cell is observed that nobody looks at")
	}
	observed := func(want bool) {
		t.Helper()
		poll.Until(t, "the cell knows whether somebody looks", func() bool { c, ok := b.cellOf("do"); return ok && c.Observed == want })
	}
	release := b.Observe("do")
	observed(true)
	second := b.Observe("do")
	b.want("/do/", "2")
	poll.Until(t, "the invocations of the Worker and of the object", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		models := map[string]bool{}
		for _, i := range b.invocations {
			models[i.ExecutionModel] = true
		}
		return models["stateless"] && models["durableObject"]
	})
	second()
	observed(true)
	release()
	observed(false)
	defer b.Observe("do")()
	observed(true)
	if after, _ := b.cellOf("do"); after.PID != before.PID {
		t.Error("the cell was replaced")
	}
}
