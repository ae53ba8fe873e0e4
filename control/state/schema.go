package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// migrations bring the database from one schema version to the next; the
// number of those applied is PRAGMA user_version. Entries are only ever added.
// testdata has a database of each older version, which a test upgrades.
//
// A record is one JSON document in data. Columns exist for what is looked up,
// ordered or unique.
var migrations = []string{
	0: `
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE workers (name TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	number INTEGER NOT NULL,
	data TEXT NOT NULL,
	UNIQUE (worker, number)
) WITHOUT ROWID;
CREATE TABLE modules (
	version TEXT NOT NULL REFERENCES versions(id) ON DELETE CASCADE,
	digest TEXT NOT NULL,
	PRIMARY KEY (version, digest)
) WITHOUT ROWID;
CREATE INDEX modules_digest ON modules (digest);
CREATE TABLE deployments (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	data TEXT NOT NULL
);
CREATE INDEX deployments_worker ON deployments (worker, seq);
CREATE TABLE secrets (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	sealed BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX secrets_worker ON secrets (worker);
CREATE TABLE zones (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE routes (
	id TEXT PRIMARY KEY,
	pattern TEXT NOT NULL UNIQUE,
	worker TEXT REFERENCES workers(name) ON DELETE CASCADE,
	zone TEXT NOT NULL REFERENCES zones(id) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX routes_worker ON routes (worker);
CREATE TABLE domains (
	id TEXT PRIMARY KEY,
	hostname TEXT NOT NULL UNIQUE,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	zone TEXT NOT NULL REFERENCES zones(id) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX domains_worker ON domains (worker);
CREATE TABLE tokens (
	id TEXT PRIMARY KEY,
	hash TEXT NOT NULL UNIQUE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
`,
	1: `
CREATE TABLE asset_files (
	hash TEXT PRIMARY KEY,
	digest TEXT NOT NULL,
	size INTEGER NOT NULL,
	type TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX asset_files_digest ON asset_files (digest);
CREATE TABLE asset_sessions (id TEXT PRIMARY KEY, created INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE asset_missing (
	session TEXT NOT NULL REFERENCES asset_sessions(id) ON DELETE CASCADE,
	hash TEXT NOT NULL,
	PRIMARY KEY (session, hash)
) WITHOUT ROWID;
CREATE TABLE asset_manifests (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX asset_manifests_worker ON asset_manifests (worker);
`,
	2: `
CREATE TABLE access_keys (
	id TEXT PRIMARY KEY,
	sealed BLOB NOT NULL,
	used INTEGER NOT NULL DEFAULT 0, -- seconds since 1970
	data TEXT NOT NULL
) WITHOUT ROWID;
`,
}

func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sqlite.OpenSQL(path, 4, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := upgrade(ctx, db); err != nil {
		db.Close()
		if sqlite.Damaged(err) {
			err = fmt.Errorf("%s is damaged: restore a backup into a new directory (selvage restore): %w", path, err)
		}
		return nil, err
	}
	return db, nil
}

// upgrade applies the migrations that the database lacks, each in its own
// transaction.
func upgrade(ctx context.Context, db *sql.DB) error {
	for {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		done, err := upgradeOne(ctx, tx)
		if err != nil {
			tx.Rollback()
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if done {
			return nil
		}
	}
}

func upgradeOne(ctx context.Context, tx *sql.Tx) (done bool, err error) {
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("read schema version: %w", err)
	}
	if version > len(migrations) {
		return false, fmt.Errorf("schema version %d was written by a newer program (this one knows %d): upgrade selvage", version, len(migrations))
	}
	if version == len(migrations) {
		return true, nil
	}
	if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
		return false, fmt.Errorf("upgrade schema to version %d: %w", version+1, err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
		return false, fmt.Errorf("upgrade schema to version %d: %w", version+1, err)
	}
	return false, nil
}
