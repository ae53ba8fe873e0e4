package workflow

import (
	"fmt"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

// Steps of a real cell, 100 of them in each instance, 32 instances at once: each
// result is on the disk before the next step begins.
func BenchmarkSteps(b *testing.B) {
	const steps, atOnce = 100, 32
	c := newCells(b, fmt.Sprintf(`export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    for (let i = 0; i < %d; i++) await step.do("step", async () => i);
  }
}
export default {};`, steps))
	c.create("first", "null")
	c.until("first", "complete null")
	b.ResetTimer()
	for begun := 0; begun*steps < b.N; begun += atOnce {
		for i := range atOnce {
			c.create(fmt.Sprintf("i%d-%d-%d", b.N, begun, i), "null")
		}
		poll.Until(b, "all are complete", func() bool {
			counts, err := c.flow.counts(b.Context())
			return err == nil && counts[Queued]+counts[Running]+counts[Waiting] == 0
		})
	}
	counts, err := c.flow.counts(b.Context())
	if err != nil || counts[Errored] != 0 {
		b.Fatal(counts, err)
	}
	b.ReportMetric(float64((counts[Complete]-1)*steps)/b.Elapsed().Seconds(), "steps/s")
}
