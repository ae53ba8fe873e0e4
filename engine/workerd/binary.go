package workerd

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Version is the release of workerd that Selvage is built and tested with.
//
// Source: https://www.npmjs.com/package/workerd
const Version = "1.20261117.1"

// Variable is the environment variable that names another workerd binary.
const Variable = "SELVAGE_WORKERD"

// defaultRegistry is used when npm_config_registry is not set.
const defaultRegistry = "https://registry.npmjs.org"

// maxBinaryBytes bounds what is unpacked; the real binary has about 160 MB.
const maxBinaryBytes = 1 << 30

// pin is one platform's package and the digest of its tarball.
type pin struct{ pkg, integrity string }

var pins = map[string]pin{
	"linux/amd64": {"workerd-linux-64", "sha512-gZLA8X11m/luZwn+YA3+mDu61vdxNJzpksP/QZqjydKTQ+VUCulsK5gtn9Bqst1p3KJu2kafQpJ1nDQv4B23jA=="},
	"linux/arm64": {"workerd-linux-arm64", "sha512-gxWngFojq41ULKNKb9rpWYvKotN5hT2I/xot+Bpy31cXzrwcTgtDLSMb2t75sW5BJxH7hihFvikgYb577kB3Zg=="},
}

// Binary returns the path of a workerd binary. SELVAGE_WORKERD names one;
// otherwise it is [Version], kept in the user's cache directory and fetched
// from the npm registry (npm_config_registry is honoured) when it is not there
// yet. The tarball must have the digest written in this package.
//
// The progress of a download goes to progress: a bar on a terminal, lines
// elsewhere. Binary may be called by several goroutines and processes at once:
// one downloads, the others wait. A failed or killed download leaves nothing
// that a later call would take for a binary.
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	if path := os.Getenv(Variable); path != "" {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return "", fmt.Errorf("find workerd: %s: %w", Variable, err)
		case info.IsDir() || info.Mode()&0o111 == 0:
			return "", fmt.Errorf("find workerd: %s names %s, which is not an executable file", Variable, path)
		}
		return path, nil
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	p, ok := pins[platform]
	if !ok {
		return "", fmt.Errorf("find workerd: version %s is not published for %s: set %s to a workerd binary for this machine",
			Version, platform, Variable)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find workerd: no cache directory (%w): set XDG_CACHE_HOME, or %s to a workerd binary", err, Variable)
	}
	registry := os.Getenv("npm_config_registry")
	if registry == "" {
		registry = defaultRegistry
	}
	d := download{
		registry: strings.TrimRight(registry, "/"),
		dir:      filepath.Join(cache, "selvage", "workerd", Version),
		pin:      p,
		progress: progress,
	}
	return d.path(ctx)
}

// Cached is Binary without a download: the error is fs.ErrNotExist when the
// binary would have to be fetched first.
func Cached() (string, error) {
	if os.Getenv(Variable) != "" {
		return Binary(context.Background(), nil)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find workerd: no cache directory (%w): set XDG_CACHE_HOME, or %s to a workerd binary", err, Variable)
	}
	path := filepath.Join(cache, "selvage", "workerd", Version, "workerd")
	if !present(path) {
		return "", fmt.Errorf("find workerd: %s: %w", path, fs.ErrNotExist)
	}
	return path, nil
}

// download fetches one package into dir.
type download struct {
	registry string
	dir      string
	pin      pin
	progress io.Writer
}

// path returns the binary's path, fetching it first if need be.
func (d download) path(ctx context.Context) (string, error) {
	path := filepath.Join(d.dir, "workerd")
	if present(path) {
		return path, nil
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return "", fmt.Errorf("download workerd: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(d.dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("download workerd: lock %s: %w", d.dir, err)
	}
	defer unlock()
	if present(path) { // another process was faster
		return path, nil
	}
	// Only a killed process leaves one of these.
	stale, _ := filepath.Glob(filepath.Join(d.dir, "*.partial"))
	for _, name := range stale {
		os.Remove(name)
	}
	if err := d.fetch(ctx, path); err != nil {
		return "", err
	}
	return path, nil
}

func present(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// fetch streams the tarball through the digest and the unpacker at once and
// renames the binary into place when both agree.
func (d download) fetch(ctx context.Context, path string) (err error) {
	url := fmt.Sprintf("%s/@cloudflare/%s/-/%s-%s.tgz", d.registry, d.pin.pkg, d.pin.pkg, Version)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("download workerd: npm_config_registry: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("download workerd: %w: check the network, or set %s to a workerd binary", err, Variable)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download workerd: %s answered %s: check npm_config_registry, or set %s to a workerd binary", url, resp.Status, Variable)
	}

	out, err := os.CreateTemp(d.dir, "workerd.*.partial")
	if err != nil {
		return fmt.Errorf("download workerd: %w", err)
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()

	report := d.report(resp.ContentLength)
	digest := sha512.New()
	body := &sourceReader{r: io.TeeReader(resp.Body, io.MultiWriter(digest, report))}
	unpackErr := unpack(body, out)
	var write *writeError
	switch {
	case errors.As(unpackErr, &write):
		return fmt.Errorf("download workerd: write %s: %w", d.dir, write.err)
	case body.err == nil:
		_, _ = io.Copy(io.Discard, body) // the digest is of the whole tarball
	}
	if body.err != nil {
		return fmt.Errorf("download workerd: %s broke off: %w: try again", url, body.err)
	}
	if sum := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); sum != d.pin.integrity {
		return fmt.Errorf("download workerd: %s has digest %s, expected %s: the file was not kept; check npm_config_registry", url, sum, d.pin.integrity)
	}
	if unpackErr != nil {
		return fmt.Errorf("download workerd: unpack %s: %w", url, unpackErr)
	}
	if err := errors.Join(out.Chmod(0o755), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("download workerd: write %s: %w", d.dir, err)
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return fmt.Errorf("download workerd: %w", err)
	}
	report.done()
	return nil
}

// sourceReader remembers why reading failed, so that a broken connection is
// told from a broken archive.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// writeError is a failure of the destination.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

type destination struct{ w io.Writer }

func (d destination) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// unpack copies package/bin/workerd out of an npm tarball.
func unpack(r io.Reader, w io.Writer) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return errors.New("no package/bin/workerd inside")
		}
		if err != nil {
			return err
		}
		if h.Name != "package/bin/workerd" || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxBinaryBytes {
			return fmt.Errorf("package/bin/workerd has %d bytes, more than %d", h.Size, maxBinaryBytes)
		}
		_, err = io.Copy(destination{w}, tr)
		return err
	}
}

// report shows the progress of a download.
type report struct {
	bar  *progressbar.ProgressBar
	w    io.Writer
	size int64

	start   time.Time
	read    int64
	quarter int64
}

func (d download) report(size int64) *report {
	r := &report{w: d.progress, size: size, start: time.Now()}
	if r.w == nil {
		r.w = io.Discard
	}
	if f, ok := r.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		r.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(f),
			progressbar.OptionSetDescription("workerd "+Version),
			progressbar.OptionShowBytes(true),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
		return r
	}
	fmt.Fprintf(r.w, "downloading workerd %s (%s) from %s\n", Version, megabytes(size), d.registry)
	return r
}

// Write counts p; it never fails, so that a closed terminal stops no download.
func (r *report) Write(p []byte) (int, error) {
	r.read += int64(len(p))
	if r.bar != nil {
		_ = r.bar.Add(len(p))
	} else if r.size > 0 && r.read*4/r.size > r.quarter {
		r.quarter = r.read * 4 / r.size
		fmt.Fprintf(r.w, "downloading workerd: %d%% of %s\n", r.quarter*25, megabytes(r.size))
	}
	return len(p), nil
}

func (r *report) done() {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	fmt.Fprintf(r.w, "workerd %s is ready (%s in %s)\n", Version, megabytes(r.read), time.Since(r.start).Round(100*time.Millisecond))
}

func megabytes(n int64) string {
	if n < 0 {
		return "unknown size"
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}
