package d1

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// maxTransferTime bounds an import or an export.
const maxTransferTime = 30 * time.Minute

// ImportResult tells what an import did.
type ImportResult struct {
	// Queries is the number of statements.
	Queries int
	// Meta sums up all statements.
	Meta Meta
}

// Import runs the SQL text in r, of any length, as one transaction that may
// take half an hour. BEGIN and COMMIT around a dump are left out. Other calls
// that write wait, and fail if that takes too long.
func (d *Database) Import(ctx context.Context, r io.Reader) (ImportResult, error) {
	file, err := d.acquire()
	if err != nil {
		return ImportResult{}, err
	}
	defer d.release()
	lease, err := d.store.opts.Memory.Take(ctx, "", mostHeap)
	if err != nil {
		return ImportResult{}, translate(err)
	}
	defer lease.Release()
	var result ImportResult
	ctx = &sqlite.Deadline{Context: ctx, At: time.Now().Add(maxTransferTime)}
	err = file.Write(ctx, func(c *sqlite.Conn) error {
		k := &call{d: d, c: c, p: c.Note.(*policy), each: true, out: (*importOutput)(&result)}
		if err := d.limitSize(k.p); err != nil {
			return err
		}
		return k.finish(c.Tx(func() error {
			text := statementReader{r: r}
			for {
				statement, err := text.next()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if transactional(statement) {
					continue
				}
				if err := k.statement(statement, nil, true); err != nil {
					return fmt.Errorf("statement %d: %w", result.Queries+1, translate(err))
				}
				result.Queries++
			}
		}))
	})
	if err != nil {
		return ImportResult{}, d.failed(ctx, err)
	}
	if result.Queries == 0 {
		return ImportResult{}, &Error{Message: textNoStatement}
	}
	return result, nil
}

// importOutput drops rows and sums up the figures.
type importOutput ImportResult

func (*importOutput) row(*sqlite.Stmt) error { return nil }
func (*importOutput) reset()                 {}

func (o *importOutput) end(_ *sqlite.Stmt, m *Meta) error {
	o.Meta.Duration += m.Duration
	o.Meta.Changes += m.Changes
	o.Meta.RowsRead += m.RowsRead
	o.Meta.RowsWritten += m.RowsWritten
	o.Meta.ChangedDB = o.Meta.ChangedDB || m.ChangedDB
	o.Meta.LastRowID, o.Meta.SizeAfter = m.LastRowID, m.SizeAfter
	return nil
}

// statementReader cuts a stream into statements.
type statementReader struct {
	r    io.Reader
	text string
	eof  bool
}

// next returns the next statement, or io.EOF.
func (s *statementReader) next() (string, error) {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n;")
		statement, rest, complete := cut(s.text)
		switch {
		case complete || s.eof:
			if s.eof && !complete && blank(statement) {
				return "", io.EOF
			}
			s.text = rest
			if !blank(statement) {
				return statement, nil
			}
			continue
		case len(s.text) > 2*MaxStatement:
			return "", &Error{Message: textLong}
		}
		chunk := make([]byte, 64<<10)
		n, err := io.ReadFull(s.r, chunk)
		s.text += string(chunk[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			s.eof = true
		} else if err != nil {
			return "", err
		}
	}
}

// ExportOptions choose what a dump holds.
type ExportOptions struct {
	// NoSchema leaves out CREATE statements, NoData the rows.
	NoSchema bool `json:"no_schema"`
	NoData   bool `json:"no_data"`
	// Tables limits the dump to these; empty means all.
	Tables []string `json:"tables"`
}

// Export writes the database as SQL text that Import accepts, as it was at one
// moment. Databases with virtual tables cannot be exported, as on Cloudflare.
func (d *Database) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	file, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	ctx = &sqlite.Deadline{Context: ctx, At: time.Now().Add(maxTransferTime)}
	b := bufio.NewWriterSize(w, 64<<10)
	err = file.Read(ctx, func(c *sqlite.Conn) error {
		return c.Tx(func() error { return (&exporter{c: c, w: b, o: o}).run() })
	})
	if err == nil {
		err = b.Flush()
	}
	return d.failed(ctx, err)
}

type exporter struct {
	c *sqlite.Conn
	w *bufio.Writer
	o ExportOptions
}

type schemaEntry struct{ kind, name, table, sql string }

func (x *exporter) run() error {
	var schema []schemaEntry
	err := x.c.Query(`SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL
		AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE '!_cf!_%' ESCAPE '!' ORDER BY rowid`, nil,
		func(s *sqlite.Stmt) error {
			schema = append(schema, schemaEntry{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)})
			return nil
		})
	if err != nil {
		return err
	}
	x.w.WriteString("PRAGMA defer_foreign_keys=TRUE;\n")
	// All tables come before all rows: a row may refer to a later table.
	var tables []string
	for _, e := range schema {
		if e.kind != "table" || !x.wanted(e.table) {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(e.sql), "CREATE VIRTUAL") {
			return errorf("D1 Export error: cannot export databases with Virtual Tables (%s)", e.name)
		}
		if !x.o.NoSchema {
			fmt.Fprintf(x.w, "%s;\n", e.sql)
		}
		tables = append(tables, e.name)
	}
	if !x.o.NoData {
		for _, name := range tables {
			if err := x.rows(name); err != nil {
				return err
			}
		}
		if err := x.sequences(tables); err != nil {
			return err
		}
	}
	if x.o.NoSchema {
		return nil
	}
	for _, e := range schema {
		if e.kind != "table" && x.wanted(e.table) {
			fmt.Fprintf(x.w, "%s;\n", e.sql)
		}
	}
	return nil
}

func (x *exporter) wanted(table string) bool {
	return len(x.o.Tables) == 0 || slices.Contains(x.o.Tables, table)
}

func (x *exporter) rows(table string) error {
	var columns []string
	// hidden 2 and 3 are generated columns, which cannot be inserted.
	err := x.c.Query("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", []any{table}, func(s *sqlite.Stmt) error {
		columns = append(columns, quoteName(s.ColumnText(0)))
		return nil
	})
	if err != nil {
		return err
	}
	list := strings.Join(columns, ",")
	head := "INSERT INTO " + quoteName(table) + " (" + list + ") VALUES("
	var line []byte
	return x.c.Query("SELECT "+list+" FROM "+quoteName(table), nil, func(s *sqlite.Stmt) error {
		line = append(line[:0], head...)
		for i := range columns {
			if i > 0 {
				line = append(line, ',')
			}
			line = appendLiteral(line, s, i)
		}
		_, err := x.w.Write(append(line, ");\n"...))
		return err
	})
}

// sequences dumps the counters of AUTOINCREMENT columns.
func (x *exporter) sequences(tables []string) error {
	exists := false
	err := x.c.Query("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'", nil, func(*sqlite.Stmt) error { exists = true; return nil })
	if err != nil || !exists || len(tables) == 0 {
		return err
	}
	if len(x.o.Tables) == 0 {
		x.w.WriteString("DELETE FROM sqlite_sequence;\n")
	}
	return x.c.Query("SELECT name, seq FROM sqlite_sequence", nil, func(s *sqlite.Stmt) error {
		if slices.Contains(tables, s.ColumnText(0)) {
			line := appendLiteral([]byte(`INSERT INTO "sqlite_sequence" ("name","seq") VALUES(`), s, 0)
			line = appendLiteral(append(line, ','), s, 1)
			x.w.Write(append(line, ");\n"...)) // a failed write is reported by Flush
		}
		return nil
	})
}

// appendLiteral writes column i as an SQL literal that gives the same value back.
func appendLiteral(b []byte, s *sqlite.Stmt, i int) []byte {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return strconv.AppendInt(b, s.ColumnInt64(i), 10)
	case sqlite3.FLOAT:
		f := s.ColumnFloat(i)
		if math.IsInf(f, 0) {
			if f < 0 {
				b = append(b, '-')
			}
			return append(b, "9e999"...)
		}
		start := len(b)
		b = strconv.AppendFloat(b, f, 'g', -1, 64)
		if !slices.ContainsFunc(b[start:], func(c byte) bool { return c == '.' || c == 'e' }) {
			b = append(b, ".0"...)
		}
		return b
	case sqlite3.TEXT:
		text := s.ColumnRawText(i)
		if !utf8.Valid(text) || slices.Contains(text, 0) {
			b = append(b, "CAST(X'"...)
			b = hex.AppendEncode(b, text)
			return append(b, "' AS TEXT)"...)
		}
		b = append(b, '\'')
		b = append(b, strings.ReplaceAll(string(text), "'", "''")...)
		return append(b, '\'')
	case sqlite3.BLOB:
		b = append(b, "X'"...)
		b = hex.AppendEncode(b, s.ColumnRawBlob(i))
		return append(b, '\'')
	}
	return append(b, "NULL"...)
}
