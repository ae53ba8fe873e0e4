// Package state is what the control plane knows, kept on disk: Workers, their
// immutable versions, deployments, secrets, routes, zones, API tokens, access
// keys and the audit log. It is the [config.Source] of a server.
//
// # Promises
//
//   - An update is one transaction. When [Store.Update] returns nil the change
//     is on disk (SQLite, WAL, synchronous FULL) and part of [Store.Current]. A
//     kill at any moment leaves either the whole update or nothing of it.
//   - Updates happen one at a time, and subscribers see one snapshot per update
//     that changed a Worker or a route, in order. Only the Workers that an
//     update touched are read again, so an update costs the same with one
//     Worker as with a thousand.
//   - Versions never change. Their modules and static files are in the blob
//     store by digest, and are written there before the row that names them.
//   - The text of a secret is in the database only sealed (AES-256-GCM). It is
//     opened into the bindings of a snapshot, in memory, and nowhere else.
//   - The audit log can be appended to and nothing else; the database itself
//     refuses to change or delete an entry.
//
// Several processes may open the same directory; each sees the tokens that
// another created. A snapshot follows only the updates of its own process.
package state

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
)

// ErrNotFound says that a record does not exist.
var ErrNotFound = errors.New("not found")

// ErrQuota says that the account's modules and static files take all that they may.
var ErrQuota = errors.New("the code and static files of the account are over the quota")

// ErrWorkerQuota says that a version does not fit beside the others of its Worker.
var ErrWorkerQuota = errors.New("the code and static files of all versions of the Worker are over the quota")

// Options say where a Store is and how it behaves.
type Options struct {
	// Dir is the data directory, which must exist. The database is Dir/state.db
	// and the key of the secrets Dir/secret.key.
	Dir string
	// Blobs holds modules and static files, and nothing else. A program that
	// only manages tokens or reads the log leaves it nil, and may then run
	// beside the server.
	Blobs *blob.Store
	// MustExist: a directory whose database is missing, or has no account, has
	// lost it, and a missing key has been lost; both are errors. Otherwise they
	// are made.
	MustExist bool
	// Quota bounds the modules and static files of all Workers in bytes, each
	// content counted once. Zero: no bound.
	Quota int64
	// WorkerQuota is the same for all versions of one Worker.
	WorkerQuota int64
	// Secrets names, for each type of binding that holds a secret, the fields
	// that are one. Required with Blobs.
	Secrets map[string][]string
	// Account is the id of the account, 32 hexadecimal characters, which must
	// stay the same. Empty: made when the directory is new.
	Account string
	// WorkersDomain becomes Snapshot.WorkersDomain. Default "localhost".
	WorkersDomain string
	// Key seals secrets: 32 bytes. Nil: taken from the environment variable
	// SELVAGE_SECRET_KEY (base64) or else from Dir/secret.key, which is made on
	// first use with mode 0600.
	Key []byte
	// Log receives what nobody else can be told. Default: discarded.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store is the control plane's state. It is safe for concurrent use.
type Store struct {
	db      *sql.DB
	blobs   *blob.Store
	sealer  sealer
	secrets map[string][]string
	account string
	domain  string
	log     *slog.Logger
	now     func() time.Time
	quota   int64
	used    atomic.Int64 // bytes, if there is a quota
	each    int64        // WorkerQuota
	broken  broken

	mu     sync.Mutex // one update at a time, from its first read to the new snapshot
	source config.Value
}

// Open opens the state in o.Dir, makes it if there is none, upgrades an older
// format, and reads the first snapshot.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Blobs != nil && len(o.Secrets) == 0 {
		return nil, errors.New("open state: Secrets is required: without it secrets would be stored as they are")
	}
	if o.WorkersDomain == "" {
		o.WorkersDomain = "localhost"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := findKey(o.Dir, o.Key, !o.MustExist)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, "state.db")
	if info, err := os.Stat(path); o.MustExist && (err != nil || info.Size() == 0) {
		return nil, lost(path)
	}
	db, err := openDatabase(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Store{db: db, blobs: o.Blobs, sealer: key, secrets: o.Secrets, domain: o.WorkersDomain, log: o.Log, now: o.Now, quota: o.Quota, each: o.WorkerQuota}
	if err := errors.Join(s.start(ctx, o), s.measure(ctx)); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// lost is the error of a database that has been there and is not.
func lost(path string) error {
	return fmt.Errorf("%s is lost: it is missing or has no account, in a directory that had one: put it back, or restore a backup into a new directory", path)
}

// start makes the account, proves the key and reads the first snapshot.
func (s *Store) start(ctx context.Context, o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback()
	s.account, err = tx.settingOr("account", func() (string, error) {
		if o.MustExist {
			return "", lost("the database")
		}
		return cmp.Or(o.Account, NewID()), nil
	})
	if err != nil {
		return err
	}
	if o.Account != "" && o.Account != s.account {
		return fmt.Errorf("it belongs to the account %s, not %s", s.account, o.Account)
	}
	proof, err := tx.settingOr("key_proof", func() (string, error) {
		sealed, err := s.sealer.seal([]byte(s.account), "key_proof")
		return hex.EncodeToString(sealed), err
	})
	if err != nil {
		return err
	}
	sealed, err := hex.DecodeString(proof)
	if err != nil {
		return fmt.Errorf("read key proof: %w", err)
	}
	if _, err := s.sealer.open(sealed, "key_proof"); err != nil {
		return errors.New("the secret key is not the one this directory was made with: restore secret.key or set SELVAGE_SECRET_KEY to the old key")
	}
	if err := tx.commit(); err != nil {
		return err
	}
	if s.blobs == nil {
		return nil
	}
	snapshot, err := s.readSnapshot(ctx)
	if err != nil {
		return err
	}
	s.source.Set(snapshot)
	return nil
}

// Close releases the database. Updates in progress end first.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Close()
}

// Account is the id of the account that owns everything here: 32 hexadecimal
// characters, made once.
func (s *Store) Account() string { return s.account }

// WorkersDomain is the suffix under which Workers answer.
func (s *Store) WorkersDomain() string { return s.domain }

// Now tells the time by the store's clock, in UTC, to the microsecond.
func (s *Store) Now() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// Current implements config.Source.
func (s *Store) Current() *config.Snapshot { return s.source.Current() }

// Subscribe implements config.Source.
func (s *Store) Subscribe(f func(*config.Snapshot)) (stop func()) { return s.source.Subscribe(f) }

// View calls f with a consistent, read-only view.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	sqlTx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	defer sqlTx.Rollback()
	return f(&Tx{s: s, ctx: ctx, tx: sqlTx, touched: map[string]facts{}})
}

// atStep is called as an update passes the named step. Crash tests kill the
// process there.
var atStep = func(string) {}

// Update calls f in a transaction. If f returns nil the transaction is
// committed, the snapshot follows, and an audit entry is written with it when
// ctx carries an [Actor].
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback()
	atStep("begun")
	if err := f(tx); err != nil {
		return err
	}
	atStep("changed")
	if err := tx.recordActor(); err != nil {
		return err
	}
	atStep("audited")
	if err := tx.commit(); err != nil {
		return err
	}
	atStep("committed")
	if err := s.follow(context.WithoutCancel(ctx), tx); err != nil {
		return err
	}
	atStep("published")
	return nil
}

func (s *Store) begin(ctx context.Context) (*Tx, error) {
	// It takes the turn to write now; see sqlite.OpenSQL.
	sqlTx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin update: %w", err)
	}
	return &Tx{s: s, ctx: ctx, tx: sqlTx, touched: map[string]facts{}}, nil
}

// NewID returns a random id of 32 hexadecimal characters.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}

// Tx is a transaction. It is valid until the function it was given to returns
// and is not safe for concurrent use.
type Tx struct {
	s   *Store
	ctx context.Context
	tx  *sql.Tx

	// touched maps the Workers that changed to what they were.
	touched map[string]facts
	changes []Change // to other things
	routes  bool     // routes or custom domains changed
}

// Now tells the time by the store's clock.
func (tx *Tx) Now() time.Time { return tx.s.Now() }

func (tx *Tx) rollback() { tx.tx.Rollback() }

func (tx *Tx) commit() error {
	if err := tx.tx.Commit(); err != nil {
		return fmt.Errorf("commit update: %w", err)
	}
	return nil
}

func (tx *Tx) exec(query string, args ...any) error {
	if _, err := tx.tx.ExecContext(tx.ctx, query, args...); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// one scans a single row; no row is ErrNotFound.
func (tx *Tx) one(query string, args []any, into ...any) error {
	err := tx.tx.QueryRowContext(tx.ctx, query, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	return nil
}

// record reads one row of one JSON column.
func record[T any](tx *Tx, query string, args ...any) (T, error) {
	var value T
	var data []byte
	if err := tx.one(query, args, &data); err != nil {
		return value, err
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("read state: %w", err)
	}
	return value, nil
}

// records reads rows of one JSON column.
func records[T any](tx *Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.tx.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		var value T
		if err := json.Unmarshal(data, &value); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		list = append(list, value)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return list, nil
}

// column reads rows of one text column.
func (tx *Tx) column(query string, args ...any) ([]string, error) {
	rows, err := tx.tx.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// encode is json.Marshal for records, which always succeed.
func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("state: encode %T: %v", v, err))
	}
	return string(data)
}
