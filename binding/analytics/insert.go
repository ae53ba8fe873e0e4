package analytics

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// insert writes points within a transaction. made gets the data sets that are new.
func (s *Store) insert(c *sqlite.Conn, p pending, made map[string]int64) error {
	var seq int64
	err := c.Query("SELECT seq FROM next", nil, func(r *sqlite.Stmt) error {
		seq = r.ColumnInt64(0)
		return nil
	})
	if err != nil {
		return err
	}
	now := s.now()
	for k, g := range p.groups {
		id, ok := s.tables[k.dataset]
		if !ok {
			id, ok = made[k.dataset]
		}
		if !ok {
			if id, err = create(c, k.dataset); err != nil {
				return err
			}
			made[k.dataset] = id
		}
		if err := insertGroup(c, id, g, &seq, now); err != nil {
			return err
		}
	}
	return c.Exec("UPDATE next SET seq = ?", seq)
}

func insertGroup(c *sqlite.Conn, table int64, g *group, seq *int64, now time.Time) error {
	st, err := c.Prepare(insertInto(table))
	if err != nil {
		return err
	}
	defer st.Done()
	for i, p := range g.kept {
		*seq++
		values := [4 + MaxBlobs + MaxDoubles]any{p.seconds(now), *seq, g.interval(i), p.Index}
		for j := range MaxBlobs {
			text := ""
			if j < len(p.Blobs) {
				text = p.Blobs[j]
			}
			values[4+j] = text
		}
		for j := range MaxDoubles {
			d := 0.0
			if j < len(p.Doubles) {
				d = p.Doubles[j]
			}
			values[4+MaxBlobs+j] = d
			if math.IsNaN(d) {
				values[4+MaxBlobs+j] = nil
			}
		}
		for j, v := range values {
			if err := st.Bind(j+1, v); err != nil {
				return err
			}
		}
		st.Step()
		if err := st.Finish(); err != nil {
			return err
		}
	}
	return nil
}

// columns are those of a table after the first two, in order.
var columns = func() []string {
	list := []string{"_sample_interval", "index1"}
	for i := range MaxBlobs {
		list = append(list, fmt.Sprintf("blob%d", i+1))
	}
	for i := range MaxDoubles {
		list = append(list, fmt.Sprintf("double%d", i+1))
	}
	return list
}()

func tableName(id int64) string { return fmt.Sprintf("points_%d", id) }

func insertInto(table int64) string {
	return "INSERT INTO " + tableName(table) + " (timestamp, seq, " + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", 1+len(columns)) + ")"
}

// create makes the table of a data set.
func create(c *sqlite.Conn, name string) (id int64, err error) {
	if err := c.Exec("INSERT INTO dataset (name) VALUES (?)", name); err != nil {
		return 0, err
	}
	id = c.LastInsertRowID()
	ddl := "CREATE TABLE " + tableName(id) + " (timestamp INTEGER NOT NULL, seq INTEGER NOT NULL"
	for _, column := range columns {
		switch {
		case column == "_sample_interval":
			ddl += ", " + column + " INTEGER NOT NULL"
		case strings.HasPrefix(column, "double"):
			ddl += ", " + column + " REAL" // NULL: not a number
		default:
			ddl += ", " + column + " TEXT NOT NULL"
		}
	}
	return id, c.Exec(ddl + ", PRIMARY KEY (timestamp, seq)) STRICT, WITHOUT ROWID")
}
