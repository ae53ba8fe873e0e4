package platform

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/blob"
	"github.com/selvage-edge/selvage/d1"
	"github.com/selvage-edge/selvage/keyed"
	"github.com/selvage-edge/selvage/kv"
	"github.com/selvage-edge/selvage/ratelimit"
)

// Stores are the bindings' stores in one data directory. Holding them open
// means holding the directory's lock.
type Stores struct {
	// Dir is the data directory.
	Dir string
	// Account is the id of the account that owns everything in it: 32
	// hexadecimal characters, made when the directory is first opened.
	Account string
	KV      *kv.Store
	D1      *d1.Store
	// Limits are the rate limiting counters: in memory only.
	Limits *ratelimit.Store

	lock  *Lock
	keyed *keyed.DB
	log   *slog.Logger
}

// OpenStores takes the data directory and opens its stores. While another
// process has it, the error is ErrInUse and holder says who.
func OpenStores(dir string) (stores *Stores, holder Holder, err error) {
	lock, holder, err := Acquire(dir)
	if err != nil {
		return nil, holder, err
	}
	s := &Stores{Dir: dir, lock: lock, log: slog.Default()}
	if err := s.open(); err != nil {
		return nil, Holder{}, errors.Join(fmt.Errorf("open data directory %s: %w", dir, err), s.Close())
	}
	return s, Holder{}, nil
}

func (s *Stores) open() (err error) {
	if s.Account, err = account(s.Dir); err != nil {
		return err
	}
	if s.keyed, err = keyed.Open(filepath.Join(s.Dir, "keyed"), keyed.Options{Logger: s.log}); err != nil {
		return err
	}
	values, err := blob.Open(filepath.Join(s.Dir, "blob", "kv"))
	if err != nil {
		return err
	}
	if s.KV, err = kv.Open(s.keyed, values, kv.Options{Logger: s.log}); err != nil {
		return err
	}
	s.Limits = ratelimit.New(nil)
	s.D1, err = d1.Open(filepath.Join(s.Dir, "d1"), d1.Options{})
	return err
}

// account reads the account id, or makes it in a new directory.
func account(dir string) (string, error) {
	path := filepath.Join(dir, "account")
	data, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var random [16]byte
	rand.Read(random[:])
	id := hex.EncodeToString(random[:])
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(id+"\n"), 0o600); err != nil {
		return "", err
	}
	return id, os.Rename(temporary, path)
}

// Close closes what is open, in the reverse order, and gives the directory up.
func (s *Stores) Close() error {
	var errs []error
	if s.D1 != nil {
		errs = append(errs, s.D1.Close())
	}
	if s.KV != nil {
		errs = append(errs, s.KV.Close())
	}
	if s.keyed != nil {
		errs = append(errs, s.keyed.Close())
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// API is the stores' REST API for a caller that needs no token.
func (s *Stores) API() http.Handler {
	return localAPI(s.Account, s.log, s.KV.Routes(), s.D1.Routes(), s.localRoutes())
}
