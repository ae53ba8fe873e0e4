package d1

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// append encodes the meta object that Workers and wrangler see.
func (m *Meta) append(b []byte) []byte {
	b = append(b, `{"served_by":"selvage","served_by_primary":true,"total_attempts":1,"timings":{"sql_duration_ms":`...)
	b = m.appendDuration(b)
	b = append(b, `},"duration":`...)
	b = m.appendDuration(b)
	b = append(b, `,"changes":`...)
	b = strconv.AppendInt(b, m.Changes, 10)
	b = append(b, `,"last_row_id":`...)
	b = strconv.AppendInt(b, m.LastRowID, 10)
	b = append(b, `,"changed_db":`...)
	b = strconv.AppendBool(b, m.ChangedDB)
	b = append(b, `,"size_after":`...)
	b = strconv.AppendInt(b, m.SizeAfter, 10)
	b = append(b, `,"rows_read":`...)
	b = strconv.AppendInt(b, m.RowsRead, 10)
	b = append(b, `,"rows_written":`...)
	b = strconv.AppendInt(b, m.RowsWritten, 10)
	return append(b, '}')
}

// appendDuration encodes the duration in milliseconds.
func (m *Meta) appendDuration(b []byte) []byte {
	return strconv.AppendFloat(b, float64(m.Duration)/float64(time.Millisecond), 'f', 4, 64)
}

func appendColumn(b []byte, s *sqlite.Stmt, i int) []byte {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return strconv.AppendInt(b, s.ColumnInt64(i), 10)
	case sqlite3.FLOAT:
		return appendFloat(b, s.ColumnFloat(i))
	case sqlite3.TEXT:
		return appendText(b, s.ColumnRawText(i))
	case sqlite3.BLOB:
		b = append(b, '[')
		for j, v := range s.ColumnRawBlob(i) {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(v), 10)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

// appendFloat writes what JavaScript's JSON.stringify would: infinities are null.
func appendFloat(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(b, "null"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

func appendString(b []byte, s string) []byte { return appendText(b, []byte(s)) }

// appendText writes s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendText(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[from:i]...)
			b = append(b, "\ufffd"...)
			i++
			from = i
			continue
		}
		i += n
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// wireQuery is a statement as workerd and wrangler send it.
type wireQuery struct {
	SQL    string      `json:"sql"`
	Params []wireParam `json:"params"`
}

func (q *wireQuery) query() query {
	var params []any
	for _, p := range q.Params {
		params = append(params, p.value)
	}
	return query{sql: q.SQL, params: params}
}

// wireParam is a bound value: number, string, null, boolean or an array of
// bytes. Numbers are REAL, as JavaScript's are; a column's affinity turns them
// into integers.
type wireParam struct{ value any }

// UnmarshalJSON implements json.Unmarshaler.
func (p *wireParam) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var s string
		err := json.Unmarshal(data, &s)
		p.value = s
		return err
	case 'n':
		p.value = nil
	case 't':
		p.value = float64(1)
	case 'f':
		p.value = float64(0)
	case '[':
		return p.blob(data)
	case '{':
		return fmt.Errorf("parameter is an object; use a number, string, null or array of bytes")
	default:
		f, err := strconv.ParseFloat(string(data), 64)
		if err != nil {
			return fmt.Errorf("parameter %s is out of range", data)
		}
		p.value = f
	}
	return nil
}

func (p *wireParam) blob(data []byte) error {
	blob := make([]byte, 0, len(data)/3)
	n, digits := 0, 0
	for _, c := range data[1:] {
		switch {
		case c >= '0' && c <= '9':
			n, digits = n*10+int(c-'0'), digits+1
			if n > 255 {
				return fmt.Errorf("parameter holds a number that is not a byte")
			}
		case c == ',' || c == ']':
			if digits > 0 {
				blob = append(blob, byte(n))
			}
			n, digits = 0, 0
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		default:
			return fmt.Errorf("parameter is an array of something other than bytes")
		}
	}
	p.value = blob
	return nil
}
