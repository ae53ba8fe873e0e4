package d1

import (
	"database/sql"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind  = (*kind)(nil)
	_ binding.Implier = (*kind)(nil)
)

// Bind implements binding.GoKind for a *Database or a *sql.DB.
func (k *kind) Bind(b config.Binding, _ binding.Host, to any) error {
	switch p := to.(type) {
	case **Database:
		db, err := k.database(b)
		*p = db
		return err
	case **sql.DB:
		db, err := k.database(b)
		if err != nil {
			return err
		}
		*p = OpenDB(db)
		return nil
	}
	return &binding.TypeError{Types: "*d1.Database or *sql.DB"}
}

// Imply implements binding.Implier: a database is named after its binding.
func (k *kind) Imply(name string, to any) (config.Binding, bool) {
	switch to.(type) {
	case **Database, **sql.DB:
	default:
		return config.Binding{}, false
	}
	b, err := config.NewBinding(name, k.Type(), settings{ID: name})
	return b, err == nil
}
