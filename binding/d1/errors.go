package d1

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Cloudflare's texts for what is not an error of SQLite itself.
//
// Source: https://developers.cloudflare.com/d1/observability/debug-d1/
const (
	textNoStatement = "No SQL statements detected."
	textParameters  = "Wrong number of parameter bindings for SQL query."
	textLastParams  = "When executing multiple SQL statements in a single call, only the last statement can have parameters."
	textTransaction = "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic write coalescing."
	textVacuum      = "cannot VACUUM from within a transaction: SQLITE_ERROR"
	textTime        = "D1 DB exceeded its CPU time limit and was reset."
	textMemory      = "D1 DB's isolate exceeded its memory limit and was reset."
	textOverloaded  = "D1 DB is overloaded. Requests queued for too long."
	textLong        = "statement too long: SQLITE_TOOBIG"
	textSize        = "Exceeded maximum DB size."
	textInternal    = "Internal error in D1 DB storage caused object to be reset."
)

func errorf(format string, args ...any) *Error { return &Error{Message: fmt.Sprintf(format, args...)} }

// translate puts an error of the storage into Cloudflare's words.
func translate(err error) error {
	var known *Error
	var full *sqlite3.Error
	var extended sqlite3.ExtendedErrorCode
	var primary sqlite3.ErrorCode
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, sqlite.ErrClosed), errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Message: textTime, cause: err}
	case errors.Is(err, sqlite.ErrMemory):
		return &Error{Message: textMemory, cause: err}
	case errors.Is(err, sqlite.ErrOverloaded), errors.Is(err, budget.ErrFull):
		return &Error{Message: textOverloaded, cause: err}
	case errors.As(err, &full):
		primary, extended = full.Code(), full.ExtendedCode()
	case errors.As(err, &extended):
		primary = extended.Code()
	case errors.As(err, &primary):
		extended = primary.ExtendedCode()
	default:
		return err
	}
	if primary == sqlite3.INTERRUPT {
		return &Error{Message: textTime, cause: err}
	}
	if primary == sqlite3.FULL {
		return &Error{Message: textSize, cause: err}
	}
	var b strings.Builder
	inner := error(extended) // what is around it may name files of the server
	if full != nil {
		inner = full
	}
	b.WriteString(message(inner, primary))
	name := primaryNames[primary]
	if name == "" {
		name = "SQLITE_ERROR"
	}
	b.WriteString(": ")
	b.WriteString(name)
	if x := extendedNames[extended]; x != "" {
		b.WriteString(" (extended: " + x + ")")
	}
	return &Error{Message: b.String(), cause: err}
}

// ofDisk reports that the disk is full or failing, or the file damaged: the
// operator has to know. SQLite says FULL only of a database at its own bound.
func ofDisk(err error) bool {
	return errors.Is(err, sqlite3.IOERR) || errors.Is(err, syscall.ENOSPC) || sqlite.Damaged(err)
}

// message is SQLite's own text. The library puts the generic text of the code
// in front of it.
func message(err error, code sqlite3.ErrorCode) string {
	text := strings.TrimPrefix(err.Error(), "sqlite3: ")
	generic := strings.TrimPrefix(code.Error(), "sqlite3: ")
	if rest, ok := strings.CutPrefix(text, generic+": "); ok {
		return rest
	}
	return text
}

// public is what a client is told of an error: of one that is not D1's own, no
// more than that there was one. What it says of files is for the log.
func public(err error) string {
	var own *Error
	var known *api.Error
	switch {
	case errors.As(err, &own), errors.As(err, &known):
		return err.Error()
	}
	return textInternal
}

// offset tells where in sql a statement failed to compile, as D1 does.
func offset(err error, sql string) error {
	var full *sqlite3.Error
	if !errors.As(err, &full) || full.SQL() == "" {
		return err
	}
	if e, ok := translate(err).(*Error); ok {
		if head, tail, ok := cutLast(e.Message, ": SQLITE_"); ok {
			e.Message = fmt.Sprintf("%s at offset %d: SQLITE_%s", head, len(sql)-len(full.SQL()), tail)
		}
		return e
	}
	return err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

var primaryNames = map[sqlite3.ErrorCode]string{
	sqlite3.ERROR: "SQLITE_ERROR", sqlite3.INTERNAL: "SQLITE_INTERNAL", sqlite3.PERM: "SQLITE_PERM",
	sqlite3.ABORT: "SQLITE_ABORT", sqlite3.BUSY: "SQLITE_BUSY", sqlite3.LOCKED: "SQLITE_LOCKED",
	sqlite3.READONLY: "SQLITE_READONLY", sqlite3.IOERR: "SQLITE_IOERR", sqlite3.CORRUPT: "SQLITE_CORRUPT",
	sqlite3.NOTFOUND: "SQLITE_NOTFOUND", sqlite3.CANTOPEN: "SQLITE_CANTOPEN", sqlite3.PROTOCOL: "SQLITE_PROTOCOL",
	sqlite3.SCHEMA: "SQLITE_SCHEMA", sqlite3.TOOBIG: "SQLITE_TOOBIG", sqlite3.CONSTRAINT: "SQLITE_CONSTRAINT",
	sqlite3.MISMATCH: "SQLITE_MISMATCH", sqlite3.MISUSE: "SQLITE_MISUSE", sqlite3.AUTH: "SQLITE_AUTH",
	sqlite3.RANGE: "SQLITE_RANGE", sqlite3.NOTADB: "SQLITE_NOTADB",
}

var extendedNames = map[sqlite3.ExtendedErrorCode]string{
	sqlite3.CONSTRAINT_CHECK:      "SQLITE_CONSTRAINT_CHECK",
	sqlite3.CONSTRAINT_FOREIGNKEY: "SQLITE_CONSTRAINT_FOREIGNKEY",
	sqlite3.CONSTRAINT_NOTNULL:    "SQLITE_CONSTRAINT_NOTNULL",
	sqlite3.CONSTRAINT_PRIMARYKEY: "SQLITE_CONSTRAINT_PRIMARYKEY",
	sqlite3.CONSTRAINT_TRIGGER:    "SQLITE_CONSTRAINT_TRIGGER",
	sqlite3.CONSTRAINT_UNIQUE:     "SQLITE_CONSTRAINT_UNIQUE",
	sqlite3.CONSTRAINT_VTAB:       "SQLITE_CONSTRAINT_VTAB",
	sqlite3.CONSTRAINT_ROWID:      "SQLITE_CONSTRAINT_ROWID",
	sqlite3.CONSTRAINT_DATATYPE:   "SQLITE_CONSTRAINT_DATATYPE",
	sqlite3.CORRUPT_VTAB:          "SQLITE_CORRUPT_VTAB",
	sqlite3.CORRUPT_INDEX:         "SQLITE_CORRUPT_INDEX",
}
