package dev

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// stuck is a terminal that takes what it is given when it is told to.
type stuck struct {
	bytes.Buffer
	writes  int
	release chan bool
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.release
	s.writes++
	return s.Buffer.Write(b)
}

func TestPrinterDoesNotWait(t *testing.T) {
	out := &stuck{release: make(chan bool)}
	p := newPrinter(out)
	var want strings.Builder
	for i := range 1000 { // none of them waits
		fmt.Fprintf(&want, "line %d\n", i)
		fmt.Fprintf(p, "line %d\n", i)
	}
	close(out.release)
	p.flush()
	if out.String() != want.String() {
		t.Errorf("printed %q", out.String())
	}
	if out.writes > 2 {
		t.Errorf("%d writes for what came while the first was held up", out.writes)
	}
}

func TestPrinterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{release: make(chan bool)}
		p := newPrinter(out)
		line := bytes.Repeat([]byte("x"), maxUnprinted/2)
		const lines = 12
		var printed atomic.Int64
		go func() {
			for range lines {
				p.Write(line)
				printed.Add(1)
			}
		}()
		synctest.Wait()
		if n := printed.Load(); n > 6 { // three that are being written, and three that wait
			t.Errorf("%d lines were taken while nothing was printed", n)
		}
		close(out.release)
		synctest.Wait()
		p.flush()
		if out.Len() != lines*len(line) {
			t.Errorf("%d bytes were printed", out.Len())
		}
	})
}
