package sqlite

import "github.com/ncruces/go-sqlite3"

// Value is an argument of a function, valid only during the call.
type Value = sqlite3.Value

// The types of a Value.
const (
	Integer = sqlite3.INTEGER
	Float   = sqlite3.FLOAT
	Text    = sqlite3.TEXT
	Null    = sqlite3.NULL
)

// Function makes f a function of SQL with that many arguments; -1: any number.
// f gives the same result for the same arguments: one whose arguments are all
// constant is called once in a statement. A result is nil, bool, int64, float64
// or string.
func (c *Conn) Function(name string, arguments int, f func(args []Value) (any, error)) error {
	return c.conn.CreateFunction(name, arguments, sqlite3.DETERMINISTIC|sqlite3.INNOCUOUS, func(ctx sqlite3.Context, args ...Value) {
		result(ctx)(f(args))
	})
}

// Aggregator takes the rows of one group.
type Aggregator interface {
	// Step takes a row.
	Step(args []Value) error
	// Result is what Function says of results. It is called once, at the end.
	Result() (any, error)
}

// Aggregate makes an aggregate function of SQL; create is called for each group.
func (c *Conn) Aggregate(name string, arguments int, create func() Aggregator) error {
	return c.conn.CreateWindowFunction(name, arguments, sqlite3.DETERMINISTIC|sqlite3.INNOCUOUS, func() sqlite3.AggregateFunction {
		return &aggregate{inner: create()}
	})
}

// aggregate keeps the first error of the steps: the library's own way of
// reporting one is at the end.
type aggregate struct {
	inner Aggregator
	err   error
}

func (a *aggregate) Step(ctx sqlite3.Context, args ...Value) {
	if a.err != nil {
		return
	}
	if a.err = a.inner.Step(args); a.err != nil {
		ctx.ResultError(a.err)
	}
}

func (a *aggregate) Value(ctx sqlite3.Context) {
	if a.err != nil {
		ctx.ResultError(a.err)
		return
	}
	result(ctx)(a.inner.Result())
}

func result(ctx sqlite3.Context) func(v any, err error) {
	return func(v any, err error) {
		if err != nil {
			ctx.ResultError(err)
			return
		}
		switch v := v.(type) {
		case nil:
			ctx.ResultNull()
		case bool:
			ctx.ResultBool(v)
		case int64:
			ctx.ResultInt64(v)
		case float64:
			ctx.ResultFloat(v)
		case string:
			ctx.ResultText(v)
		}
	}
}
