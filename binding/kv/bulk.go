package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/storage/blob"
)

// Item is one value of a bulk put.
type Item struct {
	Key   string
	Value []byte
	PutOptions
}

// BulkGet returns the entries of up to MaxBulkGetKeys keys that exist. Their
// values together are limited to MaxBulkGetBytes.
func (n *Namespace) BulkGet(ctx context.Context, keys []string) (map[string]*Entry, error) {
	if len(keys) > MaxBulkGetKeys {
		return nil, refuse(http.StatusBadRequest, "You can request a maximum of %d keys", MaxBulkGetKeys)
	}
	if len(keys) < 1 {
		return nil, refuse(http.StatusBadRequest, "You must request a minimum of 1 key")
	}
	found := make(map[string]*Entry, len(keys))
	total := 0
	for _, key := range keys {
		if found[key] != nil {
			continue
		}
		e, err := n.GetWithMetadata(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if total += len(e.Value); total > MaxBulkGetBytes {
			return nil, refuse(http.StatusRequestEntityTooLarge, "Total size of request exceeds the limit of %dMB", MaxBulkGetBytes>>20)
		}
		found[key] = e
	}
	return found, nil
}

// bulkRequest is a bulk get as bindings and the REST API ask for it.
type bulkRequest struct {
	Keys         []string    `json:"keys"`
	Type         string      `json:"type"` // "text", which is the default, or "json"
	WithMetadata bool        `json:"withMetadata"`
	CacheTTL     json.Number `json:"cacheTtl"` // workerd sends a string

	withExpiration bool // the REST API shows it beside the metadata
}

type bulkEntry struct {
	Value      json.RawMessage `json:"value"`
	Metadata   json.RawMessage `json:"metadata"`
	Expiration int64           `json:"expiration,omitempty"`
}

// bulkValues is the JSON object of a bulk get, in the order of the keys asked
// for: the Map that the Worker gets is filled in the order of the text.
type bulkValues []bulkValue

type bulkValue struct {
	key   string
	value any // null if the key does not exist
}

// MarshalJSON implements json.Marshaler.
func (vs bulkValues) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, v := range vs {
		key, err := json.Marshal(v.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(v.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, key...), ':'), value...)
	}
	return append(text, '}'), nil
}

// values gives what is to be encoded for each key; a key that is asked for
// twice is there once.
func (b *bulkRequest) values(ctx context.Context, n *Namespace) (bulkValues, error) {
	if b.Type != "" && b.Type != "text" && b.Type != "json" {
		return nil, refuse(http.StatusBadRequest, `"%s" is not a valid type. Use "json" or "text"`, b.Type)
	}
	if b.CacheTTL != "" {
		if err := checkCacheTTL(b.CacheTTL.String()); err != nil {
			return nil, err
		}
	}
	entries, err := n.BulkGet(ctx, b.Keys)
	if err != nil {
		return nil, err
	}
	values := make(bulkValues, 0, len(b.Keys))
	seen := make(map[string]bool, len(b.Keys))
	for _, k := range b.Keys {
		if seen[k] {
			continue
		}
		seen[k] = true
		e := entries[k]
		if e == nil {
			values = append(values, bulkValue{key: k})
			continue
		}
		value := json.RawMessage(e.Value)
		if b.Type != "json" {
			if value, err = json.Marshal(string(e.Value)); err != nil {
				return nil, err
			}
		} else if !json.Valid(e.Value) || !utf8.Valid(e.Value) {
			return nil, refuse(http.StatusBadRequest, "At least one of the requested keys corresponds to a non-json value")
		}
		if !b.WithMetadata {
			values = append(values, bulkValue{k, value})
			continue
		}
		entry := bulkEntry{Value: value, Metadata: e.Metadata}
		if b.withExpiration && !e.Expiration.IsZero() {
			entry.Expiration = e.Expiration.Unix()
		}
		values = append(values, bulkValue{k, entry})
	}
	return values, nil
}

// batchBytes is how much of a bulk write is committed at once.
const batchBytes = 1 << 20

// BulkPut stores up to MaxBulkWriteKeys values. All of them are checked before
// the first is stored. When it returns nil all are durable; after another error
// than a refusal some may have been stored.
func (n *Namespace) BulkPut(ctx context.Context, items []Item) error {
	if err := checkBulk(len(items)); err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		if _, _, err := n.head(nil, it.Key, it.PutOptions); err != nil {
			return err
		}
		if len(it.Value) > MaxValueBytes {
			return refuseValue(int64(len(it.Value)))
		}
	}
	for len(items) > 0 {
		if len(items[0].Value) > InlineBytes {
			if err := n.Put(ctx, items[0].Key, items[0].Value, items[0].PutOptions); err != nil {
				return err
			}
			items = items[1:]
			continue
		}
		done, err := n.bulk(ctx, len(items), func(i int) (string, []byte, int64, bool, error) {
			it := &items[i]
			if len(it.Value) > InlineBytes {
				return "", nil, 0, false, nil
			}
			rec, expires, err := n.head(nil, it.Key, it.PutOptions)
			return it.Key, append(rec, it.Value...), expires, true, err
		})
		if err != nil {
			return fmt.Errorf("bulk put: %w", err)
		}
		items = items[done:]
	}
	return nil
}

// BulkDelete removes up to MaxBulkWriteKeys keys. When it returns nil this is
// durable. Keys that do not exist are no error.
func (n *Namespace) BulkDelete(ctx context.Context, keys []string) error {
	if err := checkBulk(len(keys)); err != nil {
		return err
	}
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	for len(keys) > 0 {
		done, err := n.bulk(ctx, len(keys), func(i int) (string, []byte, int64, bool, error) {
			return keys[i], nil, 0, true, nil
		})
		if err != nil {
			return fmt.Errorf("bulk delete: %w", err)
		}
		keys = keys[done:]
	}
	return nil
}

// bulk commits the records that next gives, until it says no more, there are
// count of them or the batch is full. It returns how many there were.
func (n *Namespace) bulk(ctx context.Context, count int, next func(i int) (key string, rec []byte, expires int64, more bool, err error)) (done int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b := n.store.db.Batch()
	defer b.Close()
	var dropped []*blob.Digest
	_, err = n.write(b, func() (*blob.Digest, error) {
		for done < count && b.Size() < batchBytes {
			key, rec, expires, more, err := next(done)
			if err != nil || !more {
				return nil, err
			}
			d, err := n.store.stage(b, n.number, valueRow(nil, n.number, key), rec, expires, nil)
			if err != nil {
				return nil, err
			}
			dropped = append(dropped, d)
			done++
		}
		return nil, nil
	})
	if err != nil {
		return 0, err
	}
	for _, d := range dropped {
		n.store.discard(d)
	}
	return done, nil
}

func checkBulk(count int) error {
	if count > MaxBulkWriteKeys {
		return refuse(http.StatusBadRequest, "You can write or delete a maximum of %d keys at once", MaxBulkWriteKeys)
	}
	return nil
}

func checkLimit(limit int) error {
	if limit < 1 {
		return refuse(http.StatusBadRequest, "Invalid key_count_limit of %d. Please specify an integer greater than 0.", limit)
	}
	if limit > MaxListKeys {
		return refuse(http.StatusBadRequest, "Invalid key_count_limit of %d. Please specify an integer less than %d.", limit, MaxListKeys)
	}
	return nil
}
