package rules

import (
	"slices"
	"unsafe"
)

// pool lends memory until reset, without allocating once it has grown to what
// an evaluation needs.
type pool[T any] struct{ lent []T }

// take returns n elements, whose content is undefined.
func (p *pool[T]) take(n int) []T {
	from := len(p.lent)
	if from+n > cap(p.lent) {
		// What was lent stays where it is; the collector has it when it is let go.
		p.lent = make([]T, 0, max(2*cap(p.lent), n, 64))
		from = 0
	}
	p.lent = p.lent[:from+n]
	return p.lent[from : from+n : from+n]
}

// maxKept bounds the elements that a pool keeps for the next evaluation.
const maxKept = 64 << 10

func (p *pool[T]) reset() {
	if cap(p.lent) > maxKept {
		p.lent = nil
		return
	}
	clear(p.lent) // it must not keep others' memory alive
	p.lent = p.lent[:0]
}

// memory is what one evaluation borrows.
type memory struct {
	bytes   pool[byte]
	strings pool[string]
	ints    pool[int64]
	bools   pool[bool]
	lists   pool[[]string]
}

// poolOf finds the pool of a type.
func poolOf[T any](m *memory) *pool[T] {
	var p any
	switch any((*T)(nil)).(type) {
	case *string:
		p = &m.strings
	case *int64:
		p = &m.ints
	case *bool:
		p = &m.bools
	case *[]string:
		p = &m.lists
	}
	return p.(*pool[T])
}

func (m *memory) reset() {
	m.bytes.reset()
	m.strings.reset()
	m.ints.reset()
	m.bools.reset()
	m.lists.reset()
}

// text is b as a string, which lives as long as what b was taken from.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// join puts strings together.
func (m *memory) join(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := m.bytes.take(n)[:0]
	for _, p := range parts {
		b = append(b, p...)
	}
	return text(b)
}

// view is s as bytes, which must not be changed.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// sorted are the numbers below n in order; those that are equal stay in theirs.
func (m *memory) sorted(n int, compare func(i, j int64) int) []int64 {
	order := m.ints.take(n)
	for i := range order {
		order[i] = int64(i)
	}
	slices.SortStableFunc(order, compare)
	return order
}
