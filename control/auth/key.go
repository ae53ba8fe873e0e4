package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/s3/sigv4"
)

// useEvery is how often at most it is stored that a key was used.
const useEvery = 10 * time.Minute

// ErrInvalidKey: what an access key should be makes none.
var ErrInvalidKey = errors.New("invalid access key")

// errKeyExpired is what S3 clients are told of a key whose time is over.
var errKeyExpired = &sigv4.Error{Code: "ExpiredToken", Message: "The access key has expired; make a new one with: selvage r2 key create", Status: http.StatusBadRequest}

// Keys keeps the access keys of R2's S3 API. It is safe for concurrent use.
//
// A key is made as at Cloudflare: its id is that of a token, and its secret is the
// SHA-256 of the token's value in hexadecimal. Signature Version 4 needs the secret
// itself to verify a request; so the state keeps it, sealed with the key of the
// secrets, and never the value. Such a token opens nothing but the S3 API.
type Keys struct {
	state *state.Store
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]*knownKey // by id
}

type knownKey struct {
	state.AccessKey
	secret string
	until  time.Time // then it is looked up anew
	stored time.Time // when Used was last stored
}

// NewKeys returns the access keys of a store. log may be nil.
func NewKeys(s *state.Store, log *slog.Logger) *Keys {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keys{state: s, log: log, known: map[string]*knownKey{}}
}

// SecretOf is the secret of the access key that belongs to a token's value.
func SecretOf(value string) string { return hash(value) }

// Create makes a key with the name, buckets, permissions and end of k, and returns
// the whole of it with the token's value, which cannot be had again.
func (a *Keys) Create(ctx context.Context, k state.AccessKey) (made state.AccessKey, value string, err error) {
	now := a.state.Now()
	switch {
	case k.Name == "" || len(k.Name) > MaxNameBytes:
		return k, "", fmt.Errorf("%w: the name must have 1 to %d bytes", ErrInvalidKey, MaxNameBytes)
	case !k.Expires.IsZero() && !k.Expires.After(now):
		return k, "", fmt.Errorf("%w: it would have expired already", ErrInvalidKey)
	case k.Admin && len(k.Buckets) > 0:
		return k, "", fmt.Errorf("%w: one for the list of buckets and their settings is for all buckets", ErrInvalidKey)
	}
	k.Buckets = slices.Compact(slices.Sorted(slices.Values(k.Buckets)))
	k.ID, k.Created, k.Used = state.NewID(), now, time.Time{}
	value = prefix + randomText(length)
	err = a.state.Update(ctx, func(tx *state.Tx) error { return tx.AddAccessKey(k, SecretOf(value)) })
	if err != nil {
		return k, "", fmt.Errorf("create access key: %w", err)
	}
	return k, value, nil
}

// List returns all keys, oldest first.
func (a *Keys) List(ctx context.Context) (list []state.AccessKey, err error) {
	err = a.state.View(ctx, func(tx *state.Tx) error {
		list, err = tx.AccessKeys()
		return err
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, k := range list {
		if known := a.known[k.ID]; known != nil && known.Used.After(k.Used) {
			list[i].Used = known.Used
		}
	}
	return list, err
}

// Delete ends the key with this id or, if there is exactly one, this name.
func (a *Keys) Delete(ctx context.Context, idOrName string) error {
	err := a.state.Update(ctx, func(tx *state.Tx) error {
		list, err := tx.AccessKeys()
		if err != nil {
			return err
		}
		var found []string
		for _, k := range list {
			if k.ID == idOrName {
				found = []string{k.ID}
				break
			}
			if k.Name == idOrName {
				found = append(found, k.ID)
			}
		}
		switch len(found) {
		case 0:
			return state.ErrNotFound
		case 1:
			return tx.DeleteAccessKey(found[0])
		}
		return fmt.Errorf("%w: %d have this name, give the id of one: %s", ErrInvalidKey, len(found), strings.Join(found, ", "))
	})
	if err != nil {
		return fmt.Errorf("delete access key %s: %w", idOrName, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.known {
		k.until = time.Time{} // all are looked up anew
	}
	return nil
}

// Secret returns the secret of a key, for [sigv4.Verifier]: sigv4.ErrNoKey if there
// is none, an error of S3 if it has expired. A key that another process deleted
// stops within a second.
func (a *Keys) Secret(ctx context.Context, id string) (string, error) {
	k, err := a.find(ctx, id)
	if err != nil {
		return "", err
	}
	return k.secret, nil
}

// Use returns the key with which a request was signed, and notes that it is used.
func (a *Keys) Use(ctx context.Context, id string) (state.AccessKey, error) {
	k, err := a.find(ctx, id)
	if err != nil {
		return state.AccessKey{}, err
	}
	now := a.state.Now()
	a.mu.Lock()
	k.Used = now
	due := now.Sub(k.stored) >= useEvery
	if due {
		k.stored = now
	}
	key := k.AccessKey
	a.mu.Unlock()
	if due {
		err := a.state.Update(context.WithoutCancel(ctx), func(tx *state.Tx) error { return tx.SetAccessKeyUse(id, now) })
		if err != nil {
			a.log.Warn("the use of an access key was not noted", "key", id, "err", err)
		}
	}
	return key, nil
}

func (a *Keys) find(ctx context.Context, id string) (*knownKey, error) {
	now := a.state.Now()
	a.mu.Lock()
	k := a.known[id]
	fresh := k != nil && !now.After(k.until)
	a.mu.Unlock()
	if !fresh {
		found := &knownKey{until: now.Add(cacheFor)}
		err := a.state.View(ctx, func(tx *state.Tx) (err error) {
			if found.AccessKey, err = tx.AccessKey(id); err == nil {
				found.secret, err = tx.AccessSecret(id)
			}
			return err
		})
		if errors.Is(err, state.ErrNotFound) {
			a.mu.Lock()
			delete(a.known, id)
			a.mu.Unlock()
			return nil, sigv4.ErrNoKey
		}
		if err != nil {
			return nil, err
		}
		found.stored = found.Used
		a.mu.Lock()
		if k = a.known[id]; k != nil && k.Used.After(found.Used) {
			found.Used, found.stored = k.Used, k.stored
		}
		a.known[id] = found
		k = found
		a.mu.Unlock()
	}
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return nil, errKeyExpired
	}
	return k, nil
}
