package auth

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/control/state"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func open(t *testing.T) (*Auth, *clock, string) {
	t.Helper()
	c := &clock{time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	s, err := state.Open(t.Context(), state.Options{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return New(s, nil), c, dir
}

var home = netip.MustParseAddr("192.0.2.1")

func TestTokenLife(t *testing.T) {
	a, c, dir := open(t)
	token, err := a.Create(t.Context(), "laptop", []string{"d1:read"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != 44 || !strings.HasPrefix(token, "slv_") {
		t.Errorf("token is %q", token)
	}
	for _, file := range []string{"state.db", "state.db-wal"} {
		if data, _ := os.ReadFile(filepath.Join(dir, file)); strings.Contains(string(data), token) {
			t.Errorf("%s has the token in clear", file)
		}
	}
	id, err := a.Verify(t.Context(), token, home)
	if err != nil || id.Name != "laptop" || !id.Expires.Equal(c.at.Add(time.Hour)) {
		t.Fatalf("verify: %+v, %v", id, err)
	}
	if _, err := a.Verify(t.Context(), token+"x", home); !errors.Is(err, ErrWrong) {
		t.Errorf("wrong token: %v", err)
	}
	c.at = c.at.Add(time.Hour)
	if _, err := a.Verify(t.Context(), token, home); !errors.Is(err, ErrExpired) {
		t.Errorf("after its life: %v", err)
	}
	forever, err := a.Create(t.Context(), "server", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), forever, home); err != nil {
		t.Error(err)
	}
	if err := a.Revoke(t.Context(), "server"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), forever, home); !errors.Is(err, ErrWrong) {
		t.Errorf("revoked token: %v", err)
	}
	if err := a.Revoke(t.Context(), "server"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	list, err := a.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "laptop" {
		t.Errorf("list: %+v, %v", list, err)
	}
}

func TestRevokedByAnotherProcess(t *testing.T) {
	a, c, _ := open(t)
	token, err := a.Create(t.Context(), "laptop", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), token, home); err != nil {
		t.Fatal(err)
	}
	if err := New(a.state, nil).Revoke(t.Context(), "laptop"); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(cacheFor + time.Millisecond)
	if _, err := a.Verify(t.Context(), token, home); !errors.Is(err, ErrWrong) {
		t.Errorf("got %v", err)
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		scope      string
		err        string
		read, edit bool // what it allows on d1
	}{
		{scope: "*", read: true, edit: true},
		{scope: "d1:edit", read: true, edit: true},
		{scope: "d1:read", read: true},
		{scope: "*:read", read: true},
		{scope: "*:edit", read: true, edit: true},
		{scope: "workers_kv:edit"},
		{scope: "d1", err: "must end in :read or :edit"},
		{scope: "d1:write", err: "must end in :read or :edit"},
		{scope: "d2:read", err: `there is no resource "d2"`},
		{scope: "echo:edit"}, // of a product
	} {
		err := CheckScope(c.scope, "echo")
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got error %v, want %q", c.scope, err, c.err)
		}
		if err != nil {
			continue
		}
		id := Identity{Scopes: []string{c.scope}}
		if id.Allows("d1", false) != c.read || id.Allows("d1", true) != c.edit {
			t.Errorf("%s: read %v, edit %v", c.scope, id.Allows("d1", false), id.Allows("d1", true))
		}
		if !id.Allows("", true) {
			t.Errorf("%s: an operation that needs no scope is refused", c.scope)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	a, _, _ := open(t)
	for _, c := range []struct {
		name   string
		scopes []string
		life   time.Duration
		want   string
	}{
		{"", nil, 0, "name must have"},
		{strings.Repeat("x", 121), nil, 0, "name must have"},
		{"x", []string{"nope"}, 0, "must end in"},
		{"x", nil, -1, "must not be negative"},
	} {
		if _, err := a.Create(t.Context(), c.name, c.scopes, c.life); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10q %v %v: got %v, want %q", c.name, c.scopes, c.life, err, c.want)
		}
	}
}

func TestWrongTokensAreThrottledPerAddress(t *testing.T) {
	a, c, _ := open(t)
	good, err := a.Create(t.Context(), "laptop", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := a.Create(t.Context(), "new laptop", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), good, home); err != nil {
		t.Fatal(err)
	}
	verify := func(token, from string) error {
		_, err := a.Verify(t.Context(), token, netip.MustParseAddr(from))
		return err
	}
	for i := range wrongTokens {
		if err := verify("wrong", "192.0.2.1"); !errors.Is(err, ErrWrong) {
			t.Fatalf("wrong token %d: %v", i+1, err)
		}
	}
	for _, s := range []struct {
		token, from string
		want        error
	}{
		{"wrong", "192.0.2.1", ErrThrottled},
		{"wrong", "::ffff:192.0.2.1", ErrThrottled}, // the same address
		{"wrong", "192.0.2.2", ErrWrong},
		{good, "192.0.2.1", nil},
		{fresh, "192.0.2.1", nil}, // never seen before
	} {
		if err := verify(s.token, s.from); !errors.Is(err, s.want) {
			t.Errorf("%.5s from %s: got %v, want %v", s.token, s.from, err, s.want)
		}
	}
	c.at = c.at.Add(2 * cacheFor)
	if err := verify("wrong", "192.0.2.1"); !errors.Is(err, ErrThrottled) {
		t.Errorf("wrong, a little later: %v", err)
	}
	if err := verify(good, "192.0.2.1"); err != nil {
		t.Errorf("in use, a little later: %v", err)
	}
	c.at = c.at.Add(wrongTokenEvery)
	if err := verify("wrong", "192.0.2.1"); !errors.Is(err, ErrWrong) {
		t.Errorf("after a wait: %v", err)
	}
	for range wrongTokens {
		verify("wrong", "2001:db8::1")
	}
	if err := verify("wrong", "2001:db8::2"); !errors.Is(err, ErrThrottled) {
		t.Errorf("another address of the same /64: %v", err)
	}
}

// Revoking one token does not make the others look like guesses.
func TestRevokingWhileThrottled(t *testing.T) {
	a, _, _ := open(t)
	tokens := map[string]string{}
	for _, name := range []string{"stays", "goes"} {
		var err error
		if tokens[name], err = a.Create(t.Context(), name, nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(t.Context(), tokens[name], home); err != nil {
			t.Fatal(err)
		}
	}
	for range wrongTokens {
		a.Verify(t.Context(), "wrong", home)
	}
	if err := a.Revoke(t.Context(), "goes"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), tokens["goes"], home); !errors.Is(err, ErrWrong) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := a.Verify(t.Context(), tokens["stays"], home); err != nil {
		t.Errorf("the other: %v", err)
	}
	if _, err := a.Verify(t.Context(), tokens["goes"], home); !errors.Is(err, ErrThrottled) {
		t.Errorf("revoked, again: %v", err)
	}
}
