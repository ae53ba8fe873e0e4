package d1

import "github.com/selvage-edge/selvage/storage/sqlite"

// format is how results are laid out in JSON: an array with one element per
// statement.
type format int

const (
	objects        format = iota // {"success":true,"results":[{"a":1}],"meta":{…}}
	rowsAndColumns               // {"success":true,"results":{"columns":["a"],"rows":[[1]]},"meta":{…}}
	rawRows                      // {"columns":["a"],"rows":[[1]]}
	firstRow                     // {"a":1}, or null
	durations                    // milliseconds
)

// jsonOutput encodes results as they arise.
type jsonOutput struct {
	format format
	spill

	results int
	rows    int      // of the current result
	keys    [][]byte // `"name":` of each column, for objects
}

// newJSONOutput begins in the memory of buf and goes on in a file in dir.
// Close it.
func newJSONOutput(f format, dir string, buf []byte) *jsonOutput {
	return &jsonOutput{format: f, spill: spill{dir: dir, buf: append(buf[:0], '[')}}
}

func (o *jsonOutput) reset() {
	o.spill.reset()
	o.buf = append(o.buf, '[')
	o.results, o.rows = 0, 0
}

// finish ends the array, after which it can be written.
func (o *jsonOutput) finish() { o.buf = append(o.buf, ']') }

// wanted reports whether the next row of the current result is told.
func (o *jsonOutput) wanted() bool {
	return o.format != durations && (o.format != firstRow || o.rows == 0)
}

func (o *jsonOutput) row(s *sqlite.Stmt) error {
	if o.rows == 0 {
		o.open(s.Columns())
	}
	if !o.wanted() {
		o.rows++
		return nil
	}
	if o.rows > 0 {
		o.buf = append(o.buf, ',')
	}
	o.rows++
	begin, end := byte('['), byte(']')
	named := o.format == objects || o.format == firstRow
	if named {
		begin, end = '{', '}'
	}
	o.buf = append(o.buf, begin)
	for i := range s.ColumnCount() {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		if named {
			o.buf = append(o.buf, o.keys[i]...)
		}
		o.buf = appendColumn(o.buf, s, i)
	}
	o.buf = append(o.buf, end)
	if o.size() > MaxResult {
		return &Error{Message: textMemory}
	}
	return o.settle()
}

// open begins a result.
func (o *jsonOutput) open(columns []string) {
	if o.results > 0 {
		o.buf = append(o.buf, ',')
	}
	o.results++
	switch o.format {
	case objects:
		o.name(columns)
		o.buf = append(o.buf, `{"success":true,"results":[`...)
	case rowsAndColumns:
		o.buf = append(o.buf, `{"success":true,"results":`...)
		o.list(columns)
	case rawRows:
		o.list(columns)
	case firstRow:
		o.name(columns)
	}
}

// name prepares the keys of objects.
func (o *jsonOutput) name(columns []string) {
	o.keys = o.keys[:0]
	for _, name := range columns {
		o.keys = append(o.keys, append(appendString(nil, name), ':'))
	}
}

// list begins an object with columns and rows.
func (o *jsonOutput) list(columns []string) {
	o.buf = append(o.buf, `{"columns":[`...)
	for i, name := range columns {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = appendString(o.buf, name)
	}
	o.buf = append(o.buf, `],"rows":[`...)
}

func (o *jsonOutput) end(s *sqlite.Stmt, m *Meta) error {
	if o.rows == 0 {
		o.open(s.Columns())
	}
	switch o.format {
	case objects:
		o.buf = append(m.append(append(o.buf, `],"meta":`...)), '}')
	case rowsAndColumns:
		o.buf = append(m.append(append(o.buf, `]},"meta":`...)), '}')
	case rawRows:
		o.buf = append(o.buf, "]}"...)
	case firstRow:
		if o.rows == 0 {
			o.buf = append(o.buf, "null"...)
		}
	case durations:
		o.buf = m.appendDuration(o.buf)
	}
	o.rows = 0
	return nil
}
