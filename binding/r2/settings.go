package r2

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// settings are what a bucket does beyond storing objects. What others can see is
// never changed: see Store.change.
type settings struct {
	CORS CORS `json:"cors,omitempty"`
	// Domains are sorted by host.
	Domains []Domain   `json:"domains,omitempty"`
	DevURL  DevURL     `json:"devURL,omitzero"`
	Locks   []LockRule `json:"locks,omitempty"`
	// Notify has no two rules for one event.
	Notify []NotifyRule `json:"notify,omitempty"`
}

// maxSettingsBytes bounds the settings of a bucket as JSON: they are in one row and
// in memory.
const maxSettingsBytes = 1 << 20

func settingsKey(number uint64) []byte { return numbered(rowSettings, number, "") }

func (s *Store) readSettings(number uint64) (*settings, error) {
	v, found, err := s.db.Get(settingsKey(number))
	if err != nil || !found {
		return new(settings), err
	}
	defer v.Release()
	_, set, err := decodeSettings(settingsKey(number), v.Bytes)
	return set, err
}

// decodeSettings reads a row.
func decodeSettings(key, value []byte) (number uint64, set *settings, err error) {
	if len(key) != len(settingsKey(0)) {
		return 0, nil, errCorrupt
	}
	number, set = binary.BigEndian.Uint64(key[len(key)-8:]), new(settings)
	if err := json.Unmarshal(value, set); err != nil {
		return 0, nil, fmt.Errorf("settings of bucket %d: %w: %w", number, errCorrupt, err)
	}
	return number, set, nil
}

// settingsOf are those of the bucket with that name, or ErrNoSuchBucket.
func (s *Store) settingsOf(ctx context.Context, bucket string) (*settings, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := s.Bucket(bucket)
	if err != nil {
		return nil, err
	}
	return b.settings.Load(), nil
}

// onlyHere refuses what is done along with changes of objects: another server that
// keeps them does not do it.
func (b *Bucket) onlyHere(what string) error {
	if _, here := b.at.(local); here {
		return nil
	}
	return invalid("The bucket is kept on another server: %s can be set there only.", what)
}

// change stores what edit makes of a copy of a bucket's settings. edit puts new
// lists in the place of old ones.
func (s *Store) change(ctx context.Context, bucket string, edit func(*Bucket, *settings) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	b, err := s.bucket(bucket)
	if err != nil {
		return err
	}
	next := *b.settings.Load()
	if err := edit(b, &next); err != nil {
		return err
	}
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if len(data) > maxSettingsBytes {
		return invalid("The settings of the bucket have %d bytes of JSON together; at most %d are allowed.", len(data), maxSettingsBytes)
	}
	if err := s.db.Set(settingsKey(b.number), data); err != nil {
		return fmt.Errorf("change settings of bucket %s: %w", bucket, err)
	}
	s.rehost(b, b.settings.Load(), &next)
	b.settings.Store(&next)
	return nil
}
