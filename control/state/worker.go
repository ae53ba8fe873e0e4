package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Worker is what is known of a Worker besides its versions.
type Worker struct {
	Name string `json:"name"`
	// ID never changes: 32 hexadecimal characters, Cloudflare's "tag".
	ID       string    `json:"id"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
	// LastDeployedFrom is wrangler, api or dash; wrangler asks before it
	// overwrites what came from elsewhere.
	LastDeployedFrom string `json:"last_deployed_from"`
	// Subdomain and Previews are as in config.Worker.
	Subdomain bool `json:"subdomain"`
	Previews  bool `json:"previews"`
	// MigrationTag names the last Durable Object migration that was applied,
	// and Classes are the classes since then. Moved are those that it had by
	// other names, or that other Workers have taken over.
	MigrationTag string     `json:"migration_tag,omitempty"`
	Classes      []Class    `json:"classes,omitempty"`
	Moved        []Moved    `json:"moved,omitempty"`
	Schedules    []Schedule `json:"schedules,omitempty"`
	// The settings that are not part of a version.
	Tags          []string        `json:"tags,omitempty"`
	Logpush       bool            `json:"logpush,omitempty"`
	Observability json.RawMessage `json:"observability,omitempty"`
	TailConsumers json.RawMessage `json:"tail_consumers,omitempty"`
}

// Class is a config.Class as it is stored.
type Class struct {
	Name   string `json:"name"`
	SQLite bool   `json:"sqlite,omitempty"`
	Key    string `json:"key"`
}

// Moved is a config.Moved as it is stored, with the name that the class had.
type Moved struct {
	Name   string `json:"name"`
	Worker string `json:"worker"`
	Class  string `json:"class"`
	Key    string `json:"key"`
}

// has: one of the Worker's classes has that key.
func (w *Worker) has(key string) bool {
	return slices.ContainsFunc(w.Classes, func(c Class) bool { return c.Key == key })
}

// Kept are the classes of a version that the Worker still has: what another one
// has taken over since is not among them.
func (w *Worker) Kept(v []Class) []Class {
	return slices.DeleteFunc(slices.Clone(v), func(c Class) bool {
		return !w.has(c.Key)
	})
}

// Move notes that the Worker's class of that name has gone elsewhere.
func (w *Worker) Move(m Moved) {
	w.Moved = append(slices.DeleteFunc(w.Moved, func(o Moved) bool { return o.Name == m.Name }), m)
}

// Schedule is a cron trigger.
type Schedule struct {
	Cron     string    `json:"cron"`
	Created  time.Time `json:"created_on"`
	Modified time.Time `json:"modified_on"`
}

// Worker returns the Worker called name, or ErrNotFound.
func (tx *Tx) Worker(name string) (Worker, error) {
	return record[Worker](tx, "SELECT data FROM workers WHERE name = ?", name)
}

// Workers returns all Workers by name.
func (tx *Tx) Workers() ([]Worker, error) {
	return records[Worker](tx, "SELECT data FROM workers ORDER BY name")
}

// PutWorker writes w, makes it if need be and sets its times.
func (tx *Tx) PutWorker(w *Worker) error {
	if err := tx.touch(w.Name); err != nil {
		return err
	}
	w.Modified = tx.Now()
	if w.ID == "" {
		w.ID = NewID()
		w.Created = w.Modified
	}
	return tx.exec("INSERT INTO workers (name, data) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data", w.Name, encode(w))
}

// DeleteWorker deletes a Worker with its versions, deployments, secrets,
// routes and domains. Deleting one that does not exist is ErrNotFound.
func (tx *Tx) DeleteWorker(name string) error {
	if _, err := tx.Worker(name); err != nil {
		return err
	}
	if err := tx.touch(name); err != nil {
		return err
	}
	tx.routes = true
	return tx.exec("DELETE FROM workers WHERE name = ?", name)
}

// touch notes that a Worker is about to change.
func (tx *Tx) touch(name string) error {
	if _, ok := tx.touched[name]; ok {
		return nil
	}
	before, err := tx.facts(name)
	if err != nil {
		return err
	}
	tx.touched[name] = before
	return nil
}

// Deployment says which versions of a Worker take traffic. The newest one of a
// Worker is the one in force.
type Deployment struct {
	ID      string    `json:"id"`
	Worker  string    `json:"worker"`
	Created time.Time `json:"created"`
	// Source is wrangler or api, Author an email address.
	Source string `json:"source"`
	Author string `json:"author"`
	// Annotations are workers/message, workers/triggered_by and the like.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Shares are one or two versions; their percentages add up to 100.
	Shares []DeploymentShare `json:"shares"`
}

// DeploymentShare is the part of the traffic of one version.
type DeploymentShare struct {
	Version    string  `json:"version_id"`
	Percentage float64 `json:"percentage"`
}

// Deployment returns the deployment in force, or ErrNotFound.
func (tx *Tx) Deployment(worker string) (Deployment, error) {
	return record[Deployment](tx, "SELECT data FROM deployments WHERE worker = ? ORDER BY seq DESC LIMIT 1", worker)
}

// Deployments returns the newest deployments first, at most limit.
func (tx *Tx) Deployments(worker string, limit int) ([]Deployment, error) {
	return records[Deployment](tx, "SELECT data FROM deployments WHERE worker = ? ORDER BY seq DESC LIMIT ?", worker, limit)
}

// Deploy puts d in force. Its versions must exist; ID and Created are set.
func (tx *Tx) Deploy(d *Deployment) error {
	if err := tx.touch(d.Worker); err != nil {
		return err
	}
	if n := len(d.Shares); n < 1 || n > 2 {
		return fmt.Errorf("a deployment has one or two versions, not %d", n)
	}
	total := 0.0
	for _, s := range d.Shares {
		if _, err := tx.Version(d.Worker, s.Version); err != nil {
			return fmt.Errorf("version %s: %w", s.Version, err)
		}
		total += s.Percentage
	}
	if total < 99.995 || total > 100.005 {
		return fmt.Errorf("the percentages of a deployment add up to %g, not 100", total)
	}
	d.ID, d.Created = newUUID(), tx.Now()
	return tx.exec("INSERT INTO deployments (id, worker, data) VALUES (?, ?, ?)", d.ID, d.Worker, encode(d))
}
