package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// AssetFile is a static file that was uploaded. Hash is the client's name for
// it: opaque, unique within the account.
type AssetFile struct {
	Hash   string `json:"hash"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Type is the Content-Type; empty means that none is sent.
	Type string `json:"type,omitempty"`
}

// AssetSession is one upload of static files: the whole manifest and which of
// its files are still to come.
type AssetSession struct {
	ID      string    `json:"id"`
	Worker  string    `json:"worker"`
	Created time.Time `json:"created"`
	// Paths maps "/path" to the hash of the file.
	Paths map[string]string `json:"paths"`
}

// AssetSessionLife is how long the token of an upload session is good for.
const AssetSessionLife = time.Hour

// StartAssets begins a session for paths and returns it with the hashes that
// are not stored yet. Sessions that have ended are forgotten.
func (tx *Tx) StartAssets(worker string, paths map[string]string) (session AssetSession, missing []string, err error) {
	session = AssetSession{ID: NewID(), Worker: worker, Created: tx.Now(), Paths: paths}
	if err := tx.exec("DELETE FROM asset_sessions WHERE created < ?", session.Created.Add(-2*AssetSessionLife).Unix()); err != nil {
		return session, nil, err
	}
	if err := tx.exec("INSERT INTO asset_sessions (id, created, data) VALUES (?, ?, ?)", session.ID, session.Created.Unix(), encode(session)); err != nil {
		return session, nil, err
	}
	seen := map[string]bool{}
	for _, hash := range paths {
		if seen[hash] {
			continue
		}
		seen[hash] = true
		_, err := tx.assetFile(hash)
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrNotFound) {
			return session, nil, err
		}
		if err := tx.exec("INSERT INTO asset_missing (session, hash) VALUES (?, ?)", session.ID, hash); err != nil {
			return session, nil, err
		}
		missing = append(missing, hash)
	}
	return session, missing, nil
}

// AssetSession returns a session, or ErrNotFound.
func (tx *Tx) AssetSession(id string) (AssetSession, error) {
	return record[AssetSession](tx, "SELECT data FROM asset_sessions WHERE id = ?", id)
}

// AddAssets stores files that came in a session and reports whether it has all
// of its files now. Adding a file twice does no harm: what a hash stands for
// never changes while a version may use it.
func (tx *Tx) AddAssets(session string, files []AssetFile) (complete bool, err error) {
	for _, f := range files {
		if err := tx.exec(`INSERT INTO asset_files (hash, digest, size, type) VALUES (?, ?, ?, ?)
			ON CONFLICT (hash) DO NOTHING`, f.Hash, f.Digest, f.Size, f.Type); err != nil {
			return false, err
		}
		if err := tx.exec("DELETE FROM asset_missing WHERE session = ? AND hash = ?", session, f.Hash); err != nil {
			return false, err
		}
	}
	var left int
	err = tx.one("SELECT count(*) FROM asset_missing WHERE session = ?", []any{session}, &left)
	return left == 0, err
}

func (tx *Tx) assetFile(hash string) (AssetFile, error) {
	f := AssetFile{Hash: hash}
	err := tx.one("SELECT digest, size, type FROM asset_files WHERE hash = ?", []any{hash}, &f.Digest, &f.Size, &f.Type)
	return f, err
}

// AddManifest fixes the files of a session, all of which must be stored, for
// use by versions of the Worker and returns the manifest's id.
func (tx *Tx) AddManifest(worker string, session AssetSession) (id string, err error) {
	files := make(map[string]AssetFile, len(session.Paths))
	for path, hash := range session.Paths {
		f, err := tx.assetFile(hash)
		if err != nil {
			return "", fmt.Errorf("asset %s: %w", path, err)
		}
		files[path] = f
	}
	id = NewID()
	return id, tx.exec("INSERT INTO asset_manifests (id, worker, data) VALUES (?, ?, ?)", id, worker, encode(files))
}

// Manifest returns the files of a manifest by path, or ErrNotFound.
func (tx *Tx) Manifest(id string) (map[string]AssetFile, error) {
	return record[map[string]AssetFile](tx, "SELECT data FROM asset_manifests WHERE id = ?", id)
}

// files are the static files of a version. The list is read when the first
// one is asked for, so that idle Workers cost nothing.
type files struct {
	s        *Store
	manifest string

	mu   sync.Mutex
	list map[string]AssetFile
}

func (f *files) load() (map[string]AssetFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list != nil {
		return f.list, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var list map[string]AssetFile
	err := f.s.View(ctx, func(tx *Tx) (err error) {
		list, err = tx.Manifest(f.manifest)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("asset manifest %s: %w", f.manifest, err)
	}
	f.list = list
	return list, nil
}

// Lookup implements config.AssetFiles.
func (f *files) Lookup(path string) (config.AssetFile, bool) {
	list, err := f.load()
	if err != nil {
		f.s.log.Error("read static files", "err", err)
		return config.AssetFile{}, false
	}
	a, ok := list[path]
	return config.AssetFile{Path: path, ETag: a.Hash, Size: a.Size, ContentType: a.Type}, ok
}

// Open implements config.AssetFiles.
func (f *files) Open(file config.AssetFile) (io.ReadSeekCloser, error) {
	list, err := f.load()
	if err != nil {
		return nil, err
	}
	a, ok := list[file.Path]
	if !ok {
		return nil, fmt.Errorf("asset %s: %w", file.Path, ErrNotFound)
	}
	return openBlob(f.s.blobs, a.Digest)
}
