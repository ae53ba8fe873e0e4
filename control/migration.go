package control

import (
	"slices"

	"github.com/selvage-edge/selvage/control/state"
)

// migrations are the Durable Object migrations that come with an upload: those
// that the server has not applied yet.
//
// Source: https://developers.cloudflare.com/durable-objects/reference/durable-objects-migrations/
type migrations struct {
	OldTag string          `json:"old_tag"`
	NewTag string          `json:"new_tag"`
	Steps  []migrationStep `json:"steps"`
	// A single step may stand without the list.
	migrationStep
}

type migrationStep struct {
	NewClasses         []string        `json:"new_classes"`
	NewSQLiteClasses   []string        `json:"new_sqlite_classes"`
	DeletedClasses     []string        `json:"deleted_classes"`
	RenamedClasses     []renamedClass  `json:"renamed_classes"`
	TransferredClasses []transferClass `json:"transferred_classes"`
}

type renamedClass struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type transferClass struct {
	From       string `json:"from"`
	FromScript string `json:"from_script"`
	To         string `json:"to"`
}

// owner is a Worker whose classes a migration takes over.
type owner func(script string) (*state.Worker, error)

// taken is a class that changes its script.
type taken struct {
	from *state.Worker
	// name is what it was called there.
	name  string
	class state.Class
}

// apply gives the classes after the migrations, and those among them that other
// scripts had. tag is the last one that was applied, newKey makes the storage key
// of a new class.
func (m *migrations) apply(classes []state.Class, tag string, newKey func() string, owner owner) ([]state.Class, []taken, error) {
	if m.OldTag != tag {
		return nil, nil, badRequest(10079, "the migrations start from tag %q but the last one applied to this Worker is %q; run the deploy again", m.OldTag, tag)
	}
	list := slices.Clone(classes)
	var moved []taken
	find := func(name string) int {
		return slices.IndexFunc(list, func(c state.Class) bool { return c.Name == name })
	}
	create := func(names []string, sqlite bool) error {
		for _, name := range names {
			if find(name) >= 0 {
				return badRequest(10074, "Cannot apply new-class migration to class '%s' that is already depended on by existing Durable Objects", name)
			}
			list = append(list, state.Class{Name: name, SQLite: sqlite, Key: newKey()})
		}
		return nil
	}
	steps := m.Steps
	if len(steps) == 0 {
		steps = []migrationStep{m.migrationStep}
	}
	for _, step := range steps {
		for _, t := range step.TransferredClasses {
			from, err := owner(t.FromScript)
			if err != nil {
				return nil, nil, err
			}
			at := slices.IndexFunc(from.Classes, func(c state.Class) bool { return c.Name == t.From })
			switch {
			case at < 0:
				return nil, nil, badRequest(10071, "Cannot apply transfer-class migration: script '%s' has no Durable Object class '%s'", t.FromScript, t.From)
			case find(t.To) >= 0:
				return nil, nil, badRequest(10074, "Cannot apply transfer-class migration to class '%s' that is already depended on by existing Durable Objects", t.To)
			}
			c := from.Classes[at]
			from.Classes = slices.Delete(slices.Clone(from.Classes), at, at+1)
			c.Name = t.To
			list, moved = append(list, c), append(moved, taken{from, t.From, c})
		}
		for _, r := range step.RenamedClasses {
			at := find(r.From)
			if at < 0 {
				return nil, nil, badRequest(10071, "Cannot apply rename-class migration: this Worker has no Durable Object class '%s'", r.From)
			}
			if find(r.To) >= 0 {
				return nil, nil, badRequest(10074, "Cannot apply rename-class migration: the Durable Object class '%s' exists already", r.To)
			}
			list[at].Name = r.To
		}
		for _, name := range step.DeletedClasses {
			at := find(name)
			if at < 0 {
				return nil, nil, badRequest(10071, "Cannot apply delete-class migration: this Worker has no Durable Object class '%s'", name)
			}
			list = slices.Delete(list, at, at+1)
		}
		if err := create(step.NewClasses, false); err != nil {
			return nil, nil, err
		}
		if err := create(step.NewSQLiteClasses, true); err != nil {
			return nil, nil, err
		}
	}
	return list, moved, nil
}

// fromScripts are the Workers whose classes the migrations take over.
func (m *migrations) fromScripts() []string {
	if m == nil {
		return nil
	}
	var names []string
	for _, step := range append(slices.Clone(m.Steps), m.migrationStep) {
		for _, t := range step.TransferredClasses {
			names = append(names, t.FromScript)
		}
	}
	return names
}
