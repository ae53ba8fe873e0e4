package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/s3/sigv4"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

func openKeys(t *testing.T) (*Keys, *clock, string) {
	a, c, dir := open(t)
	return NewKeys(a.state, nil), c, dir
}

// The secret is what Cloudflare's documentation says that it is, and is given as
// long as the key holds.
func TestKeyLife(t *testing.T) {
	a, c, _ := openKeys(t)
	k, value, err := a.Create(t.Context(), state.AccessKey{Name: "backup", Write: true, Expires: c.at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(value))
	if secret, err := a.Secret(t.Context(), k.ID); err != nil || secret != hex.EncodeToString(sum[:]) {
		t.Errorf("secret %q, %v", secret, err)
	}
	if _, err := a.Secret(t.Context(), "0123456789abcdef0123456789abcdef"); err != sigv4.ErrNoKey {
		t.Errorf("secret of no key: %v", err)
	}
	c.at = c.at.Add(time.Hour)
	var refused *sigv4.Error
	if _, err := a.Secret(t.Context(), k.ID); !errors.As(err, &refused) || refused.Code != "ExpiredToken" {
		t.Errorf("after its life: %v", err)
	}
	if _, err := a.Use(t.Context(), k.ID); !errors.As(err, &refused) {
		t.Errorf("use after its life: %v", err)
	}
}

func TestKeyIsDeletedAtOnce(t *testing.T) {
	a, c, dir := openKeys(t)
	var ids []string
	for _, name := range []string{"laptop", "server", "server"} {
		k, _, err := a.Create(t.Context(), state.AccessKey{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Secret(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	if err := a.Delete(t.Context(), "server"); !errors.Is(err, ErrInvalidKey) || !strings.Contains(err.Error(), ids[1]) {
		t.Errorf("delete one of two with a name: %v", err)
	}
	if err := a.Delete(t.Context(), "laptop"); err != nil {
		t.Error(err)
	}
	if err := a.Delete(t.Context(), ids[1]); err != nil {
		t.Error(err)
	}
	for _, id := range ids[:2] {
		if _, err := a.Secret(t.Context(), id); err != sigv4.ErrNoKey {
			t.Errorf("secret of a deleted key: %v", err)
		}
		if err := a.Delete(t.Context(), id); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("delete again: %v", err)
		}
	}
	other, err := state.Open(t.Context(), state.Options{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := NewKeys(other, nil).Delete(t.Context(), ids[2]); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(cacheFor + time.Millisecond)
	if _, err := a.Secret(t.Context(), ids[2]); err != sigv4.ErrNoKey {
		t.Errorf("secret of a key that another process deleted: %v", err)
	}
}

// However often a key is used, it is written down every ten minutes, and the list
// knows better.
func TestKeyUse(t *testing.T) {
	a, c, dir := openKeys(t)
	k, _, err := a.Create(t.Context(), state.AccessKey{Name: "backup"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := state.Open(t.Context(), state.Options{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stored := NewKeys(other, nil)
	start := c.at
	for minute := range 35 {
		c.at = start.Add(time.Duration(minute) * time.Minute)
		for range 3 {
			if _, err := a.Use(t.Context(), k.ID); err != nil {
				t.Fatal(err)
			}
		}
		for from, want := range map[*Keys]time.Time{a: c.at, stored: start.Add(time.Duration(minute/10*10) * time.Minute)} {
			if list, err := from.List(t.Context()); err != nil || !list[0].Used.Equal(want) {
				t.Fatalf("after %d minutes: used %v, %v, want %v", minute, list[0].Used, err, want)
			}
		}
	}
}

func TestKeyIsRefused(t *testing.T) {
	a, c, _ := openKeys(t)
	for name, k := range map[string]state.AccessKey{
		"no name":               {},
		"long name":             {Name: strings.Repeat("x", MaxNameBytes+1)},
		"over already":          {Name: "a", Expires: c.at},
		"admin of some buckets": {Name: "a", Admin: true, Buckets: []string{"files"}},
	} {
		if _, _, err := a.Create(t.Context(), k); !errors.Is(err, ErrInvalidKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := a.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("made %v, %v", list, err)
	}
}

func TestKeyAllows(t *testing.T) {
	for _, c := range []struct {
		key  state.AccessKey
		want string // what is allowed: read and write of "files", of "other", of the buckets themselves
	}{
		{state.AccessKey{}, "r- r- --"},
		{state.AccessKey{Write: true}, "rw rw --"},
		{state.AccessKey{Buckets: []string{"files"}}, "r- -- --"},
		{state.AccessKey{Buckets: []string{"a", "files"}, Write: true}, "rw -- --"},
		{state.AccessKey{Admin: true}, "r- r- r-"},
		{state.AccessKey{Admin: true, Write: true}, "rw rw rw"},
	} {
		var got []string
		for _, bucket := range []string{"files", "other", ""} {
			flags := []byte("--")
			if c.key.Allows(bucket, false) {
				flags[0] = 'r'
			}
			if c.key.Allows(bucket, true) {
				flags[1] = 'w'
			}
			got = append(got, string(flags))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%+v allows %s, want %s", c.key, got, c.want)
		}
	}
}

// Who has stolen state.db, but not secret.key, has no secret, in no spelling, and
// nothing that opens one.
func TestStolenDatabase(t *testing.T) {
	a, _, dir := openKeys(t)
	k, value, err := a.Create(t.Context(), state.AccessKey{Name: "backup", Write: true})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := a.Secret(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	stolen := t.TempDir()
	found := false
	for _, name := range []string{"state.db", "state.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stolen, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(data, []byte(k.ID))
		for what, text := range map[string][]byte{"the value": []byte(value), "the secret": []byte(secret), "the secret's bytes": raw, "the hash of the secret": []byte(hash(secret))} {
			if bytes.Contains(data, text) {
				t.Errorf("%s has %s", name, what)
			}
		}
	}
	if !found {
		t.Error("the files that were looked at do not have the key at all")
	}
	other := bytes.Repeat([]byte{1}, 32)
	if s, err := state.Open(t.Context(), state.Options{Dir: stolen, Key: other}); err == nil {
		s.Close()
		t.Error("the stolen database was opened with another key")
	}
}

// A sealed secret that was moved to another key's row does not open.
func TestSecretBelongsToItsKey(t *testing.T) {
	a, _, dir := openKeys(t)
	var ids []string
	for i := range 2 {
		k, _, err := a.Create(t.Context(), state.AccessKey{Name: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	execute(t, filepath.Join(dir, "state.db"), "UPDATE access_keys SET sealed = (SELECT sealed FROM access_keys WHERE id = ?) WHERE id = ?", ids[0], ids[1])
	if secret, err := a.Secret(t.Context(), ids[1]); err == nil {
		t.Errorf("the secret of another key was given: %s", secret)
	}
}

func execute(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db, err := sqlite.OpenSQL(path, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}
