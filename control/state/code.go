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
		s.broken.mend(pin.Digest.String())
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

// CodeSize is what a Worker's versions refer to, modules and static files, each
// content counted once.
type CodeSize struct {
	Worker string `json:"name"`
	Bytes  int64  `json:"bytes"`
}

// selectCode adds up a Worker's code, without that of the version ?2.
const selectCode = `SELECT coalesce(sum(size), 0) FROM (
	SELECT m.value->>'$.digest', m.value->>'$.size' AS size FROM versions v, json_each(v.data, '$.modules') m
		WHERE v.worker = ?1 AND v.id <> ?2
	UNION
	SELECT f.value->>'$.digest', f.value->>'$.size' FROM asset_manifests a, json_each(a.data) f
		WHERE a.id IN (SELECT v.data->>'$.assets.manifest' FROM versions v WHERE v.worker = ?1 AND v.id <> ?2))`

// checkCode refuses a version that brings code or static files beyond what its
// Worker may have.
func (tx *Tx) checkCode(v *Version) error {
	if tx.s.each <= 0 {
		return nil
	}
	var all, before int64
	if err := tx.one(selectCode, []any{v.Worker, ""}, &all); err != nil || all <= tx.s.each {
		return err
	}
	if err := tx.one(selectCode, []any{v.Worker, v.ID}, &before); err != nil || all == before {
		return err
	}
	return fmt.Errorf("%w: it may store %d bytes, and would have %d", ErrWorkerQuota, tx.s.each, all)
}

// LargestCode is the Worker with the most code; the zero value if there is none.
func (tx *Tx) LargestCode() (largest CodeSize, err error) {
	workers, err := tx.column("SELECT name FROM workers")
	for _, name := range workers {
		size := CodeSize{Worker: name}
		if err := tx.one(selectCode, []any{name, ""}, &size.Bytes); err != nil {
			return largest, err
		}
		if size.Bytes > largest.Bytes {
			largest = size
		}
	}
	return largest, err
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
