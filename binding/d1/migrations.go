package d1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// DefaultMigrationsTable is where wrangler remembers what it applied.
const DefaultMigrationsTable = "d1_migrations"

// DefaultMigrationsDir is where wrangler looks for migrations.
const DefaultMigrationsDir = "migrations"

// Migrations are the SQL files of a directory and the table that remembers
// which of them a database has seen. Both are wrangler's: the two tools can
// take turns on one database.
//
// Source: https://developers.cloudflare.com/d1/reference/migrations/
type Migrations struct {
	// Dir holds files named NNNN_message.sql.
	Dir string
	// Table defaults to DefaultMigrationsTable.
	Table string
}

// AppliedMigration is a row of the migrations table.
type AppliedMigration struct {
	ID   int64
	Name string
	// At is the database's CURRENT_TIMESTAMP: "2026-11-20 12:00:00", UTC.
	At string
}

// Files lists the names of the migrations in the order in which they apply: by
// number, then by name. A directory that does not exist has none.
func (m Migrations) Files() ([]string, error) {
	entries, err := os.ReadDir(m.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".sql") {
			names = append(names, e.Name())
		}
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := migrationNumber(names[i]), migrationNumber(names[j])
		return a < b || a == b && names[i] < names[j]
	})
	return names, nil
}

func migrationNumber(name string) int {
	digits, _, _ := strings.Cut(name, "_")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1 << 30 // after all that are numbered
	}
	return n
}

// Create writes an empty migration with the next number and returns its path.
func (m Migrations) Create(message string, now time.Time) (string, error) {
	names, err := m.Files()
	if err != nil {
		return "", err
	}
	next := 1
	for _, name := range names {
		if n := migrationNumber(name); n < 1<<30 {
			next = max(next, n+1)
		}
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return "", fmt.Errorf("create migration: %w", err)
	}
	slug := strings.Trim(regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllString(message, "_"), "_")
	path := filepath.Join(m.Dir, fmt.Sprintf("%04d_%s.sql", next, slug))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", fmt.Errorf("create migration: %w", err)
	}
	_, err = fmt.Fprintf(f, "-- Migration number: %04d \t %s\n", next, now.UTC().Format("2006-01-02T15:04:05.000Z"))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("create migration: %w", err)
	}
	return path, nil
}

func (m Migrations) table() string {
	name := m.Table
	if name == "" {
		name = DefaultMigrationsTable
	}
	return quoteName(name)
}

// Applied lists the migrations that db has seen and makes the table if it is
// missing.
func (m Migrations) Applied(ctx context.Context, db *Database) ([]AppliedMigration, error) {
	_, err := db.Prepare(`CREATE TABLE IF NOT EXISTS ` + m.table() + `(
		id         INTEGER PRIMARY KEY AUTOINCREMENT,
		name       TEXT UNIQUE,
		applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`).Run(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.Prepare("SELECT id, name, applied_at FROM " + m.table() + " ORDER BY id").Raw(ctx)
	if err != nil {
		return nil, err
	}
	var list []AppliedMigration
	for _, r := range rows {
		var a AppliedMigration
		a.ID, _ = r[0].(int64)
		a.Name, _ = r[1].(string)
		a.At, _ = r[2].(string)
		list = append(list, a)
	}
	return list, nil
}

// Unapplied lists the migrations that db has not seen, in their order.
func (m Migrations) Unapplied(ctx context.Context, db *Database) ([]string, error) {
	applied, err := m.Applied(ctx, db)
	if err != nil {
		return nil, err
	}
	names, err := m.Files()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(applied, func(a AppliedMigration) bool { return a.Name == name })
	}), nil
}

// Apply runs the migrations that db has not seen, each with its row in the
// table in one transaction, and returns their names. It stops at the first
// that fails, which leaves no trace.
func (m Migrations) Apply(ctx context.Context, db *Database) (applied []string, err error) {
	names, err := m.Unapplied(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return applied, fmt.Errorf("read migration: %w", err)
		}
		queries := []query{
			{sql: string(text), dump: true},
			{sql: "INSERT INTO " + m.table() + " (name) VALUES (?)", params: []any{name}},
		}
		if _, err := db.results(ctx, queries); err != nil {
			return applied, fmt.Errorf("migration %s: %w", name, err)
		}
		applied = append(applied, name)
	}
	return applied, nil
}

// quoteName makes any text a name in SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
