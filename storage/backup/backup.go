// Package backup is the format of a backup: a tar archive, compressed with
// zstd, that proves its own completeness.
//
// The first entry, selvage-backup.json, is the [Header]; then come the files;
// the last one, SHA256SUMS, names every file before it with its digest, in the
// form that sha256sum -c reads. An archive without its last entry, with a file
// that is not listed or with a digest that differs is refused, so a copy that
// was cut off is never taken for a whole one.
package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/selvage-edge/selvage/storage/disk"
)

// Format is the version of the format that Writer writes. Readers refuse a
// later one.
const Format = 1

const (
	headerName = "selvage-backup.json"
	sumsName   = "SHA256SUMS"
	// maxSums and maxHeader bound what is kept in memory of an archive.
	maxSums   = 256 << 20
	maxHeader = 1 << 20
)

// ErrDamaged: the archive is not a backup, or not a whole one.
var ErrDamaged = errors.New("damaged or incomplete backup")

// Header describes a backup.
type Header struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	// Account is the id of the account.
	Account string `json:"account"`
	// Key: the key of the secrets is in the backup.
	Key bool `json:"key"`
}

// Writer writes a backup. Close it to make it whole.
type Writer struct {
	zstd *zstd.Encoder
	tar  *tar.Writer
	sums bytes.Buffer
	time time.Time
}

// NewWriter begins a backup on w. It sets h.Format.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format = Format
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	b := &Writer{zstd: z, tar: tar.NewWriter(z), time: h.Created}
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return nil, err
	}
	return b, b.put(headerName, append(text, '\n'))
}

// Add adds the file at from under name, a relative path with slashes. The file
// must not change meanwhile.
func (b *Writer) Add(name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return b.entry(name, info.Size(), f)
}

func (b *Writer) put(name string, data []byte) error {
	return b.entry(name, int64(len(data)), bytes.NewReader(data))
}

func (b *Writer) entry(name string, size int64, r io.Reader) error {
	err := b.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: b.time, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(b.tar, hash), r, size); err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	fmt.Fprintf(&b.sums, "%x  %s\n", hash.Sum(nil), name)
	return nil
}

// Close writes the digests and ends the archive. Without it there is none.
func (b *Writer) Close() error {
	sums := bytes.Clone(b.sums.Bytes())
	return errors.Join(b.put(sumsName, sums), b.tar.Close(), b.zstd.Close())
}

// Extract unpacks a backup into the folder dir and makes the files durable.
// When it fails the folder may hold a part of them.
func Extract(r io.Reader, dir string) (Header, error) {
	folders := map[string]bool{dir: true}
	h, err := read(r, func(name string, r io.Reader) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		for folder := filepath.Dir(to); !folders[folder]; folder = filepath.Dir(folder) {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			folders[folder] = true
		}
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(f, r); err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
		return h, err
	}
	for folder := range folders {
		if err := disk.SyncFolder(folder); err != nil {
			return h, err
		}
	}
	return h, nil
}

// Verify reads a backup to its end and says whether it is whole.
func Verify(r io.Reader) (Header, error) {
	return read(r, func(_ string, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

// read calls file for each file of the archive, which must read all of it.
func read(r io.Reader, file func(name string, r io.Reader) error) (h Header, err error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return h, err
	}
	defer z.Close()
	archive := tar.NewReader(z)
	var sums bytes.Buffer
	seen := map[string]bool{}
	for {
		entry, err := archive.Next()
		if err == io.EOF {
			return h, fmt.Errorf("%w: the digests at its end are missing", ErrDamaged)
		}
		if err != nil {
			return h, damaged(err)
		}
		name := entry.Name
		hash := sha256.New()
		body := &source{r: io.TeeReader(archive, hash)}
		switch {
		case len(seen) == 0 && name != headerName:
			return h, fmt.Errorf("%w: it does not begin with %s", ErrDamaged, headerName)
		case entry.Typeflag != tar.TypeReg || seen[name] || !fs.ValidPath(name) || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)):
			return h, fmt.Errorf("%w: entry %q", ErrDamaged, name)
		case name == headerName:
			if h, err = readHeader(body); err != nil {
				return h, err
			}
		case name == sumsName:
			text, err := io.ReadAll(io.LimitReader(body, maxSums))
			if err != nil {
				return h, damaged(err)
			}
			if !bytes.Equal(text, sums.Bytes()) {
				return h, fmt.Errorf("%w: the digests of its files differ", ErrDamaged)
			}
			// The compression has a checksum of its own, at its end.
			if _, err := io.Copy(io.Discard, z); err != nil {
				return h, damaged(err)
			}
			return h, nil
		default:
			if err := file(name, body); err != nil {
				if body.err != nil {
					err = damaged(err)
				}
				return h, fmt.Errorf("unpack %s: %w", name, err)
			}
		}
		seen[name] = true
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(hash.Sum(nil)), name)
		if sums.Len() > maxSums {
			return h, fmt.Errorf("%w: it has too many files", ErrDamaged)
		}
	}
}

func readHeader(r io.Reader) (h Header, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxHeader))
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	switch {
	case err != nil:
		return h, damaged(err)
	case h.Format > Format:
		return h, fmt.Errorf("the backup has format %d, which was written by a newer program (this one knows %d): upgrade selvage", h.Format, Format)
	case h.Format < 1:
		return h, fmt.Errorf("%w: it has no format", ErrDamaged)
	}
	return h, nil
}

// source remembers that reading the archive failed, not what was done with it.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func damaged(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }
