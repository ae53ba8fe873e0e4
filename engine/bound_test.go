package engine

import (
	"errors"
	"testing"

	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
)

// What a request is told when its cell has ended. That the kernel's counts are
// right is for package cgroup and conformance/systemd to show.
func TestCauseOfTheEnd(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", hello))
	b.want("/web/", "hello")
	var proc *workerd.Process
	b.Engine.mu.Lock()
	for c := range b.Engine.cells {
		proc = c.proc
	}
	b.Engine.mu.Unlock()
	proc.Kill()
	<-proc.Done()
	crashed := "The Worker's process crashed while it handled the request."
	for name, tt := range map[string]struct {
		events  cgroup.Events
		v8      bool
		verdict *fault.Fault
		want    *fault.Fault
	}{
		"it crashed":                       {want: fault.Unavailable.With(crashed, nil)},
		"at its own limit":                 {events: cgroup.Events{OOM: 1, Killed: 1}, want: memoryExceeded},
		"at its own limit, in time":        {events: cgroup.Events{OOM: 1}, want: fault.Unavailable.With(crashed, nil)},
		"with the machine's memory":        {events: cgroup.Events{Killed: 1}, want: fault.Unavailable.With("The server has run out of memory.", nil)},
		"V8 gave up":                       {v8: true, want: memoryExceeded},
		"by the watchdog, and then kernel": {events: cgroup.Events{OOM: 1, Killed: 1}, verdict: cpuExceeded, want: cpuExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cell{proc: proc, ended: func() cgroup.Events { return tt.events }}
			c.outOfMemory.Store(tt.v8)
			c.verdict.Store(tt.verdict)
			var f *fault.Fault
			if err := c.cause(); !errors.As(err, &f) || f.Code != tt.want.Code || f.Message != tt.want.Message {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}
