// Package d1 is Selvage's D1: SQL databases for Workers.
//
// # Semantics
//
// A database is one SQLite file. A call (a statement, a batch, an exec) is one
// transaction: it happens as a whole or not at all. Writers take turns;
// readers see the last commit and do not wait for writers.
//
// # Durability and consistency
//
// An acknowledged call survives the death of the process at any moment, kill
// -9 included. With the default [sqlite.SyncNormal], a power failure may lose
// the last calls before a checkpoint but never damages the file; with
// [sqlite.SyncFull] it loses none. Every read sees every earlier acknowledged
// write, so every session is sequentially consistent whatever bookmark it
// holds. Bookmarks grow with every write, across restarts too.
//
// # Hostile SQL
//
// SQL comes from tenants. An allow-list judges every action of a statement
// (policy.go); statements that run too long are interrupted; memory, value,
// statement and file sizes are bounded. Errors carry Cloudflare's texts.
//
// # Counters
//
// Meta.RowsRead and Meta.RowsWritten are estimates: rows read is the larger of
// the rows visited by full scans and the rows returned or changed, rows
// written is the rows changed; Cloudflare also counts index entries.
//
// Source: https://developers.cloudflare.com/d1/
package d1

import (
	"errors"
	"time"
)

// Cloudflare's limits.
//
// Source: https://developers.cloudflare.com/d1/platform/limits/
const (
	// MaxStatement is the length of one SQL statement in bytes.
	MaxStatement = 100_000
	// MaxParams is the number of bound parameters of one statement.
	MaxParams = 100
	// MaxColumns is the number of columns of a table or a result.
	MaxColumns = 100
	// MaxValue is the size of a string, a blob or a row in bytes.
	MaxValue = 2_000_000
	// MaxArguments is the number of arguments of an SQL function.
	MaxArguments = 32
	// MaxPattern is the length of a LIKE or GLOB pattern in bytes.
	MaxPattern = 50
	// DefaultMaxSize is the size of a database in bytes.
	DefaultMaxSize = 10 << 30
	// DefaultMaxQueryTime is how long one call may run.
	DefaultMaxQueryTime = 30 * time.Second
	// MaxDatabases is the number of databases of one account.
	MaxDatabases = 50_000
	// MaxResult is the encoded size of one call's results in bytes; ours, in
	// place of Cloudflare's memory limit of 128 MB per database.
	MaxResult = 100 << 20
)

// Error is a failure of SQL or of a limit, in Cloudflare's words:
// "no such table: users: SQLITE_ERROR". A Worker sees it after "D1_ERROR: ".
type Error struct {
	// Message is Cloudflare's text.
	Message string
	// Query is the index of the failed query in a batch.
	Query int
	cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns SQLite's error, if there was one.
func (e *Error) Unwrap() error { return e.cause }

// Errors of the store.
var (
	// ErrNotFound: there is no database of that id or name.
	ErrNotFound = errors.New("d1: database not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("d1: a database with that name already exists")
	// ErrTooMany: the account has MaxDatabases.
	ErrTooMany = errors.New("d1: the account has the maximum number of databases")
	// ErrNoRows: First found nothing.
	ErrNoRows = errors.New("d1: no rows")
)

// Meta tells what one statement did.
//
// Source: https://developers.cloudflare.com/d1/worker-api/return-object/
type Meta struct {
	// Duration is the time inside SQLite.
	Duration time.Duration
	// Changes is the number of rows inserted, updated or deleted.
	Changes int64
	// LastRowID is the row id of the database's last insert.
	LastRowID int64
	// ChangedDB: the statement changed the database.
	ChangedDB bool
	// SizeAfter is the size of the database in bytes.
	SizeAfter int64
	// RowsRead and RowsWritten are estimates; see the package comment.
	RowsRead, RowsWritten int64
}

// Result is what one statement returned. Values are nil, int64, float64,
// string or []byte.
type Result struct {
	Columns []string
	Rows    [][]any
	Meta    Meta
}

// Objects gives the rows as maps from column to value; of columns with the
// same name the last one counts.
func (r *Result) Objects() []map[string]any {
	list := make([]map[string]any, len(r.Rows))
	for i, row := range r.Rows {
		list[i] = object(r.Columns, row)
	}
	return list
}

func object(columns []string, row []any) map[string]any {
	m := make(map[string]any, len(columns))
	for i, name := range columns {
		m[name] = row[i]
	}
	return m
}
