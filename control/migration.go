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

// apply gives the classes after the migrations. tag is the last one that was
// applied and newKey makes the storage key of a new class.
func (m *migrations) apply(classes []state.Class, tag string, newKey func() string) ([]state.Class, error) {
	if m.OldTag != tag {
		return nil, badRequest(10079, "the migrations start from tag %q but the last one applied to this Worker is %q; run the deploy again", m.OldTag, tag)
	}
	list := slices.Clone(classes)
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
		if len(step.TransferredClasses) > 0 {
			return nil, badRequest(10061, "Durable Object classes cannot be transferred between Workers yet (transferred_classes: %s from %s)",
				step.TransferredClasses[0].From, step.TransferredClasses[0].FromScript)
		}
		for _, r := range step.RenamedClasses {
			at := find(r.From)
			if at < 0 {
				return nil, badRequest(10071, "Cannot apply rename-class migration: this Worker has no Durable Object class '%s'", r.From)
			}
			if find(r.To) >= 0 {
				return nil, badRequest(10074, "Cannot apply rename-class migration: the Durable Object class '%s' exists already", r.To)
			}
			list[at].Name = r.To
		}
		for _, name := range step.DeletedClasses {
			at := find(name)
			if at < 0 {
				return nil, badRequest(10071, "Cannot apply delete-class migration: this Worker has no Durable Object class '%s'", name)
			}
			list = slices.Delete(list, at, at+1)
		}
		if err := create(step.NewClasses, false); err != nil {
			return nil, err
		}
		if err := create(step.NewSQLiteClasses, true); err != nil {
			return nil, err
		}
	}
	return list, nil
}
