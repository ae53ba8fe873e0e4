package ruleset

import "sync/atomic"

// Current are the rules of a stage. They can be replaced at any time, for the
// requests that come after; the zero Current has none.
type Current[T interface{ Body() bool }] struct{ list atomic.Pointer[List[T]] }

// List are rules in order.
type List[T interface{ Body() bool }] struct {
	Rules []T
	// Body: some of them may look at the request's body.
	Body bool
}

// Set replaces the rules.
func (c *Current[T]) Set(rules []T) {
	if len(rules) == 0 {
		c.list.Store(nil)
		return
	}
	l := &List[T]{Rules: rules}
	for _, r := range rules {
		l.Body = l.Body || r.Body()
	}
	c.list.Store(l)
}

// Load returns the rules, or nil if there are none.
func (c *Current[T]) Load() *List[T] { return c.list.Load() }
