package analytics

import (
	"math/rand/v2"
	"time"
)

// key is what sampling goes by.
type key struct{ dataset, index string }

// pending are the points that are not on disk yet.
type pending struct {
	groups map[key]*group
	points int
	bytes  int
}

// group are the points of one index value: all, or a uniform sample of MaxRate.
type group struct {
	kept []Point
	seen int
}

// add takes a point and reports whether there was room.
func (p *pending) add(dataset string, point Point) bool {
	k := key{dataset, point.Index}
	g := p.groups[k]
	size := point.bytes()
	if g != nil && len(g.kept) == MaxRate {
		g.seen++
		i := rand.IntN(g.seen)
		if i >= MaxRate {
			return true // its place is taken by those that stay
		}
		if room := p.bytes + size - g.kept[i].bytes(); room <= maxPendingBytes {
			p.bytes = room
			g.kept[i] = point
		}
		return true
	}
	if p.points >= maxPending || p.bytes+size > maxPendingBytes {
		return false
	}
	if g == nil {
		if p.groups == nil {
			p.groups = map[key]*group{}
		}
		g = &group{}
		p.groups[k] = g
	}
	g.kept = append(g.kept, point)
	g.seen++
	p.points++
	p.bytes += size
	return true
}

// half reports that it is time to write without waiting for more.
func (p *pending) half() bool { return p.points >= maxPending/2 || p.bytes >= maxPendingBytes/2 }

// interval is how many points the i-th of a group stands for. Those of a group
// together stand for all that were seen.
func (g *group) interval(i int) int64 {
	n := len(g.kept)
	return int64((i+1)*g.seen/n - i*g.seen/n)
}

// seconds is the time of a point as it is stored.
func (p Point) seconds(now time.Time) int64 {
	if p.Time.IsZero() {
		return now.Unix()
	}
	return p.Time.Unix()
}
