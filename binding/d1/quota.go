package d1

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultMaxAccount is the size of all databases of an account in bytes.
//
// Source: https://developers.cloudflare.com/d1/platform/limits/
const DefaultMaxAccount = 1 << 40

// measure sums up the files of all databases, before any is open.
func (s *Store) measure() error {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.sqlite"))
	if err != nil {
		return err
	}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			s.used.Add(info.Size())
		}
	}
	return nil
}

// Used is the size of all databases together, in bytes: as of its last write for
// one that is open, of the file for another. History is not counted.
func (s *Store) Used() int64 { return s.used.Load() }

// count notes that the database has that many bytes.
func (d *Database) count(bytes int64) {
	d.size.Store(bytes)
	d.store.used.Add(bytes - d.counted.Swap(bytes))
}

// limitSize keeps the database from growing past its own bound and past what
// the account has left; deleting goes on. Databases that grow at the same time
// can each take what is left.
func (d *Database) limitSize(p *policy) error {
	left := max(d.store.opts.MaxAccount-d.store.used.Load(), 0)
	pages := max(min(d.store.opts.MaxSize, d.size.Load()+left)/pageSize, 1)
	if pages == p.maxPages {
		return nil
	}
	p.maxPages = pages
	return p.conn.Trusted(func() error {
		return p.conn.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	})
}
