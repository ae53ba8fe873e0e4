// Package auth decides who may use the REST API: API tokens with scopes and an
// expiry, and a brake on guessing them.
//
// A token is 44 characters, "slv_" and 40 random ones. It is shown once, when
// it is made; the state keeps its SHA-256. That is enough for a secret with
// 238 bits of entropy: there is nothing to guess that a slow hash would protect.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/control/state"
)

const (
	prefix   = "slv_"
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	length   = 40

	// MaxNameBytes is the length of a token's name.
	MaxNameBytes = 120

	// cacheFor is how long a verified token is trusted without asking the state.
	// A token revoked by this process stops at once, one revoked by another
	// process (`selvage token revoke` beside a server) within this time.
	cacheFor = time.Second
)

// Errors of Verify.
var (
	// ErrWrong: no such token, or it has been revoked.
	ErrWrong = errors.New("unknown API token; make one with: selvage token create")
	// ErrExpired: the token's time is over.
	ErrExpired = errors.New("the API token has expired; make a new one with: selvage token create")
	// ErrThrottled: too many wrong tokens came from this address.
	ErrThrottled = errors.New("too many requests with a wrong API token from this address; wait a minute")
)

// Auth keeps and verifies API tokens. It is safe for concurrent use.
type Auth struct {
	state *state.Store
	log   *slog.Logger
	brake brake
	// resources are those beside Resources.
	resources []string

	mu    sync.Mutex
	known map[string]known // by hash; those that were good when last looked up
}

type known struct {
	identity Identity
	until    time.Time
}

// New returns the Auth of a store. log may be nil. resources are what scopes can
// be about beside Resources.
func New(s *state.Store, log *slog.Logger, resources ...string) *Auth {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	own := func(r string) bool { return r == "" || slices.Contains(Resources, r) }
	resources = slices.Compact(slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(resources), own))))
	return &Auth{state: s, log: log, resources: resources, known: map[string]known{}}
}

// Identity is whoever holds a token.
type Identity struct {
	// ID is the token's id: 32 hexadecimal characters.
	ID     string
	Name   string
	Scopes []string
	// Expires is zero for a token without end.
	Expires time.Time

	hash string // of the token; empty for who needs none
}

// Create makes a token and returns it; it cannot be had again. life zero means
// without end. No scopes means all ("*").
func (a *Auth) Create(ctx context.Context, name string, scopes []string, life time.Duration) (token string, err error) {
	if name == "" || len(name) > MaxNameBytes {
		return "", fmt.Errorf("create token: the name must have 1 to %d bytes", MaxNameBytes)
	}
	if len(scopes) == 0 {
		scopes = []string{"*"}
	}
	for _, scope := range scopes {
		if err := CheckScope(scope, a.resources...); err != nil {
			return "", fmt.Errorf("create token: %w", err)
		}
	}
	if life < 0 {
		return "", errors.New("create token: the life must not be negative")
	}
	token = prefix + randomText(length)
	t := state.Token{ID: state.NewID(), Name: name, Hash: hash(token), Scopes: scopes, Created: a.state.Now()}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	err = a.state.Update(ctx, func(tx *state.Tx) error { return tx.AddToken(t) })
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return token, nil
}

// List returns all tokens, oldest first.
func (a *Auth) List(ctx context.Context) (list []state.Token, err error) {
	err = a.state.View(ctx, func(tx *state.Tx) error {
		list, err = tx.Tokens()
		return err
	})
	return list, err
}

// Revoke ends the token with this id or, if there is exactly one, this name.
func (a *Auth) Revoke(ctx context.Context, idOrName string) error {
	err := a.state.Update(ctx, func(tx *state.Tx) error {
		list, err := tx.Tokens()
		if err != nil {
			return err
		}
		var found []string
		for _, t := range list {
			if t.ID == idOrName {
				found = []string{t.ID}
				break
			}
			if t.Name == idOrName {
				found = append(found, t.ID)
			}
		}
		switch len(found) {
		case 0:
			return state.ErrNotFound
		case 1:
			return tx.DeleteToken(found[0])
		}
		return fmt.Errorf("%d tokens have this name, give the id of one: %s", len(found), strings.Join(found, ", "))
	})
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", idOrName, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for h, k := range a.known {
		k.until = time.Time{} // all are looked up anew
		a.known[h] = k
	}
	return nil
}

// Verify returns who holds token. from is the client's address: once many wrong
// tokens came from it, further wrong ones get ErrThrottled. A right one is never
// held back, whatever others send from the same address.
func (a *Auth) Verify(ctx context.Context, token string, from netip.Addr) (Identity, error) {
	return a.find(ctx, hash(token), &from)
}

// Still returns ErrWrong or ErrExpired once the token behind an identity that
// Verify returned is no longer good: for what goes on after its request.
func (a *Auth) Still(ctx context.Context, id Identity) error {
	if id.hash == "" {
		return nil
	}
	_, err := a.find(ctx, id.hash, nil)
	return err
}

// find looks up who holds the token with this hash. The brake is for those who
// come from an address.
func (a *Auth) find(ctx context.Context, h string, from *netip.Addr) (Identity, error) {
	now := a.state.Now()
	a.mu.Lock()
	k, ok := a.known[h]
	a.mu.Unlock()
	if !ok || now.After(k.until) {
		id, err := a.look(ctx, h)
		if errors.Is(err, state.ErrNotFound) {
			a.mu.Lock()
			delete(a.known, h)
			a.mu.Unlock()
			// A token that was good a moment ago is no guess.
			if !ok && from != nil && !a.brake.free(*from, now) {
				return Identity{}, ErrThrottled
			}
			if from != nil && a.brake.press(*from, now) {
				a.log.Warn("wrong API tokens are throttled", "from", from.String())
			}
			return Identity{}, ErrWrong
		}
		if err != nil {
			return Identity{}, fmt.Errorf("verify token: %w", err)
		}
		k = known{id, now.Add(cacheFor)}
		a.mu.Lock()
		a.known[h] = k
		a.mu.Unlock()
	}
	if e := k.identity.Expires; !e.IsZero() && !now.Before(e) {
		return Identity{}, ErrExpired
	}
	return k.identity, nil
}

func (a *Auth) look(ctx context.Context, hash string) (id Identity, err error) {
	err = a.state.View(ctx, func(tx *state.Tx) error {
		// The lookup compares hashes, not tokens: its timing tells nothing about
		// a token that is not known already.
		t, err := tx.TokenByHash(hash)
		id = Identity{ID: t.ID, Name: t.Name, Scopes: t.Scopes, Expires: t.Expires, hash: hash}
		return err
	})
	return id, err
}

func hash(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// randomText returns n characters of the alphabet, each equally likely.
func randomText(n int) string {
	text := make([]byte, 0, n)
	var b [64]byte
	for len(text) < n {
		rand.Read(b[:]) // never fails
		for _, x := range b {
			if int(x) < 256/len(alphabet)*len(alphabet) && len(text) < n {
				text = append(text, alphabet[int(x)%len(alphabet)])
			}
		}
	}
	return string(text)
}
