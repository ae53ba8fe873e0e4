package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// How many cells suit a load: percent are the shares of a processor that the
// threads of all cells have together.
func TestWant(t *testing.T) {
	for _, c := range []struct {
		cells, percent, inFlight int
		called                   bool
		most, want               int
	}{
		{cells: 1, percent: 0, inFlight: 0, most: 4, want: 1},
		{cells: 1, percent: 79, inFlight: 30, most: 4, want: 1},               // it waits more than it computes
		{cells: 1, percent: 80, inFlight: 1, most: 4, want: 1},                // one client, one request after another
		{cells: 1, percent: 80, inFlight: 2, most: 4, want: 2},                //
		{cells: 1, percent: 80, inFlight: 0, called: true, most: 4, want: 2},  // busy with calls of other Workers
		{cells: 1, percent: 100, inFlight: 30, most: 1, want: 1},              // Durable Objects
		{cells: 2, percent: 159, inFlight: 30, most: 4, want: 2},              //
		{cells: 2, percent: 160, inFlight: 2, most: 4, want: 2},               // no request waits
		{cells: 2, percent: 160, inFlight: 3, most: 4, want: 3},               //
		{cells: 4, percent: 400, inFlight: 30, most: 4, want: 4},              //
		{cells: 4, percent: 151, inFlight: 30, most: 4, want: 4},              //
		{cells: 4, percent: 150, inFlight: 30, most: 4, want: 3},              // three would be busy to a half
		{cells: 2, percent: 50, inFlight: 30, most: 4, want: 1},               //
		{cells: 2, percent: 0, inFlight: 500, called: true, most: 4, want: 1}, // they wait
		{cells: 16, percent: 1600, inFlight: 99, called: true, most: 8, want: 8},
	} {
		d := demand{cells: c.cells, busy: float64(c.percent) / 100, inFlight: float64(c.inFlight), called: c.called, most: c.most}
		if got := d.want(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// How the processors are shared.
func TestAllot(t *testing.T) {
	// hot is a version that could use more cells than it has, idle one that
	// computes nothing.
	hot := func(cells int) demand { return demand{cells: cells, busy: float64(cells), inFlight: 99, most: 99} }
	idle := demand{cells: 1, most: 99}
	for name, c := range map[string]struct {
		demands    []demand
		processors int
		memory     room
		want       []int
	}{
		"nobody":                           {nil, 4, plenty, []int{}},
		"one alone":                        {[]demand{hot(1)}, 4, plenty, []int{2}},
		"it may have them all":             {[]demand{hot(3), idle, idle}, 4, plenty, []int{4, 1, 1}},
		"and no more":                      {[]demand{hot(4), idle}, 4, plenty, []int{4, 1}},
		"its own bound":                    {[]demand{{cells: 2, busy: 2, inFlight: 99, most: 2}}, 4, plenty, []int{2}},
		"one processor":                    {[]demand{hot(1)}, 1, plenty, []int{1}},
		"another needs its first":          {[]demand{hot(4), hot(1)}, 4, plenty, []int{2, 2}},
		"three of them":                    {[]demand{hot(2), hot(2), hot(1)}, 4, plenty, []int{2, 1, 1}},
		"as many as processors":            {[]demand{hot(2), hot(1)}, 2, plenty, []int{1, 1}},
		"more than processors":             {[]demand{hot(1), hot(1), hot(1)}, 2, plenty, []int{1, 1, 1}},
		"one is half busy":                 {[]demand{hot(3), {cells: 1, busy: 0.5, most: 99}}, 4, plenty, []int{3, 1}},
		"one is less than that":            {[]demand{hot(3), {cells: 1, busy: 0.4, most: 99}}, 4, plenty, []int{4, 1}},
		"load falls":                       {[]demand{{cells: 4, busy: 0.2, most: 99}}, 4, plenty, []int{3}},
		"memory is scarce":                 {[]demand{hot(1), hot(2)}, 8, scarce, []int{1, 2}},
		"memory is gone":                   {[]demand{hot(1), hot(2)}, 8, none, []int{1, 1}},
		"of equals the busier comes first": {[]demand{{cells: 1, busy: 0.9, inFlight: 9, most: 9}, {cells: 1, busy: 1, inFlight: 9, most: 9}}, 3, plenty, []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := allot(c.demands, c.processors, c.memory); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Whatever is asked for, nobody goes without a cell and the processors are not
// handed out twice.
func TestAllotIsBounded(t *testing.T) {
	for processors := 1; processors <= 16; processors++ {
		for tenants := 1; tenants <= 20; tenants++ {
			demands := make([]demand, tenants)
			for i := range demands {
				demands[i] = demand{cells: 1, busy: 1, inFlight: 99, most: processors}
			}
			// Everybody is as busy as it can be, until nothing changes.
			var got []int
			for range 4 * processors {
				got = allot(demands, processors, plenty)
				for i, n := range got {
					demands[i].cells, demands[i].busy = n, float64(n)
				}
			}
			sum, least, most := 0, got[0], got[0]
			for _, n := range got {
				sum, least, most = sum+n, min(least, n), max(most, n)
			}
			if least < 1 || most-least > 1 || sum != max(processors, tenants) {
				t.Errorf("%d tenants on %d processors have %v", tenants, processors, got)
			}
		}
	}
}

func TestLeastBusy(t *testing.T) {
	for _, c := range []struct {
		name  string
		cells string // requests in flight, WebSockets, standing
		want  int
	}{
		{"the fewest requests", "3 0 0, 1 0 0, 2 0 0", 1},
		{"the oldest of equals", "1 0 0, 1 0 0", 0},
		{"WebSockets do not count", "9 8 0, 2 0 0", 0},
		{"of equals one that has time", "1 0 1, 1 0 0", 1},
		{"fewer requests count for more than time", "1 0 1, 2 0 0", 0},
		{"a stuck one comes last", "1 0 2, 50 0 1", 1},
		{"all are stuck", "2 0 2, 1 0 2", 1},
	} {
		var cells []*cell
		for _, text := range strings.Split(c.cells, ",") {
			var inFlight, upgraded, s int64
			if _, err := fmt.Sscan(text, &inFlight, &upgraded, &s); err != nil {
				t.Fatal(err)
			}
			x := &cell{}
			x.inFlight.Store(inFlight)
			x.upgraded.Store(upgraded)
			x.standing.Store(int32(s))
			cells = append(cells, x)
		}
		if got := slices.Index(cells, leastBusy(cells)); got != c.want {
			t.Errorf("%s: cell %d", c.name, got)
		}
	}
	if leastBusy(nil) != nil {
		t.Error("a cell from nowhere")
	}
}

// A cell that gets no calls is cared for a few times, a while apart, and a start
// that was refused is no try.
func TestUnshared(t *testing.T) {
	var s scaling
	now := time.Unix(1e9, 0)
	called := &plan{called: true}
	cells := []*cell{{plan: called, started: now, load: load{busy: 1}}, {plan: called, started: now}}
	expect := func(what string, want *cell) {
		t.Helper()
		if got := s.unshared(now, cells); got != want {
			t.Errorf("%s: %p, want %p", what, got, want)
		}
	}
	expect("it has just started", nil)
	now = now.Add(shareAfter)
	for range shareTries {
		expect("one has nothing to do", cells[0])
		expect("and nothing was done about it", cells[0])
		s.replaced(now, len(cells))
		expect("at once", nil)
		now = now.Add(shareAgain)
	}
	expect("all was tried", nil)
	cells = append(cells, &cell{plan: called, started: now.Add(-shareAfter)})
	expect("one more", cells[0])
	for _, c := range cells {
		c.load.busy = 1
	}
	expect("all work", nil)
	cells[0].load.busy = 0
	expect("all worked", nil)
	cells = cells[:2]
	expect("one less", nil)
	cells[0].plan = &plan{}
	cells = append(cells, cells[1])
	expect("requests come from us", nil)
}
