package npm

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// maxBytes bounds what is unpacked; the largest package we know has 160 MB.
const maxBytes = 1 << 30

// writeError is a failure of the disk, not of the archive.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// destination tells its own failures from those of what it is copied from.
type destination struct{ w io.Writer }

func (d destination) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// unpack writes the regular files of an npm tarball below dir. They all lie in
// the folder "package". The tarball may be anything: its digest is known only
// when it has been read, so no name gets out of dir.
func unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return &writeError{err}
	}
	defer root.Close()
	zr, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	tr := tar.NewReader(zr)
	left, files := int64(maxBytes), 0
	for {
		h, err := tr.Next()
		if err == io.EOF {
			if files == 0 {
				return errors.New("no files inside")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("more than %d bytes inside", maxBytes)
		}
		if err := unpackFile(root, h, tr); err != nil {
			return err
		}
		files++
	}
}

func unpackFile(root *os.Root, h *tar.Header, content io.Reader) error {
	name := path.Clean(h.Name)
	if path.IsAbs(name) || name == "." || name == ".." || len(name) > 2 && name[:3] == "../" {
		return fmt.Errorf("the name %q leads out of the package", h.Name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return &writeError{err}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|os.FileMode(h.Mode)&0o111)
	if err != nil {
		return &writeError{err}
	}
	_, err = io.Copy(destination{f}, content)
	if err == nil {
		if err = f.Sync(); err != nil {
			err = &writeError{err}
		}
	}
	if closed := f.Close(); err == nil && closed != nil {
		err = &writeError{closed}
	}
	return err
}
