package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Workflow is a class of a Worker, and the instances of it. It is safe for
// concurrent use.
type Workflow struct {
	store  *Store
	number uint64
	name   string
	row    row // guarded by store.mu

	// creating is held for reading while instances are created.
	creating sync.RWMutex

	mu          sync.Mutex
	gone        bool   // guarded by creating, too
	latest      uint64 // the number of the newest instance
	open        map[uint64]*instance
	coming      map[string]bool // ids of instances that are being created
	terminating atomic.Bool
	// No row of an instance that is due comes before low; lowered counts the changes
	// of low. Rows that were deleted take time to be passed over.
	low     place
	lowered int
	// kicked has the scheduler look for instances that are due.
	kicked chan struct{}
}

// row is what is stored of a Workflow, as JSON.
type row struct {
	Number   uint64    `json:"number"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
	Settings Settings  `json:"settings"`
	// Versions are the newest first, at most maxVersions.
	Versions []Version `json:"versions"`
}

// Version is made whenever a Workflow is set up.
type Version struct {
	ID       string    `json:"id"`
	Created  time.Time `json:"created_on"`
	Modified time.Time `json:"modified_on"`
	Class    string    `json:"class_name"`
}

// maxVersions is how many versions of a Workflow are remembered.
const maxVersions = 100

// Settings of a Workflow.
type Settings struct {
	// Script is the Worker that has the class.
	Script string `json:"script_name"`
	Class  string `json:"class_name"`
	// Steps is how many an instance may have. 0: DefaultSteps.
	Steps int `json:"steps,omitempty"`
	// Retention is how long instances are kept that do not say it themselves, in
	// ms. 0: DefaultRetention.
	Retention retention `json:"retention"`
	// Concurrency is how many instances run at once, at most MaxRunning, which is
	// what 0 stands for.
	Concurrency int `json:"concurrency,omitempty"`
	// Schedules are cron expressions, at most MaxSchedules: at each minute that one
	// matches, an instance is created.
	Schedules []string `json:"schedules,omitempty"`
	// Jurisdiction is noted and has no effect. It never changes.
	Jurisdiction string `json:"jurisdiction,omitempty"`
}

// MaxSchedules is how many schedules a Workflow may have.
const MaxSchedules = 100

func (s Settings) equal(t Settings) bool {
	same := slices.Equal(s.Schedules, t.Schedules) // nil or empty
	s.Schedules, t.Schedules = nil, nil
	return same && reflect.DeepEqual(s, t)
}

func (s Settings) check() error {
	if s.Script == "" || s.Class == "" {
		return badBody("script_name and class_name must say which class of which Worker the Workflow is")
	}
	if s.Steps < 0 || s.Steps > MaxSteps {
		return badBody("limits.steps is %d; it must be 1 to %d", s.Steps, MaxSteps)
	}
	if s.Concurrency < 0 {
		return badBody("concurrency.limit is %d; it must be a positive number", s.Concurrency)
	}
	if len(s.Schedules) > MaxSchedules {
		return badBody("there are %d schedules; a Workflow may have %d", len(s.Schedules), MaxSchedules)
	}
	for _, text := range s.Schedules {
		if _, err := cron.Parse(text); err != nil {
			return badBody("invalid cron string '%s': %v", text, err)
		}
	}
	return nil
}

// Info describes a Workflow.
type Info struct {
	ID, Name          string
	Created, Modified time.Time
	Settings          Settings
	Versions          []Version
}

// Info describes the Workflow.
func (w *Workflow) Info() Info {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	r := w.row
	return Info{r.ID, r.Name, r.Created, r.Modified, r.Settings, slices.Clone(r.Versions)}
}

// Name is its name, which never changes.
func (w *Workflow) Name() string { return w.name }

// Put makes the Workflow of a name or gives it other settings. Its instances stay,
// and their next runs are of the class that it has then. renew makes a version even
// if the settings are the same.
func (s *Store) Put(name string, settings Settings, renew bool) (*Workflow, error) {
	if err := checkName(name); err != nil {
		return nil, badBody("%v", err)
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byName[name]
	if w != nil && settings.Jurisdiction == "" {
		settings.Jurisdiction = w.row.Settings.Jurisdiction
	}
	switch {
	case w == nil:
	case w.row.Settings.equal(settings) && !renew:
		return w, nil
	case w.row.Settings.Jurisdiction != settings.Jurisdiction:
		return nil, refuse(http.StatusConflict, 10209, "workflow.jurisdiction_immutable", "The jurisdiction of Workflow %s cannot be changed; delete the Workflow first", name)
	}
	now := s.now().UTC()
	b := s.db.Batch()
	defer b.Close()
	var r row
	if w != nil {
		r = w.row
	} else {
		r = row{Number: s.latest + 1, ID: uuid.NewString(), Name: name, Created: now}
		number, err := json.Marshal(r.Number)
		if err != nil {
			return nil, err
		}
		b.Set(key(rowNumber), number)
	}
	r.Modified, r.Settings = now, settings
	r.Versions = append([]Version{{uuid.NewString(), now, now, settings.Class}}, r.Versions[:min(len(r.Versions), maxVersions-1)]...)
	b.Set(append(key(rowWorkflow), name...), encode(r))
	if err := b.Commit(); err != nil {
		return nil, fmt.Errorf("set up Workflow %s: %w", name, err)
	}
	if w == nil {
		w = s.workflow(r)
		s.byName[name], s.latest = w, r.Number
	}
	w.row = r
	w.kick(maxMillis) // its scheduler looks at the settings
	s.tell()
	return w, nil
}

// Delete removes the Workflow with its instances, at once and for good. What runs
// is cut off.
func (w *Workflow) Delete() error {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[w.name] != w {
		return ErrNoWorkflow
	}
	w.creating.Lock()
	defer w.creating.Unlock()
	w.mu.Lock()
	w.gone = true
	open := make([]*instance, 0, len(w.open))
	for _, in := range w.open {
		open = append(open, in)
	}
	w.mu.Unlock()
	for _, in := range open {
		in.mu.Lock()
		in.stop()
		in.gone = true
		in.mu.Unlock()
	}
	b := s.db.Batch()
	defer b.Close()
	b.Delete(append(key(rowWorkflow), w.name...))
	for _, letter := range append([]byte{rowInstance, rowID, rowStatus, rowDue, rowRunning}, instanceRows...) {
		prefix := key(letter, w.number)
		b.DeleteRange(prefix, keyed.After(prefix))
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("delete Workflow %s: %w", w.name, err)
	}
	delete(s.byName, w.name)
	if err := s.recount(context.Background()); err != nil {
		s.log.Error("what Workflows store cannot be counted", "err", err)
	}
	for _, in := range open {
		s.watching.wake(watched{w.number, in.number})
	}
	s.tell()
	return nil
}

// place is where the row of an instance that is due stands.
type place struct {
	due    int64
	number uint64
}

// kick has the scheduler look for instances that are due; one is at a time that is
// stored by now.
func (w *Workflow) kick(due int64) {
	w.mu.Lock()
	w.lowered++
	if due <= w.low.due {
		w.low = place{due, 0}
	}
	w.mu.Unlock()
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

// setup is what new instances need of the settings, and the newest version.
func (w *Workflow) setup() (Settings, string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.row.Settings, w.row.Versions[0].ID
}

// keep is how long a new instance is kept when it has ended.
func (s Settings) keep(c Create) retention {
	first := func(list ...int64) int64 {
		for _, ms := range list {
			if ms != 0 {
				return ms
			}
		}
		return DefaultRetention.Milliseconds()
	}
	return retention{first(c.SuccessRetention, s.Retention.Success), first(c.ErrorRetention, s.Retention.Error)}
}
