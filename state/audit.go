package state

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Entry is one line of the audit log.
type Entry struct {
	// Seq counts the entries from 1. It is set when an entry is read.
	Seq  int64     `json:"seq,omitempty"`
	Time time.Time `json:"time"`
	// Token and TokenName say who: the API token's id and name, or "cli".
	Token     string `json:"token"`
	TokenName string `json:"token_name"`
	// From is the address the request came from.
	From string `json:"from,omitempty"`
	// Action is what was done: "PUT /accounts/…/workers/scripts/api".
	Action string `json:"action"`
	// Workers are the Workers that changed, with digests of what they were and
	// became. Empty when the change was to something else.
	Workers []Change `json:"workers,omitempty"`
	// Body is the SHA-256 of the request's body where Workers is empty.
	Body string `json:"body,omitempty"`
}

// Change is one Worker before and after. A digest covers the Worker's
// settings, deployment, routes and domains; empty means it did not exist.
type Change struct {
	Worker string `json:"worker"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Actor is who is behind an update. It belongs to one request.
type Actor struct {
	Token, TokenName, From, Action string
	// Recorded is set once an update has written an audit entry for it.
	Recorded bool
}

type actorKey struct{}

// WithActor returns a context whose updates are written to the audit log.
func WithActor(ctx context.Context, a *Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor of ctx, or nil.
func ActorFrom(ctx context.Context) *Actor {
	a, _ := ctx.Value(actorKey{}).(*Actor)
	return a
}

func (tx *Tx) recordActor() error {
	a := ActorFrom(tx.ctx)
	if a == nil {
		return nil
	}
	e := Entry{Token: a.Token, TokenName: a.TokenName, From: a.From, Action: a.Action}
	for name, before := range tx.touched {
		after, err := tx.digest(name)
		if err != nil {
			return err
		}
		e.Workers = append(e.Workers, Change{Worker: name, Before: before, After: after})
	}
	slices.SortFunc(e.Workers, func(a, b Change) int { return cmp.Compare(a.Worker, b.Worker) })
	a.Recorded = true
	return tx.Audit(e)
}

// Audit appends an entry and sets its time. Updates whose context has an Actor
// do so themselves.
func (tx *Tx) Audit(e Entry) error {
	e.Seq, e.Time = 0, tx.Now()
	return tx.exec("INSERT INTO audit (data) VALUES (?)", encode(e))
}

// AuditLog returns entries after the one numbered after, oldest first.
func (tx *Tx) AuditLog(after int64, limit int) ([]Entry, error) {
	return records[Entry](tx, "SELECT json_set(data, '$.seq', seq) FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

// digest is SHA-256 over what a Worker is now, or empty if it does not exist.
func (tx *Tx) digest(name string) (string, error) {
	w, err := tx.Worker(name)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	w.Modified = time.Time{}
	d, err := tx.Deployment(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	latest, err := tx.column("SELECT id FROM versions WHERE worker = ? ORDER BY number DESC LIMIT 1", name)
	if err != nil {
		return "", err
	}
	places, err := tx.column("SELECT data FROM routes WHERE worker = ?1 UNION ALL SELECT data FROM domains WHERE worker = ?1 ORDER BY 1", name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, encode(w), encode(d), latest, places)
	return hex.EncodeToString(h.Sum(nil)), nil
}
