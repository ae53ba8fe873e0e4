package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/project/manifest"
)

type d1Command struct {
	Execute    d1ExecuteCommand    `cmd:"" help:"Run SQL in a database."`
	Migrations d1MigrationsCommand `cmd:"" help:"Work with a database's migrations."`
}

type d1MigrationsCommand struct {
	Apply  d1ApplyCommand  `cmd:"" help:"Apply the migrations that have not been applied yet."`
	List   d1ListCommand   `cmd:"" help:"List the migrations that have not been applied yet."`
	Create d1CreateCommand `cmd:"" help:"Create an empty migration file."`
}

// d1Target is how each command names its database.
type d1Target struct {
	dataFlag
	projectFlag
	Name string `arg:"" help:"Name, binding or id of the database."`
}

// find returns the project's settings of the database. declared is false when
// no project here names it; then the settings are the defaults.
func (t *d1Target) find() (db manifest.Database, declared bool, err error) {
	db = manifest.Database{ID: t.Name, Name: t.Name, MigrationsDir: d1.DefaultMigrationsDir}
	m, err := t.project()
	if errors.Is(err, errNoProject) {
		return db, false, nil
	}
	if err != nil {
		return db, false, err
	}
	if found, ok := m.database(t.Name); ok {
		return found, true, nil
	}
	return db, false, nil
}

// open connects and returns the path of the database.
func (t *d1Target) open(ctx context.Context) (c *client, path string, db manifest.Database, err error) {
	db, declared, err := t.find()
	if err != nil {
		return nil, "", db, err
	}
	data, err := t.dataDir(&t.dataFlag)
	if err != nil {
		return nil, "", db, err
	}
	if c, err = connect(ctx, data); err != nil {
		return nil, "", db, err
	}
	if !declared {
		running, err := c.resource(ctx, "d1", t.Name)
		if err != nil {
			return nil, "", db, errors.Join(err, c.close())
		}
		if running != nil {
			db = manifest.Database{ID: running.ID, Name: running.Name, MigrationsDir: running.MigrationsDir, MigrationsTable: running.MigrationsTable}
			declared = true
		}
	}
	var info struct{ UUID string }
	err = c.call(ctx, http.MethodGet, c.path("d1", "database", db.ID), nil, &info)
	if e := (*api.Error)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound {
		err = fmt.Errorf("there is no database %q in %s; name it as the project's configuration does and say with --config where that is", t.Name, data)
		if declared {
			// A project's database exists from the moment its configuration names it.
			info.UUID = db.ID
			err = c.call(ctx, http.MethodPut, "/local/d1/"+url.PathEscape(db.ID), nil, nil)
		}
	}
	if err != nil {
		return nil, "", db, errors.Join(err, c.close())
	}
	db.ID = info.UUID
	return c, c.path("d1", "database", db.ID), db, nil
}

// d1Result is one statement's answer from the REST API.
type d1Result struct {
	Results []json.RawMessage `json:"results"`
	Success bool              `json:"success"`
	Meta    json.RawMessage   `json:"meta"`
}

func query(ctx context.Context, c *client, path, sql string, params ...any) (results []d1Result, err error) {
	body := map[string]any{"sql": sql}
	if len(params) > 0 {
		body["params"] = params
	}
	return results, c.call(ctx, http.MethodPost, path+"/query", body, &results)
}

type d1ExecuteCommand struct {
	d1Target
	Command string `help:"SQL to run; several statements are separated by semicolons." xor:"sql" placeholder:"SQL"`
	File    string `help:"File of SQL to run; - is stdin." xor:"sql" type:"path" placeholder:"FILE"`
	JSON    bool   `help:"Print the results as JSON."`
}

func (d *d1ExecuteCommand) Run(ctx context.Context, streams IO) (err error) {
	sql := d.Command
	if d.File != "" {
		data, err := readFileOrStdin(d.File, streams.Stdin)
		if err != nil {
			return err
		}
		sql = string(data)
	}
	if strings.TrimSpace(sql) == "" {
		return usagef("give the SQL with --command or --file")
	}
	c, path, _, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	results, err := query(ctx, c, path, sql)
	if err != nil {
		return err
	}
	if d.JSON {
		return printJSON(streams.Stdout, results)
	}
	for _, r := range results {
		if err := printRows(streams.Stdout, r.Results); err != nil {
			return err
		}
	}
	return nil
}

// printRows prints rows as a table whose columns are in the order in which the
// first row has them.
func printRows(out io.Writer, rows []json.RawMessage) error {
	if len(rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, row := range rows {
		names, cells, err := columns(row)
		if err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(w, strings.Join(names, "\t"))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// columns takes a JSON object apart without losing its order.
func columns(row json.RawMessage) (names, cells []string, err error) {
	d := json.NewDecoder(strings.NewReader(string(row)))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
		text := fmt.Sprint(value)
		if value == nil {
			text = "NULL"
		}
		names = append(names, fmt.Sprint(name))
		cells = append(cells, strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(text))
	}
	return names, cells, nil
}

type d1ApplyCommand struct{ d1Target }

func (d *d1ApplyCommand) Run(ctx context.Context, streams IO) error {
	names, err := d.migrations(ctx, true)
	for _, name := range names {
		fmt.Fprintln(streams.Stdout, "Applied", name)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintln(streams.Stdout, "No migrations to apply.")
	}
	return err
}

type d1ListCommand struct {
	d1Target
	JSON bool `help:"Print JSON."`
}

func (d *d1ListCommand) Run(ctx context.Context, streams IO) error {
	names, err := d.migrations(ctx, false)
	if err != nil {
		return err
	}
	if d.JSON {
		return printJSON(streams.Stdout, names)
	}
	if len(names) == 0 {
		fmt.Fprintln(streams.Stdout, "No migrations to apply.")
	}
	for _, n := range names {
		fmt.Fprintln(streams.Stdout, n)
	}
	return nil
}

// migrations applies, or only lists, the unapplied migrations of the database.
func (d *d1Target) migrations(ctx context.Context, apply bool) (names []string, err error) {
	c, _, db, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	dir, err := filepath.Abs(db.MigrationsDir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("no migrations folder: %w; name the project with --config", err)
	}
	var result d1.MigrationsResult
	err = c.call(ctx, http.MethodPost, "/local/d1/"+url.PathEscape(db.ID)+"/migrations",
		d1.MigrationsRequest{Dir: dir, Table: db.MigrationsTable, Apply: apply}, &result)
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	return result.Names, err
}

type d1CreateCommand struct {
	d1Target
	Message string `arg:"" help:"What the migration does; becomes part of the file's name."`
}

func (d *d1CreateCommand) Run(ctx context.Context, streams IO) error {
	db, declared, err := d.find()
	if err == nil && !declared && d.Data != "" { // the project may run there
		var c *client
		if c, _, db, err = d.open(ctx); err == nil {
			err = c.close()
		}
	}
	if err != nil {
		return err
	}
	path, err := d1.Migrations{Dir: db.MigrationsDir, Table: db.MigrationsTable}.Create(d.Message, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintln(streams.Stdout, path)
	return nil
}
