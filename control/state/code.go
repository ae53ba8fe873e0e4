package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
)

// PutBlob stores the contents of a module or a static file. The pin must be
// released once the update that refers to it has ended.
//
// The error is ErrQuota if the account may store no more. What is counted is
// measured at the start and with every sweep; in between, contents that are
// stored already count again.
func (s *Store) PutBlob(r io.Reader) (*blob.Pin, error) {
	if s.quota > 0 && s.used.Load() >= s.quota {
		return nil, fmt.Errorf("%w: it may store %d bytes", ErrQuota, s.quota)
	}
	pin, err := s.blobs.Put(r)
	if err == nil {
		s.used.Add(pin.Size)
	}
	return pin, err
}

// measure counts the modules and static files, if there is a bound on them.
func (s *Store) measure(ctx context.Context) error {
	if s.quota <= 0 || s.blobs == nil {
		return nil
	}
	bytes, err := s.blobs.Measure(ctx)
	if err == nil {
		s.used.Store(bytes)
	}
	return err
}

// ModuleData reads the contents of a module.
func (s *Store) ModuleData(m Module) ([]byte, error) {
	r, err := openBlob(s.blobs, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", m.Name, err)
	}
	defer r.Close()
	var data bytes.Buffer
	data.Grow(int(r.Size()) + bytes.MinRead) // or reading would need twice the memory
	if _, err := data.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("module %s: %w", m.Name, err)
	}
	return data.Bytes(), nil
}

func openBlob(blobs *blob.Store, digest string) (*blob.Reader, error) {
	d, err := blob.ParseDigest(digest)
	if err != nil {
		return nil, err
	}
	return blobs.Open(d)
}

// code gives the modules of a version from the blob store.
type code struct {
	s       *Store
	modules []Module
}

// Modules implements config.Code.
func (c code) Modules(context.Context) ([]config.Module, error) {
	list := make([]config.Module, 0, len(c.modules))
	for _, m := range c.modules {
		data, err := c.s.ModuleData(m)
		if err != nil {
			return nil, err
		}
		list = append(list, config.Module{Name: m.Name, Type: m.Type, Data: data})
	}
	return list, nil
}

// Sweep deletes the modules and static files that no version and no upload
// session needs any more, and returns how many.
func (s *Store) Sweep(ctx context.Context) (deleted int, err error) {
	if err := s.Update(ctx, (*Tx).forgetAssets); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	deleted, err = s.blobs.Sweep(ctx, func(d blob.Digest) (live bool, err error) {
		err = s.View(ctx, func(tx *Tx) error {
			return tx.one("SELECT EXISTS (SELECT 1 FROM modules WHERE digest = ?1) OR EXISTS (SELECT 1 FROM asset_files WHERE digest = ?1)", []any{d.String()}, &live)
		})
		return live, err
	})
	return deleted, errors.Join(err, s.measure(ctx))
}

// forgetAssets deletes the files that are in no manifest and no session.
func (tx *Tx) forgetAssets() error {
	return tx.exec(`DELETE FROM asset_files WHERE hash NOT IN (
		SELECT json_extract(f.value, '$.hash') FROM asset_manifests, json_each(data) AS f
		UNION SELECT p.value FROM asset_sessions, json_each(data, '$.paths') AS p)`)
}
