package engine

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop/ask"
	"github.com/selvage-edge/selvage/storage/capture"
)

// Point-in-time recovery of Durable Objects. workerd writes their files and keeps
// no earlier states, so those are captured beside it (storage/capture): when an
// object asks for a bookmark, and on their own once a minute of objects that have
// changed, and when a cell ends. They are in do-history/<key of the class>/<id>,
// where a cell cannot reach them and where no transfer of a class moves them.
//
// An object calls us through recovery.js. A restore is noted in
// do-history/<key>/restores/<id> until it has happened: when a cell starts, before
// its process has the files, or else when the object's next session begins, before
// its constructor runs. Either way the earlier state is written in one transaction
// of SQLite, and what a kill cuts off is done again.
//
// Source: https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#pitr-point-in-time-recovery-api

const (
	historyFolder   = "do-history"
	restoresFolder  = "restores"
	recoveryService = "recovery"
	recoveryBinding = "selvage recovery"
	// keepStates is how long a state can be gone back to, which is Cloudflare's.
	keepStates = 30 * 24 * time.Hour
)

//go:embed recovery.js
var recoverySource string

var recoveryModule = workerd.ExtensionModule{Name: "selvage:recovery", Source: recoverySource}

// recovers: the version's home has a handler for recovery.js.
func recovers(v *config.Version) bool { return len(v.Classes) > 0 && !v.ServiceWorker }

// recoverableClasses is the end of a main module, whose exports of the classes'
// names come before those of the user's module.
func recoverableClasses(v *config.Version) string {
	var s strings.Builder
	fmt.Fprintf(&s, "import { recoverable } from %q;\n", recoveryModule.Name)
	for i, c := range v.Classes {
		fmt.Fprintf(&s, "const own%d = recoverable(user[%s], %[2]s, %v);\nexport { own%[1]d as %[2]s };\n", i, quoteJS(c.Name), c.SQLite)
	}
	return s.String()
}

// problem is an error that the object is told.
type problem string

// Error implements error.
func (p problem) Error() string { return string(p) }

// object is what is known of an object's history. Its mutex is held by what must
// not happen twice at once: a restore, and noting one.
type object struct {
	mu      sync.Mutex
	history *capture.History
	used    time.Time // guarded by recovery.mu, as is next
	next    time.Time // no capture on its own before
}

// recovery keeps the histories of objects. It is safe for concurrent use. Its locks
// come after the engine's: one of moving, object.mu, mu.
type recovery struct {
	e *Engine

	mu      sync.Mutex
	objects map[objectID]*object
	// moving is held, for reading, while an object's file is in use, so that the
	// folder of its class stays where it is.
	moving map[string]*sync.RWMutex

	busy atomic.Bool // see begin, which alone has what follows
	// absent says since when no Worker has a class, by its key, as of swept.
	absent map[string]time.Time
	swept  time.Time
}

func newRecovery(e *Engine) *recovery {
	return &recovery{e: e, objects: map[objectID]*object{}, moving: map[string]*sync.RWMutex{}, absent: map[string]time.Time{}}
}

func (r *recovery) folder(key string) string { return filepath.Join(r.e.o.Dir, historyFolder, key) }

// object finds what is known of an object of a Worker's.
func (r *recovery) object(worker string, o objectID) *object {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.objects[o]
	if x == nil {
		x = &object{history: r.history(worker, o)}
		r.objects[o] = x
	}
	x.used = r.e.o.clock.now()
	return x
}

func (r *recovery) history(worker string, o objectID) *capture.History {
	return capture.New(r.file(worker, o), filepath.Join(r.folder(o.key), o.id), capture.Options{
		Now: r.e.o.clock.now, Keep: keepStates, Budget: r.e.o.HistoryQuota, Largest: r.e.o.ObjectsQuota,
	})
}

// file is the object's file.
func (r *recovery) file(worker string, o objectID) string {
	return filepath.Join(r.e.objectsDir(worker), o.key, o.id+".sqlite")
}

// hold keeps the folder of a class where it is until release is called. whole: no
// file in it is in use meanwhile.
func (r *recovery) hold(key string, whole bool) (release func()) {
	r.mu.Lock()
	m := r.moving[key]
	if m == nil {
		m = &sync.RWMutex{}
		r.moving[key] = m
	}
	r.mu.Unlock()
	if whole {
		m.Lock()
		// The objects may be another Worker's from here on.
		r.mu.Lock()
		for o := range r.objects {
			if o.key == key {
				delete(r.objects, o)
			}
		}
		r.mu.Unlock()
		return m.Unlock
	}
	m.RLock()
	return m.RUnlock
}

// question is what recovery.js asks.
type question struct {
	Class    string   `json:"class"`
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Time     *float64 `json:"time"` // milliseconds
	Bookmark string   `json:"bookmark"`
}

// answer is what it gets. Over: no restore waits for the object; Restores: one does.
type answer struct {
	Bookmark string   `json:"bookmark,omitempty"`
	Restores bool     `json:"restores,omitempty"`
	Over     bool     `json:"over,omitempty"`
	Alarm    *float64 `json:"alarm,omitempty"` // milliseconds
	Busy     bool     `json:"busy,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// serve answers the calls of the objects of a version.
func (r *recovery) serve(v *config.Version) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var a answer
		var q question
		text, err := ask.Question(req, 16<<10)
		if err == nil {
			err = json.Unmarshal(text, &q)
		}
		if err == nil {
			a, err = r.answer(req.Context(), v, strings.TrimPrefix(req.URL.Path, "/"), q)
		}
		var told problem
		switch {
		case errors.Is(err, capture.ErrBusy):
			a = answer{Busy: true}
		case errors.As(err, &told):
			a.Error = string(told)
		case err != nil:
			r.e.o.Logger.Error("point-in-time recovery of a Durable Object failed", "worker", v.Worker, "class", q.Class, "object", q.ID, "err", err)
			a.Error = "Point-in-time recovery failed because of an internal error. Nothing was changed."
		}
		body, _ := json.Marshal(a) // of plain fields
		ask.Answer(w, body)
	})
}

func (r *recovery) answer(ctx context.Context, v *config.Version, operation string, q question) (answer, error) {
	o := objectID{id: q.ID}
	for _, c := range v.Classes {
		if c.Name == q.Class && c.SQLite {
			o.key = c.Key
		}
	}
	if o.key == "" || !o.belongs() {
		return answer{}, problem("A facet of a Durable Object has no point-in-time recovery of its own.")
	}
	defer r.hold(o.key, false)()
	x := r.object(v.Worker, o)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch operation {
	case "current":
		b, err := x.history.Capture(ctx, capture.How{Sync: true})
		return answer{Bookmark: o.format(b)}, explain(err)
	case "time":
		return r.at(ctx, o, x, q)
	case "next":
		return r.next(ctx, o, x, q)
	case "restore":
		// It goes on when the caller does not wait for it.
		return r.resume(context.WithoutCancel(ctx), v.Worker, o, x)
	case "restored":
		return answer{Over: true}, r.forget(o)
	}
	return answer{}, fmt.Errorf("unknown operation %q", operation)
}

// explain puts what the object can know of an error into words for it.
func explain(err error) error {
	var gone *capture.GoneError
	switch {
	case errors.Is(err, capture.ErrTooLarge):
		return problem("This Durable Object is too large for point-in-time recovery: one state of it exceeds the quota of its history, durable_object_history.")
	case errors.Is(err, capture.ErrUnknown):
		return problem("Invalid bookmark: this Durable Object has no such bookmark.")
	case errors.As(err, &gone) && gone.Oldest == 0:
		return problem("There is no earlier state of this Durable Object.")
	case errors.As(err, &gone):
		return problem("That is too old: the oldest state of this Durable Object that is kept is of " + capture.Time(gone.Oldest).Format(time.RFC3339) + ".")
	}
	return err
}

// at gives the bookmark of the state at a time.
func (r *recovery) at(ctx context.Context, o objectID, x *object, q question) (answer, error) {
	now := r.e.o.clock.now()
	if q.Time == nil || *q.Time > float64(now.UnixMilli()) {
		return answer{}, problem("The timestamp is in the future.")
	}
	if *q.Time < float64(now.Add(-keepStates).UnixMilli()) {
		return answer{}, problem("The timestamp must be within the last 30 days.")
	}
	// If nothing was written since, it is the present state.
	_, err := x.history.Capture(ctx, capture.How{Sync: true})
	if err != nil && !errors.Is(err, capture.ErrBusy) {
		return answer{}, explain(err)
	}
	b, err := x.history.Find(uint64(*q.Time*1000) + 999)
	return answer{Bookmark: o.format(b)}, explain(err)
}

// next notes a restore.
func (r *recovery) next(ctx context.Context, o objectID, x *object, q question) (answer, error) {
	b, err := o.parse(q.Bookmark)
	if err != nil {
		return answer{}, err
	}
	n, err := r.noted(o)
	if err != nil {
		return answer{}, err
	}
	if n != nil && b == n.Undo { // the state at the end of this session
		return answer{Bookmark: q.Bookmark, Over: true}, r.forget(o)
	}
	if now := r.e.o.clock.now(); b > uint64(now.UnixMicro()) {
		return answer{}, explain(capture.ErrUnknown)
	} else if capture.Time(b).Before(now.Add(-keepStates)) {
		return answer{}, problem("Invalid bookmark: it must be of the last 30 days.")
	}
	// With the present state, the one that is asked for reaches the disk.
	if _, err := x.history.Capture(ctx, capture.How{Sync: true}); err != nil {
		return answer{}, explain(err)
	}
	if err := x.history.Has(b); err != nil {
		return answer{}, explain(err)
	}
	m := note{Bookmark: b, Name: q.Name}
	if n != nil {
		m.Undo = n.Undo
	} else if m.Undo, err = x.history.Reserve(); err != nil {
		return answer{}, err
	}
	return answer{Bookmark: o.format(m.Undo), Restores: true}, r.write(o, m)
}
