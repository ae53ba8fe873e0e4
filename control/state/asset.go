package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
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
// are not stored yet, or found to be damaged or lost. Sessions that have ended
// are forgotten.
func (tx *Tx) StartAssets(worker string, paths map[string]string) (session AssetSession, missing []string, err error) {
	session = AssetSession{ID: NewID(), Worker: worker, Created: tx.Now(), Paths: paths}
	if err := tx.exec("DELETE FROM asset_sessions WHERE created < ?", session.Created.Add(-2*AssetSessionLife).Unix()); err != nil {
		return session, nil, err
	}
	if err := tx.exec("INSERT INTO asset_sessions (id, created, data) VALUES (?, ?, ?)", session.ID, session.Created.Unix(), encode(session)); err != nil {
		return session, nil, err
	}
	// One statement for all files: there may be a hundred thousand.
	err = tx.exec(`INSERT INTO asset_missing (session, hash) SELECT DISTINCT s.id, path.value FROM asset_sessions s, json_each(s.data, '$.paths') path
		WHERE s.id = ? AND path.type = 'text' AND NOT EXISTS (SELECT 1 FROM asset_files WHERE hash = path.value)`, session.ID)
	if err != nil {
		return session, nil, err
	}
	for _, digest := range tx.s.broken.list() {
		err := tx.exec(`INSERT OR IGNORE INTO asset_missing (session, hash) SELECT DISTINCT s.id, f.hash FROM asset_sessions s, json_each(s.data, '$.paths') path, asset_files f
			WHERE s.id = ? AND f.hash = path.value AND f.digest = ?`, session.ID, digest)
		if err != nil {
			return session, nil, err
		}
	}
	missing, err = tx.column("SELECT hash FROM asset_missing WHERE session = ? ORDER BY hash", session.ID)
	return session, missing, err
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
	err = tx.one("SELECT NOT EXISTS (SELECT 1 FROM asset_missing WHERE session = ?)", []any{session}, &complete)
	return complete, err
}

// AssetWanted reports whether the manifest of a session has a file. Asking for
// one that is still to come costs the same however many files there are.
// A session that does not exist is ErrNotFound.
func (tx *Tx) AssetWanted(session, hash string) (wanted bool, err error) {
	err = tx.one("SELECT EXISTS (SELECT 1 FROM asset_missing WHERE session = ? AND hash = ?)", []any{session, hash}, &wanted)
	if wanted || err != nil {
		return wanted, err
	}
	all, err := tx.AssetSession(session) // it has come before, or is not wanted
	for _, h := range all.Paths {
		wanted = wanted || h == hash
	}
	return wanted, err
}

// assetFiles returns those of a session's files that are stored, by hash.
func (tx *Tx) assetFiles(session string) (map[string]AssetFile, error) {
	rows, err := tx.tx.QueryContext(tx.ctx, `SELECT DISTINCT f.hash, f.digest, f.size, f.type
		FROM asset_sessions s, json_each(s.data, '$.paths') path, asset_files f WHERE s.id = ? AND f.hash = path.value`, session)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer rows.Close()
	files := map[string]AssetFile{}
	for rows.Next() {
		var f AssetFile
		if err := rows.Scan(&f.Hash, &f.Digest, &f.Size, &f.Type); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		files[f.Hash] = f
	}
	return files, rows.Err()
}

// AddManifest fixes the files of a session, all of which must be stored, for
// use by versions of the Worker. id is a new one; see NewID.
func (tx *Tx) AddManifest(id, worker string, session AssetSession) error {
	stored, err := tx.assetFiles(session.ID)
	if err != nil {
		return err
	}
	files := make(map[string]AssetFile, len(session.Paths))
	for path, hash := range session.Paths {
		f, ok := stored[hash]
		if !ok {
			return fmt.Errorf("asset %s: %w", path, ErrNotFound)
		}
		files[path] = f
	}
	return tx.exec("INSERT INTO asset_manifests (id, worker, data) VALUES (?, ?, ?)", id, worker, encode(files))
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
	return config.AssetFile{Path: path, ETag: a.Hash, Digest: a.Digest, Size: a.Size, ContentType: a.Type}, ok
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
	r, err := openBlob(f.s.blobs, a.Digest)
	if err != nil {
		f.s.brokenFile(a.Digest, file.Path, err)
		return nil, err
	}
	return watched{r, f.s, a.Digest, file.Path}, nil
}

// watched notes damage that is found while a static file is sent: the response
// has begun, so the client can only be cut off.
type watched struct {
	*blob.Reader
	s            *Store
	digest, path string
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, blob.ErrDamaged) {
		w.s.brokenFile(w.digest, w.path, err)
	}
	return n, err
}

// brokenFile tells the log, and remembers that the next upload is to bring the
// file again.
func (s *Store) brokenFile(digest, path string, err error) {
	s.broken.add(digest)
	s.log.Error("static file: deploy again to repair it", "path", path, "err", err)
}

// broken are the digests of static files that could not be read since the store
// was opened and have not been stored again. It is safe for concurrent use.
type broken struct {
	mu  sync.Mutex
	all map[string]bool
}

func (b *broken) add(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[string]bool{}
	}
	b.all[digest] = true
}

func (b *broken) mend(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, digest)
}

func (b *broken) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.all))
}
