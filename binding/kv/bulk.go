package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Value      any             `json:"value"` // asText or json.RawMessage
	Metadata   json.RawMessage `json:"metadata"`
	Expiration int64           `json:"expiration,omitempty"`
}

// asText is a value that is text, which becomes a JSON string when it is written.
type asText []byte

// MarshalJSON implements json.Marshaler.
func (t asText) MarshalJSON() ([]byte, error) { return json.Marshal(string(t)) }

// bulkValues is the JSON object of a bulk get, in the order of the keys asked
// for: the Map that the Worker gets is filled in the order of the text.
type bulkValues []bulkValue

type bulkValue struct {
	key   string
	value any // null if the key does not exist
}

// WriteTo implements io.WriterTo. One value at a time is there as JSON.
func (vs bulkValues) WriteTo(w io.Writer) (written int64, err error) {
	write := func(text []byte) {
		if err == nil {
			var n int
			n, err = w.Write(text)
			written += int64(n)
		}
	}
	write([]byte{'{'})
	for i, v := range vs {
		if i > 0 {
			write([]byte{','})
		}
		write(encode(v.key))
		write([]byte{':'})
		write(encode(v.value))
	}
	write([]byte{'}'})
	return written, err
}

// encode is json.Marshal for values that have been checked.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("kv: encode %T: %v", v, err))
	}
	return text
}

// named is JSON as the only member of an object.
type named struct {
	name  string
	value io.WriterTo
}

// WriteTo implements io.WriterTo.
func (o named) WriteTo(w io.Writer) (int64, error) {
	fmt.Fprintf(w, "{%s:", encode(o.name))
	n, err := o.value.WriteTo(w)
	io.WriteString(w, "}")
	return n, err
}

// answer gives send what the request asks for, while the memory for it is lent
// to a Worker.
func (b *bulkRequest) answer(ctx context.Context, n *Namespace, worker string, send func(io.WriterTo) error) error {
	if len(b.Keys) > MaxBulkGetKeys { // values says so
		b.Keys = b.Keys[:MaxBulkGetKeys+1]
	}
	bytes, err := n.bulkBytes(ctx, b.Keys)
	if err != nil {
		return err
	}
	lease, err := n.store.lend(ctx, worker, bytes)
	if err != nil {
		return err
	}
	defer lease.Release()
	values, err := b.values(ctx, n)
	if err != nil {
		return err
	}
	return send(values)
}

// bulkBytes is the memory that a bulk get needs: all values, and the largest one
// as JSON, in which a byte may have six.
func (n *Namespace) bulkBytes(ctx context.Context, keys []string) (int64, error) {
	total, largest := int64(0), int64(0)
	for _, key := range keys {
		r, file, err := n.find(ctx, key, nil, nil)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if file != nil {
			file.Close()
		} else {
			r.size = int64(len(r.value))
		}
		total, largest = total+r.size, max(largest, r.size)
	}
	return min(total, MaxBulkGetBytes) + 6*largest, nil
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
		value := any(asText(e.Value))
		if b.Type == "json" {
			if !json.Valid(e.Value) || !utf8.Valid(e.Value) {
				return nil, refuse(http.StatusBadRequest, "At least one of the requested keys corresponds to a non-json value")
			}
			value = json.RawMessage(e.Value)
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
	_, err = n.write(b, func(grown *int64) (*blob.Digest, error) {
		for done < count && b.Size() < batchBytes {
			key, rec, expires, more, err := next(done)
			if err != nil || !more {
				return nil, err
			}
			d, err := n.store.stage(b, n.number, valueRow(nil, n.number, key), rec, expires, nil, grown)
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
