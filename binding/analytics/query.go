package analytics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Bounds of a query.
const (
	// queryTime is how long it may take, with the wait for its turn.
	queryTime = 20 * time.Second
	// maxAnswer is the size of the answer.
	maxAnswer = 16 << 20
	// maxHeld is what aggregate functions of ours hold.
	maxHeld = 64 << 20
)

// Answer is the result of a query.
type Answer struct {
	// Format is JSON, JSONEachRow or TabSeparated.
	Format string
	// Body is the result in that format.
	Body []byte
}

// ContentType is that of the body.
func (a *Answer) ContentType() string {
	switch a.Format {
	case "JSONEachRow":
		return "application/x-ndjson"
	case "TabSeparated":
		return "text/tab-separated-values; charset=utf-8"
	}
	return "application/json"
}

// Query runs a statement of the SQL API on all points that were written before.
// An *InputError says what is wrong with the statement, or that it asks for too
// much.
func (s *Store) Query(ctx context.Context, text string) (*Answer, error) {
	st, err := parse(text)
	if err != nil {
		return nil, err
	}
	if err := s.Flush(ctx); err != nil {
		s.log.Error("data points cannot be written and are lost", "err", err)
	}
	w := &writer{format: st.format}
	switch st.show {
	case "TABLES":
		w.begin([]resultColumn{{"dataset", stringType}, {"type", stringType}})
		for _, name := range s.Datasets() {
			w.row([]any{name, "table"})
		}
		return w.end(), nil
	case "TIMEZONE":
		w.begin([]resultColumn{{"timezone", stringType}})
		w.row([]any{"Etc/UTC"})
		return w.end(), nil
	}
	c, err := compile(st.query, s.now(), func(name string) (string, bool) {
		s.writing.Lock()
		defer s.writing.Unlock()
		id, ok := s.tables[name]
		return tableName(id), ok
	})
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, c, w)
}

var errTooLarge = errors.New("the answer is too large")

func (s *Store) answer(ctx context.Context, c *compiled, w *writer) (*Answer, error) {
	limited, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	w.begin(c.columns)
	var inner error
	err := s.db.Read(limited, func(conn *sqlite.Conn) error {
		own := conn.Note.(*session)
		own.left, own.err = maxHeld, nil
		row := make([]any, len(c.columns))
		err := conn.Query(c.sql, c.args, func(r *sqlite.Stmt) error {
			for i := range row {
				row[i] = nil
				switch r.ColumnType(i) {
				case sqlite.Integer:
					row[i] = r.ColumnInt64(i)
				case sqlite.Float:
					row[i] = r.ColumnFloat(i)
				case sqlite.Text:
					row[i] = r.ColumnText(i)
				}
			}
			w.row(row)
			if w.body.Len() > maxAnswer {
				return errTooLarge
			}
			return nil
		})
		inner = own.err
		return err
	})
	var wrong *InputError
	switch {
	case err == nil:
		return w.end(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(inner, &wrong):
		return nil, inner
	case errors.Is(err, errTooLarge):
		return nil, invalid("the answer has more than %d MiB; add LIMIT, or aggregate", maxAnswer>>20)
	case errors.Is(inner, errTooMuch), errors.Is(err, sqlite.ErrMemory):
		return nil, invalid("the query needs too much memory; ask for less time, or fewer groups")
	case limited.Err() != nil, errors.Is(err, sqlite.ErrOverloaded):
		return nil, invalid("the query took longer than %v; ask for less time", queryTime)
	case strings.Contains(err.Error(), "integer overflow"):
		return nil, invalid("a sum is beyond 64 bits; sum a Float64: sum(x * 1.0)")
	}
	return nil, err
}

// writer writes rows in one of the formats.
type writer struct {
	format  string
	columns []resultColumn
	names   [][]byte // in JSON
	body    bytes.Buffer
	rows    int
}

func (w *writer) begin(columns []resultColumn) {
	w.columns = columns
	for _, c := range columns {
		w.names = append(w.names, quoteJSON(c.name))
	}
	if w.format != "JSON" {
		return
	}
	w.body.WriteString(`{"meta":[`)
	for i, c := range columns {
		if i > 0 {
			w.body.WriteByte(',')
		}
		w.body.WriteString(`{"name":`)
		w.body.Write(w.names[i])
		w.body.WriteString(`,"type":`)
		w.body.Write(quoteJSON(c.typ.String()))
		w.body.WriteByte('}')
	}
	w.body.WriteString(`],"data":[`)
}

func (w *writer) row(values []any) {
	b := &w.body
	if w.rows++; w.format == "TabSeparated" {
		for i, v := range values {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(tabs.Replace(w.columns[i].typ.plain(v)))
		}
		b.WriteByte('\n')
		return
	}
	if w.format == "JSON" && w.rows > 1 {
		b.WriteByte(',')
	}
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(w.names[i])
		b.WriteByte(':')
		b.Write(w.columns[i].typ.json(v))
	}
	b.WriteByte('}')
	if w.format != "JSON" {
		b.WriteByte('\n')
	}
}

func (w *writer) end() *Answer {
	if w.format == "JSON" {
		w.body.WriteString(`],"rows":` + strconv.Itoa(w.rows) + "}\n")
	}
	return &Answer{w.format, w.body.Bytes()}
}

// tabs escapes what would end a column or a row.
var tabs = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func quoteJSON(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(strings.ToValidUTF8(s, "\ufffd")) // a string
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// plain is a value as text.
func (t typ) plain(v any) string {
	if v == nil {
		return "nan" // no other value is missing
	}
	switch t.class {
	case dateTime:
		return time.Unix(v.(int64), 0).In(t.location()).Format(time.DateTime)
	case date:
		return time.Unix(v.(int64), 0).UTC().Format(time.DateOnly)
	case boolean:
		return strconv.FormatBool(v.(int64) != 0)
	}
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return number64(v.(float64))
}

func number64(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.Abs(f) >= 1e21 || f != 0 && math.Abs(f) < 1e-6:
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// json is a value in JSON. Whole numbers of 64 bits are strings, as in
// ClickHouse, because JavaScript's numbers have fewer.
func (t typ) json(v any) []byte {
	f, isFloat := v.(float64)
	switch {
	case v == nil || isFloat && math.IsInf(f, 0):
		return []byte("null")
	case t.class == integer && t.bits < 64, t.class == float, t.class == boolean, t.class == array:
		return []byte(t.plain(v))
	}
	return quoteJSON(t.plain(v))
}
