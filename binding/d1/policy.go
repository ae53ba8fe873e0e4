package d1

import (
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// policy judges what SQL from outside may do on one connection, and notes what
// the statement being prepared is about. Whatever is not allowed here is
// refused.
type policy struct {
	conn *sqlite.Conn
	// pageCount tells the size of the database.
	pageCount *sqlite.Stmt
	// maxPages is the bound on the size that is in force; 0 for the store's own.
	maxPages int64

	// What the last prepared statement turned out to be:
	transaction bool // it wanted to begin, commit, roll back or set a savepoint
	setting     bool // it changed a setting of the connection
	counters    bool // it asks for the connection's change counters
}

// setUp makes a connection fit for hostile SQL.
func setUp(c *sqlite.Conn) error {
	if err := c.RegisterFTS5(); err != nil {
		return err
	}
	p := &policy{conn: c}
	var err error
	if p.pageCount, err = c.Prepare("PRAGMA page_count"); err != nil {
		return err
	}
	c.Limit(sqlite3.LIMIT_LENGTH, MaxValue)
	c.Limit(sqlite3.LIMIT_SQL_LENGTH, MaxStatement)
	c.Limit(sqlite3.LIMIT_COLUMN, MaxColumns)
	c.Limit(sqlite3.LIMIT_VARIABLE_NUMBER, MaxParams)
	c.Limit(sqlite3.LIMIT_FUNCTION_ARG, MaxArguments)
	c.Limit(sqlite3.LIMIT_LIKE_PATTERN_LENGTH, MaxPattern)
	c.Limit(sqlite3.LIMIT_ATTACHED, 0)
	c.Limit(sqlite3.LIMIT_COMPOUND_SELECT, 5)
	c.Limit(sqlite3.LIMIT_EXPR_DEPTH, 100)
	c.Limit(sqlite3.LIMIT_TRIGGER_DEPTH, 10)
	c.Limit(sqlite3.LIMIT_VDBE_OP, 25_000)
	c.Limit(sqlite3.LIMIT_WORKER_THREADS, 0)
	c.Note = p
	return c.SetAuthorizer(p.judge)
}

// size is the size of the database in bytes as the connection sees it.
func (p *policy) size() (n int64) {
	p.conn.Trusted(func() error {
		if p.pageCount.Step() {
			n = p.pageCount.ColumnInt64(0) * pageSize
		}
		return p.pageCount.Reset()
	})
	return n
}

// pageSize is SQLite's default, which every database of ours has.
const pageSize = 4096

// restore undoes the settings that a call made, which last no longer than it.
func (p *policy) restore() error {
	p.setting = false
	return p.conn.Trusted(func() error {
		for name, kind := range pragmas {
			if kind == settingPragma {
				if err := p.conn.Exec("PRAGMA " + name + " = OFF"); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (p *policy) judge(action sqlite.Action, arg1, arg2, schema, inner string) sqlite.Verdict {
	switch action {
	case sqlite3.AUTH_SELECT, sqlite3.AUTH_RECURSIVE, sqlite3.AUTH_REINDEX:
		return sqlite.Allow
	case sqlite3.AUTH_READ, sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE, sqlite3.AUTH_ANALYZE,
		sqlite3.AUTH_CREATE_TABLE, sqlite3.AUTH_DROP_TABLE, sqlite3.AUTH_CREATE_VIEW, sqlite3.AUTH_DROP_VIEW:
		return allowName(arg1)
	case sqlite3.AUTH_CREATE_INDEX, sqlite3.AUTH_DROP_INDEX, sqlite3.AUTH_CREATE_TRIGGER, sqlite3.AUTH_DROP_TRIGGER:
		if allowName(arg1) == sqlite.Deny {
			return sqlite.Deny
		}
		return allowName(arg2)
	case sqlite3.AUTH_ALTER_TABLE:
		return allowName(arg2)
	case sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_VTABLE:
		if !modules[strings.ToLower(arg2)] {
			return sqlite.Deny
		}
		return allowName(arg1)
	case sqlite3.AUTH_FUNCTION:
		name := strings.ToLower(arg2)
		switch name {
		case "changes", "total_changes", "last_insert_rowid":
			p.counters = true
		}
		if !functions[name] {
			return sqlite.Deny
		}
		return sqlite.Allow
	case sqlite3.AUTH_PRAGMA:
		return p.pragma(strings.ToLower(arg1), arg2)
	case sqlite3.AUTH_TRANSACTION, sqlite3.AUTH_SAVEPOINT:
		p.transaction = true
	}
	// Refused with everything unknown: ATTACH, DETACH and temporary objects.
	return sqlite.Deny
}

// allowName refuses Cloudflare's reserved names. ALTER TABLE does not tell the
// new name, so a table can get one by renaming; nothing of ours relies on them.
func allowName(name string) sqlite.Verdict {
	if len(name) >= 4 && strings.EqualFold(name[:4], "_cf_") {
		return sqlite.Deny
	}
	return sqlite.Allow
}

func (p *policy) pragma(name, value string) sqlite.Verdict {
	// A pragma may act when it is prepared, so it has to be prepared each time.
	p.conn.DoNotCache()
	switch pragmas[name] {
	case readPragma:
		return sqlite.Allow
	case fixedPragma:
		if value != "" {
			return sqlite.Ignore
		}
		return sqlite.Allow
	case settingPragma:
		if value != "" {
			p.setting = true
		}
		return sqlite.Allow
	}
	return sqlite.Deny
}

type pragmaKind int

const (
	readPragma    pragmaKind = iota + 1 // tells something
	settingPragma                       // may be set, for the rest of the call
	fixedPragma                         // tells something; setting it has no effect
)

// pragmas are those D1 documents or answers.
//
// Source: https://developers.cloudflare.com/d1/sql-api/sql-statements/#compatible-pragma-statements
var pragmas = map[string]pragmaKind{
	"table_list": readPragma, "table_info": readPragma, "table_xinfo": readPragma,
	"index_list": readPragma, "index_info": readPragma, "index_xinfo": readPragma,
	"foreign_key_list": readPragma, "foreign_key_check": readPragma,
	"quick_check": readPragma, "optimize": readPragma, "data_version": readPragma,
	"page_size": fixedPragma, "foreign_keys": fixedPragma,
	"case_sensitive_like": settingPragma, "defer_foreign_keys": settingPragma,
	"ignore_check_constraints": settingPragma, "legacy_alter_table": settingPragma,
	"recursive_triggers": settingPragma, "reverse_unordered_selects": settingPragma,
}

// modules are the virtual tables that may be created.
var modules = map[string]bool{"fts5": true, "fts5vocab": true}

// functions are those that neither tell nor touch anything outside the
// database. The last lines are SQLite's own, which ALTER TABLE and ANALYZE
// call and a statement cannot.
//
// Source: https://developers.cloudflare.com/d1/sql-api/sql-statements/
var functions = words(`
	abs changes char coalesce concat concat_ws format glob hex ifnull iif instr last_insert_rowid length like
	likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign
	soundex substr substring total_changes trim typeof unhex unicode unlikely upper zeroblob
	date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp
	avg count group_concat string_agg sum total
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	json jsonb json_array jsonb_array json_array_length json_array_insert jsonb_array_insert json_error_position
	json_extract jsonb_extract -> ->> json_insert jsonb_insert json_object jsonb_object json_patch jsonb_patch
	json_pretty json_remove jsonb_remove json_replace jsonb_replace json_set jsonb_set json_type json_valid json_quote
	json_group_array jsonb_group_array json_group_object jsonb_group_object json_each json_tree jsonb_each jsonb_tree
	acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
	radians sin sinh sqrt tan tanh trunc
	match bm25 highlight snippet fts5 fts5_get_locale fts5_locale fts5_insttoken
	sqlite_rename_column sqlite_rename_table sqlite_rename_test sqlite_rename_quotefix sqlite_drop_column
	sqlite_drop_constraint sqlite_add_constraint sqlite_fail sqlite_find_constraint
	stat_init stat_push stat_get
`)

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}
