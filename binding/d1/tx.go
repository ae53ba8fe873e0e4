package d1

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Tx is a transaction that is open: statements run one by one, each sees what
// the ones before did, and nobody else sees any of it before Commit. It is used
// by one goroutine at a time.
type Tx struct {
	calls    chan txCall
	done     chan struct{} // closed when the transaction is over
	finished bool          // Commit or Rollback was called
	err      error         // why it is over; set before done is closed
}

// txCall is one thing to do inside of a transaction.
type txCall struct {
	ctx    context.Context
	query  query
	out    output
	commit bool
	end    bool // commit or roll back
	result chan error
}

// ErrTxTimeout: the transaction was open for longer than Options.MaxQueryTime
// and has been rolled back.
var ErrTxTimeout = errors.New("d1: the transaction was open for too long and has been rolled back")

// errRolledBack makes sqlite roll back.
var errRolledBack = errors.New("rolled back")

// Begin starts a transaction. It holds the database's one writing connection:
// other writers wait for it, and fail if that takes more than a few seconds;
// readers go on and see the state before. So that nobody can hold it for ever,
// a transaction that is not over after Options.MaxQueryTime, or whose context
// ends, is rolled back.
//
// This is for callers of this process only: D1's protocol has no transactions,
// because a network would be in between. Whatever [Database.Batch] can do, it
// does with less waiting.
func (d *Database) Begin(ctx context.Context) (*Tx, error) { return d.begin(ctx, false) }

func (d *Database) begin(ctx context.Context, readOnly bool) (*Tx, error) {
	file, err := d.acquire()
	if err != nil {
		return nil, translate(err)
	}
	t := &Tx{calls: make(chan txCall), done: make(chan struct{})}
	began := make(chan struct{})
	use := file.Write
	if readOnly {
		use = file.Read
	}
	go func() {
		defer d.release()
		defer close(t.done)
		deadline := time.Now().Add(d.store.opts.MaxQueryTime)
		bounded := &sqlite.Deadline{Context: ctx, At: deadline}
		err := use(bounded, func(c *sqlite.Conn) error {
			k := &call{d: d, c: c, p: c.Note.(*policy), reading: readOnly}
			if !readOnly {
				if err := d.limitSize(k.p); err != nil {
					return err
				}
			}
			return k.finish(c.Tx(func() error {
				close(began)
				return t.loop(ctx, k, deadline)
			}))
		})
		if !errors.Is(err, errRolledBack) {
			t.err = d.failed(ctx, err)
		}
	}()
	select {
	case <-began:
		return t, nil
	case <-t.done:
		return nil, t.err
	}
}

// loop serves the calls of one transaction, on the goroutine that has the
// connection, until it is over. Returning nil commits.
func (t *Tx) loop(ctx context.Context, k *call, deadline time.Time) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		select {
		case call := <-t.calls:
			switch {
			case call.end && call.commit:
				return nil
			case call.end:
				return errRolledBack
			}
			k.out = call.out
			err := k.query(&call.query)
			if errors.Is(err, errNeedsWriter) {
				err = &Error{Message: "attempt to write in a read-only transaction: SQLITE_READONLY"}
			}
			call.result <- err
		case <-timer.C:
			return ErrTxTimeout
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run runs one text in the transaction.
func (t *Tx) run(ctx context.Context, q query, out output) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.finished {
		return sql.ErrTxDone
	}
	result := make(chan error, 1)
	select {
	case t.calls <- txCall{ctx: ctx, query: q, out: out, result: result}:
	case <-t.done:
		return t.over()
	}
	select {
	case err := <-result:
		return translate(err)
	case <-t.done:
		return t.over()
	}
}

// over says why nothing can be done any more.
func (t *Tx) over() error {
	if t.err != nil {
		return t.err
	}
	return sql.ErrTxDone
}

// Query runs SQL and returns the result of its last statement. A statement that
// fails leaves the transaction as it was before it, and open.
func (t *Tx) Query(ctx context.Context, text string, params ...any) (*Result, error) {
	out := &valueOutput{}
	if err := t.run(ctx, query{sql: text, params: params}, out); err != nil {
		return nil, err
	}
	if len(out.results) == 0 {
		return nil, &Error{Message: textNoStatement}
	}
	return out.results[0], nil
}

// Commit makes the changes visible and durable.
func (t *Tx) Commit() error { return t.end(true) }

// Rollback drops the changes. After Commit it does nothing but return
// sql.ErrTxDone, so that it can be deferred.
func (t *Tx) Rollback() error { return t.end(false) }

func (t *Tx) end(commit bool) error {
	if t.finished {
		return sql.ErrTxDone
	}
	t.finished = true
	select {
	case t.calls <- txCall{end: true, commit: commit}:
	case <-t.done:
		if !commit {
			return nil // it has been rolled back already
		}
	}
	<-t.done
	return t.err
}
