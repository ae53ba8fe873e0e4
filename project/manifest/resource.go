package manifest

// Resource is a database or KV namespace that a manifest names.
type Resource struct {
	// Type is that of the binding: "d1" or "kv_namespace".
	Type string `json:"type"`
	ID   string `json:"id"`
	// Worker has the binding. Name is a database's own name.
	Worker  string `json:"worker"`
	Binding string `json:"binding"`
	Name    string `json:"name,omitempty"`
	// MigrationsDir and MigrationsTable are a database's.
	MigrationsDir   string `json:"migrations_dir,omitempty"`
	MigrationsTable string `json:"migrations_table,omitempty"`
}

// Resources are the databases and KV namespaces of m.
func (m *Manifest) Resources() []Resource {
	var list []Resource
	for _, d := range m.Databases {
		list = append(list, Resource{
			Type: "d1", ID: d.ID, Worker: m.Name, Binding: d.Binding, Name: d.Name,
			MigrationsDir: d.MigrationsDir, MigrationsTable: d.MigrationsTable,
		})
	}
	for _, b := range m.Bindings {
		var s struct {
			ID string `json:"namespace_id"`
		}
		if b.Type == "kv_namespace" && b.Decode(&s) == nil {
			list = append(list, Resource{Type: b.Type, ID: s.ID, Worker: m.Name, Binding: b.Name})
		}
	}
	return list
}
