package manifest

import (
	"fmt"
	"slices"

	"github.com/selvage-edge/selvage/config"
)

// Migration is one step in the history of a script's Durable Object classes:
// an entry of migrations in a manifest, or of migrations.steps in an upload,
// where Tag is empty.
//
// Source: https://developers.cloudflare.com/durable-objects/reference/durable-objects-migrations/
type Migration struct {
	Tag                string     `json:"tag,omitempty"`
	NewClasses         []string   `json:"new_classes,omitempty"`
	NewSQLiteClasses   []string   `json:"new_sqlite_classes,omitempty"`
	RenamedClasses     []Rename   `json:"renamed_classes,omitempty"`
	TransferredClasses []Transfer `json:"transferred_classes,omitempty"`
	DeletedClasses     []string   `json:"deleted_classes,omitempty"`
}

// Rename gives the objects of class From to class To.
type Rename struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Transfer takes over the objects of class From of another script.
type Transfer struct {
	From       string `json:"from"`
	FromScript string `json:"from_script"`
	To         string `json:"to"`
}

// key is that of the class where it was made.
func (t Transfer) key() string { return t.FromScript + "-" + t.From }

// Taken are the classes that the migrations have taken over from other Workers,
// as they are called there, with what they are called here.
func (m *Manifest) Taken() map[Transfer]config.Class {
	taken := map[Transfer]config.Class{}
	for _, step := range m.Migrations {
		for _, t := range step.TransferredClasses {
			for _, c := range m.Classes {
				if c.Key == t.key() {
					taken[t] = c
				}
			}
		}
	}
	return taken
}

// Resolve applies migrations, in order, to the classes that a Worker has and
// returns those it has then. have is not changed.
//
// A new class gets the key "<worker>-<class>", and keeps it through every
// rename. Should the key be taken, because an earlier class of that name was
// renamed or deleted, a number is added: "<worker>-<class>-2". A class that is
// taken over keeps the key that it got first, and is taken to be one of SQLite.
func Resolve(worker string, have []config.Class, migrations []Migration) ([]config.Class, error) {
	classes := slices.Clone(have)
	taken := map[string]bool{}
	for _, c := range have {
		taken[c.Key] = true
	}
	find := func(name string) int {
		return slices.IndexFunc(classes, func(c config.Class) bool { return c.Name == name })
	}
	for i, m := range migrations {
		step := fmt.Sprintf("migration %d", i+1)
		if m.Tag != "" {
			step = fmt.Sprintf("migration %q", m.Tag)
		}
		create := func(name string, sqlite bool) error {
			if find(name) >= 0 {
				return fmt.Errorf("%s: class %q exists already", step, name)
			}
			k := worker + "-" + name
			for n := 2; taken[k]; n++ {
				k = fmt.Sprintf("%s-%s-%d", worker, name, n)
			}
			taken[k] = true
			classes = append(classes, config.Class{Name: name, SQLite: sqlite, Key: k})
			return nil
		}
		// Deletions and renames come before creations, as on the platform, so
		// that one step may free a name and use it again.
		for _, name := range m.DeletedClasses {
			at := find(name)
			if at < 0 {
				return nil, fmt.Errorf("%s: deleted_classes: there is no class %q", step, name)
			}
			classes = slices.Delete(classes, at, at+1)
		}
		for _, r := range m.RenamedClasses {
			at := find(r.From)
			if at < 0 {
				return nil, fmt.Errorf("%s: renamed_classes: there is no class %q", step, r.From)
			}
			if find(r.To) >= 0 {
				return nil, fmt.Errorf("%s: renamed_classes: class %q exists already", step, r.To)
			}
			classes[at].Name = r.To
		}
		for _, t := range m.TransferredClasses {
			k := t.key()
			if find(t.To) >= 0 || taken[k] {
				return nil, fmt.Errorf("%s: transferred_classes: class %q exists already", step, t.To)
			}
			taken[k] = true
			classes = append(classes, config.Class{Name: t.To, SQLite: true, Key: k})
		}
		for _, name := range m.NewClasses {
			if err := create(name, false); err != nil {
				return nil, err
			}
		}
		for _, name := range m.NewSQLiteClasses {
			if err := create(name, true); err != nil {
				return nil, err
			}
		}
	}
	return classes, nil
}

// loadClasses resolves the migrations, and adds the classes that are bound
// without one: `wrangler dev` runs them, too.
func (l *loader) loadClasses() {
	m := l.m
	n, path := l.get("migrations")
	n.decode(&m.Migrations)
	tags := map[string]bool{}
	for i, mig := range m.Migrations {
		if tags[mig.Tag] {
			l.errorf(n.items[i], fmt.Sprintf("%s[%d].tag", path, i), "tag %q is used by an earlier migration; give each its own", mig.Tag)
		}
		tags[mig.Tag] = true
	}
	var err error
	if m.Classes, err = Resolve(m.Name, nil, m.Migrations); err != nil {
		l.errorf(n, path, "%v", err)
		return
	}
	objects, path := l.get("durable_objects")
	list := objects.get("bindings")
	if list == nil {
		return
	}
	for i, b := range list.items {
		at := fmt.Sprintf("%s.bindings[%d]", path, i)
		class, script := b.get("class_name").str(), b.get("script_name").str()
		if script == "" || script == m.Name {
			m.BoundClasses = append(m.BoundClasses, class)
		}
		switch {
		case script != "" && script != m.Name: // that Worker has it
		case slices.ContainsFunc(m.Classes, func(c config.Class) bool { return c.Name == class }):
		default:
			l.warnf(b, at+".class_name", "no migration creates class %q: add one with new_sqlite_classes = [%q]", class, class)
			// A class that is not there can always be made.
			m.Classes, _ = Resolve(m.Name, m.Classes, []Migration{{NewClasses: []string{class}}})
		}
	}
}
