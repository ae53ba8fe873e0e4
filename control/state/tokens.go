package state

import "time"

// Token is the record of an API token; the token itself is not stored.
type Token struct {
	// ID is 32 hexadecimal characters.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Hash is the SHA-256 of the token in hexadecimal.
	Hash    string    `json:"hash,omitempty"`
	Scopes  []string  `json:"scopes"`
	Created time.Time `json:"created"`
	// Expires is zero for a token without end.
	Expires time.Time `json:"expires,omitzero"`
}

// public is what others may know of a token.
func (t Token) public() Token {
	t.Hash = ""
	return t
}

// AddToken stores a token.
func (tx *Tx) AddToken(t Token) error {
	tx.note("token", t.Name, nil, t.public())
	return tx.exec("INSERT INTO tokens (id, hash, data) VALUES (?, ?, ?)", t.ID, t.Hash, encode(t))
}

// Tokens returns all tokens.
func (tx *Tx) Tokens() ([]Token, error) {
	return records[Token](tx, "SELECT data FROM tokens ORDER BY json_extract(data, '$.created')")
}

// TokenByHash returns the token with the hash, or ErrNotFound.
func (tx *Tx) TokenByHash(hash string) (Token, error) {
	return record[Token](tx, "SELECT data FROM tokens WHERE hash = ?", hash)
}

// DeleteToken deletes a token; ErrNotFound if there is none with the id.
func (tx *Tx) DeleteToken(id string) error {
	t, err := record[Token](tx, "SELECT data FROM tokens WHERE id = ?", id)
	if err != nil {
		return err
	}
	tx.note("token", t.Name, t.public(), nil)
	return tx.exec("DELETE FROM tokens WHERE id = ?", id)
}

// Setting returns a setting of the account, or ErrNotFound.
func (tx *Tx) Setting(key string) (string, error) {
	var value string
	err := tx.one("SELECT value FROM settings WHERE key = ?", []any{key}, &value)
	return value, err
}

// PutSetting writes a setting of the account.
func (tx *Tx) PutSetting(key, value string) error {
	return tx.exec("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
}

// settingOr returns a setting, which it makes if there is none.
func (tx *Tx) settingOr(key string, fresh func() (string, error)) (string, error) {
	value, err := tx.Setting(key)
	if err != ErrNotFound {
		return value, err
	}
	if value, err = fresh(); err != nil {
		return "", err
	}
	return value, tx.PutSetting(key, value)
}
