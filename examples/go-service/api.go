package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/kv"
)

// Env is what the API Worker has: bindings, as a Worker in JavaScript has them.
type Env struct {
	DB    *sql.DB       `binding:"NOTES"` // D1 through database/sql
	Stats *kv.Namespace `binding:"STATS"`
}

// Note is a user's note.
type Note struct {
	ID      int64     `json:"id"`
	Text    string    `json:"text"`
	Created time.Time `json:"created"`
}

// api is the Worker "api": an http.Handler that is also a selvage.Scheduler.
type api struct {
	*http.ServeMux
	env *Env
}

func newAPI(env *Env) http.Handler {
	// One statement that is there already costs nothing; use goose for more.
	_, err := env.DB.Exec(`CREATE TABLE IF NOT EXISTS note (
		id INTEGER PRIMARY KEY, user TEXT NOT NULL, text TEXT NOT NULL, created TIMESTAMP NOT NULL)`)
	if err != nil {
		panic(err)
	}
	a := &api{http.NewServeMux(), env}
	a.HandleFunc("GET /notes", a.list)
	a.HandleFunc("POST /notes", a.add)
	a.HandleFunc("DELETE /notes/{id}", a.remove)
	a.HandleFunc("GET /stats", a.stats)
	return a
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	rows, err := a.env.DB.QueryContext(r.Context(), "SELECT id, text, created FROM note WHERE user = ? ORDER BY id", r.Header.Get("X-User"))
	if err != nil {
		fail(w, r, err)
		return
	}
	defer rows.Close()
	notes := []Note{}
	for rows.Next() {
		var n Note
		if err := rows.Scan(&n.ID, &n.Text, &n.Created); err != nil {
			fail(w, r, err)
			return
		}
		notes = append(notes, n)
	}
	answer(w, http.StatusOK, notes)
}

func (a *api) add(w http.ResponseWriter, r *http.Request) {
	n := Note{Created: time.Now().UTC().Truncate(time.Second)}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 10_000)).Decode(&n); err != nil || n.Text == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": `send JSON: {"text": "…"}`})
		return
	}
	err := a.env.DB.QueryRowContext(r.Context(), "INSERT INTO note (user, text, created) VALUES (:user, :text, :created) RETURNING id",
		sql.Named("user", r.Header.Get("X-User")), sql.Named("text", n.Text), sql.Named("created", n.Created)).Scan(&n.ID)
	if err != nil {
		fail(w, r, err)
		return
	}
	answer(w, http.StatusCreated, n)
}

func (a *api) remove(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if _, err := a.env.DB.ExecContext(r.Context(), "DELETE FROM note WHERE id = ? AND user = ?", id, r.Header.Get("X-User")); err != nil {
		fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// stats shows what the last tick has counted.
func (a *api) stats(w http.ResponseWriter, r *http.Request) {
	value, err := a.env.Stats.Get(r.Context(), "notes")
	switch {
	case errors.Is(err, kv.ErrNotFound):
		answer(w, http.StatusNotFound, map[string]string{"error": "nothing was counted yet; the next tick is at most a minute away"})
	case err != nil:
		fail(w, r, err)
	default:
		answer(w, http.StatusOK, json.RawMessage(value))
	}
}

// Scheduled counts everybody's notes and keeps the result for an hour.
func (a *api) Scheduled(ctx context.Context, e selvage.ScheduledEvent) error {
	var notes, users int
	if err := a.env.DB.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT user) FROM note").Scan(&notes, &users); err != nil {
		return err
	}
	selvage.Log(ctx).Info("counted", "notes", notes, "users", users)
	value := fmt.Appendf(nil, `{"notes":%d,"users":%d,"at":%q}`, notes, users, e.Time.UTC().Format(time.RFC3339))
	return a.env.Stats.Put(ctx, "notes", value, kv.PutOptions{ExpirationTTL: time.Hour})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	selvage.Log(r.Context()).Error("request failed", "path", r.URL.Path, "ray", selvage.Ray(r.Context()), "err", err)
	answer(w, http.StatusInternalServerError, map[string]string{"error": "internal error"})
}
