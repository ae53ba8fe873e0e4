package state

import (
	"encoding/json"
	"fmt"

	"github.com/selvage-edge/selvage/config"
)

// refField is the field that stands for the secret ones of a sealed binding.
const refField = "secret"

// IsSecret reports whether bindings of the type hold a secret.
func (s *Store) IsSecret(typ string) bool { return s.secrets[typ] != nil }

// SecretRef returns the reference that stands for the secret of a stored
// binding. Two bindings with the same reference have the same secret.
func (s *Store) SecretRef(b config.Binding) string {
	var head struct{ Secret string }
	if !s.IsSecret(b.Type) || b.Decode(&head) != nil {
		return ""
	}
	return head.Secret
}

// Public returns a binding without secret and reference, as the API shows it.
func (s *Store) Public(b config.Binding) config.Binding {
	if !s.IsSecret(b.Type) {
		return b
	}
	fields := map[string]json.RawMessage{}
	if err := b.Decode(&fields); err != nil {
		fields = nil
	}
	delete(fields, refField)
	for _, name := range s.secrets[b.Type] {
		delete(fields, name)
	}
	public, err := config.NewBinding(b.Name, b.Type, fields)
	if err != nil {
		panic(fmt.Sprintf("state: encode binding: %v", err)) // a map of JSON always encodes
	}
	return public
}

// seal moves the secret fields of b into the table of secrets. A binding that
// has a reference already is returned as it is.
func (tx *Tx) seal(worker string, b config.Binding) (config.Binding, error) {
	if !tx.s.IsSecret(b.Type) || tx.s.SecretRef(b) != "" {
		return b, nil
	}
	fields := map[string]json.RawMessage{}
	if err := b.Decode(&fields); err != nil {
		return b, err
	}
	secret := map[string]json.RawMessage{}
	for _, name := range tx.s.secrets[b.Type] {
		if value, ok := fields[name]; ok {
			secret[name] = value
			delete(fields, name)
		}
	}
	id := NewID()
	sealed, err := tx.s.sealer.seal([]byte(encode(secret)), id)
	if err != nil {
		return b, fmt.Errorf("seal secret %s: %w", b.Name, err)
	}
	if err := tx.exec("INSERT INTO secrets (id, worker, sealed) VALUES (?, ?, ?)", id, worker, sealed); err != nil {
		return b, err
	}
	fields[refField], _ = json.Marshal(id)
	return config.NewBinding(b.Name, b.Type, fields)
}

// reveal puts the secret fields back in the place of their reference.
func (tx *Tx) reveal(b config.Binding) (config.Binding, error) {
	id := tx.s.SecretRef(b)
	if id == "" {
		return b, nil
	}
	var sealed []byte
	if err := tx.one("SELECT sealed FROM secrets WHERE id = ?", []any{id}, &sealed); err != nil {
		return b, fmt.Errorf("secret %s: %w", b.Name, err)
	}
	text, err := tx.s.sealer.open(sealed, id)
	if err != nil {
		return b, fmt.Errorf("open secret %s: %w", b.Name, err)
	}
	fields := map[string]json.RawMessage{}
	if err := b.Decode(&fields); err != nil {
		return b, err
	}
	delete(fields, refField)
	if err := json.Unmarshal(text, &fields); err != nil {
		return b, fmt.Errorf("open secret %s: %w", b.Name, err)
	}
	return config.NewBinding(b.Name, b.Type, fields)
}

// Reveal returns v's bindings with their secrets, to start a version that is
// not part of a snapshot. The result must not be stored, logged or sent.
func (tx *Tx) Reveal(list Bindings) ([]config.Binding, error) {
	open := make([]config.Binding, len(list))
	for i, b := range list {
		var err error
		if open[i], err = tx.reveal(b); err != nil {
			return nil, err
		}
	}
	return open, nil
}
