package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
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
	// Changes are what changed in the control plane's state.
	Changes []Change `json:"changes,omitempty"`
	// Body is the SHA-256 of the request's body where the change was to
	// something else, which keeps its own state: KV, D1.
	Body string `json:"body,omitempty"`
	// Error is why a request that has an entry was refused after all.
	Error string `json:"error,omitempty"`
	// Workers are digests, in the entries of older programs.
	Workers json.RawMessage `json:"workers,omitempty"`
}

// Change is one thing before and after: an object with those of its properties
// that differ. One that did not exist before, or does not any more, is absent.
// There are no secrets in it: what a version holds is named by its id.
type Change struct {
	// Kind is worker, zone, route, token or access key.
	Kind   string          `json:"kind"`
	Name   string          `json:"name"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// facts are what the audit log knows of a thing; nil: it does not exist.
type facts map[string]json.RawMessage

// note makes a Change of what a thing was and is. Both are marshaled.
func (tx *Tx) note(kind, name string, before, after any) {
	tx.changes = append(tx.changes, change(kind, name, factsOf(before), factsOf(after)))
}

// factsOf are the properties of what marshals to an object, or nil.
func factsOf(v any) (f facts) {
	if v != nil {
		json.Unmarshal([]byte(encode(v)), &f) // v is one of our records
	}
	return f
}

func change(kind, name string, before, after facts) Change {
	c := Change{Kind: kind, Name: name}
	only := func(a, b facts) json.RawMessage {
		differ := facts{}
		for key, value := range a {
			if !bytes.Equal(value, b[key]) {
				differ[key] = value
			}
		}
		if a == nil || len(differ) == 0 && b != nil {
			return nil
		}
		return json.RawMessage(encode(differ))
	}
	c.Before, c.After = only(before, after), only(after, before)
	return c
}

// Actor is who is behind an update. It belongs to one request.
type Actor struct {
	Token, TokenName, From, Action string
	// Recorded is set once an update has written an audit entry for it.
	Recorded bool
}

// Entry is the beginning of the entry that tells what the actor did.
func (a *Actor) Entry() Entry {
	return Entry{Token: a.Token, TokenName: a.TokenName, From: a.From, Action: a.Action}
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
	e := a.Entry()
	for _, name := range slices.Sorted(maps.Keys(tx.touched)) {
		after, err := tx.facts(name)
		if err != nil {
			return err
		}
		e.Changes = append(e.Changes, change("worker", name, tx.touched[name], after))
	}
	e.Changes = append(e.Changes, tx.changes...)
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

// facts are what a Worker is now: its settings, the deployment in force, its
// newest version, routes and domains.
func (tx *Tx) facts(name string) (facts, error) {
	w, err := tx.Worker(name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.Modified = time.Time{}
	f := factsOf(w)
	d, err := tx.Deployment(name)
	switch {
	case err == nil:
		f["deployment"] = json.RawMessage(encode(d))
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	for key, query := range map[string]string{
		"latest_version": "SELECT id FROM versions WHERE worker = ? ORDER BY number DESC LIMIT 1",
		"routes":         "SELECT pattern FROM routes WHERE worker = ? ORDER BY 1",
		"domains":        "SELECT hostname FROM domains WHERE worker = ? ORDER BY 1",
	} {
		list, err := tx.column(query, name)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			f[key] = json.RawMessage(encode(list))
		}
	}
	return f, nil
}
