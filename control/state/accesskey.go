package state

import (
	"fmt"
	"slices"
	"time"
)

// AccessKey is the record of an access key of R2's S3 API, without its secret.
type AccessKey struct {
	// ID is 32 hexadecimal characters.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Buckets are the names of those that the key is for; none means all.
	Buckets []string `json:"buckets,omitempty"`
	// Write says that the key may change what it may read.
	Write bool `json:"write"`
	// Admin says that the key is also for the list of buckets and their settings.
	Admin   bool      `json:"admin"`
	Created time.Time `json:"created"`
	// Expires is zero for a key without end.
	Expires time.Time `json:"expires,omitzero"`
	// Used is about when the key was last used; zero: never. Not part of the
	// stored document.
	Used time.Time `json:"-"`
}

// Allows reports whether the key is for a bucket, to read or to write. The bucket
// "" stands for the list of buckets and their settings.
func (k AccessKey) Allows(bucket string, write bool) bool {
	switch {
	case write && !k.Write:
		return false
	case bucket == "":
		return k.Admin
	}
	return len(k.Buckets) == 0 || slices.Contains(k.Buckets, bucket)
}

// sealedFor is what the secret of an access key is bound to.
func sealedFor(id string) string { return "access key " + id }

// AddAccessKey stores a key and, sealed, its secret.
func (tx *Tx) AddAccessKey(k AccessKey, secret string) error {
	sealed, err := tx.s.sealer.seal([]byte(secret), sealedFor(k.ID))
	if err != nil {
		return fmt.Errorf("seal access key %s: %w", k.ID, err)
	}
	tx.note("access key", k.Name, nil, k)
	return tx.exec("INSERT INTO access_keys (id, sealed, data) VALUES (?, ?, ?)", k.ID, sealed, encode(k))
}

// withUse puts the time of the last use into the document that is read.
const withUse = "SELECT json_object('key', json(data), 'used', used) FROM access_keys"

type usedKey struct {
	Key  AccessKey `json:"key"`
	Used int64     `json:"used"`
}

func (u usedKey) accessKey() AccessKey {
	if u.Used != 0 {
		u.Key.Used = time.Unix(u.Used, 0).UTC()
	}
	return u.Key
}

// AccessKeys returns all keys, oldest first.
func (tx *Tx) AccessKeys() ([]AccessKey, error) {
	rows, err := records[usedKey](tx, withUse+" ORDER BY json_extract(data, '$.created'), id")
	if err != nil {
		return nil, err
	}
	list := make([]AccessKey, len(rows))
	for i, row := range rows {
		list[i] = row.accessKey()
	}
	return list, nil
}

// AccessKey returns a key, or ErrNotFound.
func (tx *Tx) AccessKey(id string) (AccessKey, error) {
	row, err := record[usedKey](tx, withUse+" WHERE id = ?", id)
	return row.accessKey(), err
}

// AccessSecret returns the secret of a key, or ErrNotFound. It must not be
// stored, logged or sent.
func (tx *Tx) AccessSecret(id string) (string, error) {
	var sealed []byte
	if err := tx.one("SELECT sealed FROM access_keys WHERE id = ?", []any{id}, &sealed); err != nil {
		return "", err
	}
	secret, err := tx.s.sealer.open(sealed, sealedFor(id))
	if err != nil {
		return "", fmt.Errorf("open access key %s: %w", id, err)
	}
	return string(secret), nil
}

// SetAccessKeyUse notes when a key was used, to the second. It is not a change
// for the audit log.
func (tx *Tx) SetAccessKeyUse(id string, at time.Time) error {
	return tx.exec("UPDATE access_keys SET used = ? WHERE id = ?", at.Unix(), id)
}

// DeleteAccessKey deletes a key and its secret; ErrNotFound if there is none.
func (tx *Tx) DeleteAccessKey(id string) error {
	k, err := tx.AccessKey(id)
	if err != nil {
		return err
	}
	tx.note("access key", k.Name, k, nil)
	return tx.exec("DELETE FROM access_keys WHERE id = ?", id)
}
