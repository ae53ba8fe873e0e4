package analytics

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// plain is a value of SQLite as one of Go: nil, int64, float64 or string.
func plain(v sqlite.Value) any {
	switch v.Type() {
	case sqlite.Integer:
		return v.Int64()
	case sqlite.Float:
		return v.Float()
	case sqlite.Text:
		return v.Text()
	}
	return nil
}

// less compares plain values: numbers come before strings.
func less(a, b any) bool {
	x, isText := a.(string)
	y, alsoText := b.(string)
	if isText && alsoText {
		return x < y
	}
	if isText != alsoText {
		return alsoText
	}
	return asFloat(a) < asFloat(b)
}

func asFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return math.Inf(-1)
}

// heldBytes is about what a value takes.
func heldBytes(v any) int {
	if s, ok := v.(string); ok {
		return 64 + len(s)
	}
	return 64
}

// choice keeps the value of the row that is better than those before it by its
// second argument, or without one by coming later.
type choice struct {
	session  *session
	better   func(now, before any) bool
	any      bool
	kept, by any
}

func (c *choice) Step(a []sqlite.Value) error {
	by := plain(a[len(a)-1])
	if c.any && (len(a) == 2 && by == nil || !c.better(by, c.by)) {
		return nil
	}
	c.any, c.by, c.kept = true, by, plain(a[0])
	return c.session.hold(heldBytes(c.kept) + heldBytes(by))
}

func (c *choice) Result() (any, error) { return c.kept, nil }

// quantiles finds a weighted quantile.
type quantiles struct {
	session *session
	level   float64
	rows    []weighted
}

type weighted struct {
	value  any
	weight float64
}

func (q *quantiles) Step(a []sqlite.Value) error {
	value, weight := plain(a[1]), a[2].Float()
	q.level = a[0].Float()
	if value == nil || !(weight > 0) {
		return nil
	}
	q.rows = append(q.rows, weighted{value, weight})
	return q.session.hold(heldBytes(value))
}

func (q *quantiles) Result() (any, error) {
	if len(q.rows) == 0 {
		return nil, nil
	}
	slices.SortFunc(q.rows, func(a, b weighted) int {
		switch {
		case less(a.value, b.value):
			return -1
		case less(b.value, a.value):
			return 1
		}
		return 0
	})
	sum := 0.0
	for _, r := range q.rows {
		sum += r.weight
	}
	// The first value up to which there is that part of the weight.
	threshold, passed := q.level*sum, 0.0
	for _, r := range q.rows {
		if passed += r.weight; passed >= threshold {
			return r.value, nil
		}
	}
	return q.rows[len(q.rows)-1].value, nil
}

// top finds the values of the largest weights.
type top struct {
	session *session
	n       int
	weights map[any]float64
	order   []any // as they came
}

func (t *top) Step(a []sqlite.Value) error {
	value, weight := plain(a[1]), a[2].Float()
	t.n = a[0].Int()
	if value == nil {
		return nil
	}
	before, known := t.weights[value]
	t.weights[value] = before + weight
	if known {
		return nil
	}
	t.order = append(t.order, value)
	return t.session.hold(2 * heldBytes(value))
}

func (t *top) Result() (any, error) {
	slices.SortStableFunc(t.order, func(a, b any) int {
		switch x, y := t.weights[a], t.weights[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	list := append([]any{}, t.order[:min(t.n, len(t.order))]...)
	for i, v := range list {
		if f, ok := v.(float64); ok && math.IsInf(f, 0) {
			list[i] = nil // JSON has no word for it
		}
	}
	data, err := json.Marshal(list)
	return string(data), err
}
