package crashtest

import (
	"fmt"
	"strings"
)

// Write is what a child said of one key, whose writes it numbers from 1.
type Write struct {
	Acked   int // the last that was acknowledged; 0: none
	Started int // the last that was begun
}

// Writes reads lines "start KEY N" and "done KEY N", says of each key how far
// its writes came, and kills the process when so many are done. A process that
// ends before that ends the test.
func (c *Process) Writes(kill int) map[string]*Write {
	c.t.Helper()
	keys := map[string]*Write{}
	acked := 0
	for line := range c.Lines() {
		var key string
		var n int
		word, _, _ := strings.Cut(line, " ")
		if _, err := fmt.Sscanf(line, word+" %s %d", &key, &n); err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		w := keys[key]
		if w == nil {
			w = &Write{}
			keys[key] = w
		}
		if word == "start" {
			w.Started = n
			continue
		}
		w.Acked = n
		if acked++; acked == kill {
			c.Kill()
		}
	}
	if acked < kill {
		c.t.Fatalf("the child stopped after %d of %d writes", acked, kill)
	}
	return keys
}
