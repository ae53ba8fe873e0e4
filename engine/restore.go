package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/capture"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// resume does the restore that is noted for an object, as far as it is not done,
// and tells the alarm of the state. The note stays. Called with x.mu held.
func (r *recovery) resume(ctx context.Context, worker string, o objectID, x *object) (answer, error) {
	n, err := r.noted(o)
	if err != nil {
		return answer{}, err
	}
	if n == nil {
		return answer{Over: true}, nil
	}
	if !n.Done {
		if err := r.restore(ctx, worker, o, x, n); err != nil {
			return r.fail(worker, o, err)
		}
		n.Done = true
		if err := r.write(o, *n); err != nil {
			return answer{}, err
		}
		r.e.o.Logger.Info("Durable Object restored", "worker", worker, "object", o.id, "to", capture.Time(n.Bookmark))
	}
	a := answer{}
	if n.Alarm > 0 {
		ms := float64(n.Alarm / 1e6)
		a.Alarm = &ms
	}
	return a, nil
}

// fail gives a restore up if its state is not to be had. Nothing has changed then.
func (r *recovery) fail(worker string, o objectID, err error) (answer, error) {
	var gone *capture.GoneError
	lost := sqlite.Damaged(err) || errors.As(err, &gone)
	for _, cause := range []error{capture.ErrUnknown, capture.ErrDamaged, capture.ErrTooLarge, capture.ErrNoDatabase} {
		lost = lost || errors.Is(err, cause)
	}
	if !lost {
		return answer{}, err
	}
	r.e.o.Logger.Error("a Durable Object is not restored; it stays as it is", "worker", worker, "object", o.id, "err", err)
	if err := r.forget(o); err != nil {
		return answer{}, err
	}
	return answer{Over: true}, problem("This Durable Object was to be restored to an earlier state, which cannot be read. Nothing was changed.")
}

// restore captures the present state and puts the earlier one in its place.
func (r *recovery) restore(ctx context.Context, worker string, o objectID, x *object, n *note) error {
	if err := x.history.Has(n.Undo); err != nil { // otherwise a restore was cut off after it
		if _, err := x.history.Capture(ctx, capture.How{Sync: true, Alias: n.Undo}); err != nil {
			return err
		}
	}
	earlier := r.notePath(o) + ".state"
	defer os.Remove(earlier)
	if err := x.history.Rebuild(ctx, n.Bookmark, earlier); err != nil {
		return err
	}
	path := r.file(worker, o)
	if folder, err := os.Lstat(filepath.Dir(path)); err != nil || !folder.IsDir() {
		return errors.Join(err, fmt.Errorf("%s is no folder", filepath.Dir(path)))
	}
	db, err := sqlite.Open(path, sqlite.Options{Sync: sqlite.SyncFull, Readers: 1, OwnCheckpoints: true})
	if err != nil {
		return err
	}
	return errors.Join(db.Write(ctx, func(c *sqlite.Conn) error {
		if err := c.Replace(earlier); err != nil {
			return err
		}
		// The runtime, where it has the file open, may believe that these exist.
		for _, table := range []string{"_cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)", "_cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"} {
			if err := c.Exec("CREATE TABLE IF NOT EXISTS " + table); err != nil {
				return err
			}
		}
		n.Alarm = 0
		return c.Query("SELECT value FROM _cf_METADATA WHERE key = 1", nil, func(s *sqlite.Stmt) error {
			n.Alarm = s.ColumnInt64(0)
			return nil
		})
	}), db.Close())
}

// settle does the restores of a class that wait, while no process has its files.
func (r *recovery) settle(ctx context.Context, worker string, c config.Class) error {
	notes, err := os.ReadDir(filepath.Join(r.folder(c.Key), restoresFolder))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore Durable Objects: %w", err)
	}
	for _, entry := range notes {
		o := objectID{key: c.Key, id: entry.Name()}
		if !o.belongs() {
			continue
		}
		if err := r.settleOne(ctx, worker, o); err != nil {
			return fmt.Errorf("restore the Durable Object %s: %w", o.id, err)
		}
	}
	return nil
}

func (r *recovery) settleOne(ctx context.Context, worker string, o objectID) error {
	x := r.object(worker, o)
	x.mu.Lock()
	defer x.mu.Unlock()
	// What a power failure has left of the log is put in order first.
	db, err := sqlite.Open(r.file(worker, o), sqlite.Options{Readers: 1})
	if err == nil {
		err = db.Close()
	}
	var a answer
	if err == nil {
		a, err = r.resume(ctx, worker, o, x)
	} else {
		a, err = r.fail(worker, o, err)
	}
	var told problem
	if errors.As(err, &told) {
		return nil // it is in the log
	}
	if err != nil || a.Over {
		return err
	}
	n, err := r.noted(o)
	if err != nil {
		return err
	}
	if err := setAlarm(ctx, filepath.Join(r.e.objectsDir(worker), o.key, "metadata.sqlite"), o.id, n); err != nil {
		return err
	}
	return r.forget(o)
}

// setAlarm puts the alarm of a restored state among those of the class that the
// runtime is to raise.
func setAlarm(ctx context.Context, path, id string, n *note) error {
	db, err := sqlite.Open(path, sqlite.Options{Sync: sqlite.SyncFull, Readers: 1})
	if err != nil {
		return err
	}
	return errors.Join(db.Write(ctx, func(c *sqlite.Conn) error {
		err := c.Exec("CREATE TABLE IF NOT EXISTS _cf_ALARM (actor_id TEXT PRIMARY KEY, scheduled_time INTEGER, actor_name TEXT) WITHOUT ROWID")
		if err != nil {
			return err
		}
		if n.Alarm == 0 {
			return c.Exec("DELETE FROM _cf_ALARM WHERE actor_id = ?", id)
		}
		var name any
		if n.Name != "" {
			name = n.Name
		}
		return c.Exec("INSERT INTO _cf_ALARM (actor_id, scheduled_time, actor_name) VALUES (?, ?, ?) "+
			"ON CONFLICT (actor_id) DO UPDATE SET scheduled_time = excluded.scheduled_time", id, n.Alarm, name)
	}), db.Close())
}
