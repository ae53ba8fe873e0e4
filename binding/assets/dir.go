package assets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// DirFiles are the files of a directory as it is at each request, for
// development. It follows symbolic links, but none that leads out of the
// directory. It is safe for concurrent use.
type DirFiles struct {
	// Headers and Redirects are the texts of _headers and _redirects as they
	// were when the directory was opened.
	Headers, Redirects string
	// Warnings name what Cloudflare would not accept: too many files, or too
	// large ones.
	Warnings []string

	root   *os.Root
	ignore ignoreRules

	mu   sync.Mutex
	tags map[string]tag // by path; content hashes that were computed
	kept int64          // bytes of what they keep
}

var _ config.AssetFiles = (*DirFiles)(nil)

// tag is the ETag of a file that still has this time and size, and the content
// that it was computed from if that is small.
type tag struct {
	modified time.Time
	size     int64
	etag     string
	data     []byte
}

// metaFiles are read and never served.
const metaFiles = "/.assetsignore\n/_headers\n/_redirects\n"

// OpenDir opens a directory of assets. As for wrangler, it is an error if there
// is a _worker.js, which is code for the server that everybody could read,
// unless there is an .assetsignore, even one that does not name it.
func OpenDir(dir string) (*DirFiles, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("assets directory %s does not exist; build the site first or change assets.directory", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open assets directory: %w", err)
	}
	d := &DirFiles{root: root, tags: map[string]tag{}}
	if err := d.scan(dir); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// scan reads the files that steer the others and looks at each once.
func (d *DirFiles) scan(dir string) error {
	ignore, steered := "", false
	for name, text := range map[string]*string{".assetsignore": &ignore, "_headers": &d.Headers, "_redirects": &d.Redirects} {
		data, err := d.root.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read %s: %w", path.Join(dir, name), err)
		}
		*text = string(data)
		steered = steered || err == nil && text == &ignore
	}
	d.ignore = parseIgnore(metaFiles + ignore)

	files := 0
	err := fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && entry.IsDir() && d.ignore.ignored(name+"/") {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || d.ignore.ignored(name) {
			return nil
		}
		if !steered && strings.HasPrefix(name, "_worker.js") {
			return fmt.Errorf("the assets directory %s has a %s, which would let everybody read server code; name _worker.js in %s/.assetsignore (an empty one serves it), or move it and make it the Worker's main", dir, name, dir)
		}
		files++
		if info, err := entry.Info(); err == nil && info.Size() > MaxFileBytes {
			d.Warnings = append(d.Warnings, fmt.Sprintf("asset %s is %.1f MiB; Cloudflare accepts at most %d MiB", name, float64(info.Size())/(1<<20), MaxFileBytes>>20))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read assets: %w", err)
	}
	if files > MaxFiles {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s holds %d files; Cloudflare accepts at most %d per version", dir, files, MaxFiles))
	}
	return nil
}

// Close releases the directory.
func (d *DirFiles) Close() error { return d.root.Close() }

// Lookup implements config.AssetFiles.
func (d *DirFiles) Lookup(p string) (config.AssetFile, bool) {
	name, ok := strings.CutPrefix(p, "/")
	if !ok || !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") || d.ignore.ignored(name) {
		return config.AssetFile{}, false
	}
	info, err := d.root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return config.AssetFile{}, false
	}
	etag, err := d.etag(name, info)
	if err != nil {
		return config.AssetFile{}, false
	}
	return config.AssetFile{Path: p, ETag: etag, Size: info.Size(), ContentType: ContentType(name)}, true
}

// Open implements config.AssetFiles.
func (d *DirFiles) Open(f config.AssetFile) (io.ReadSeekCloser, error) {
	d.mu.Lock()
	known := d.tags[strings.TrimPrefix(f.Path, "/")]
	d.mu.Unlock()
	if known.data != nil && known.etag == f.ETag && known.size == f.Size {
		return inMemory(known.data), nil
	}
	file, err := d.root.Open(strings.TrimPrefix(f.Path, "/"))
	if err != nil {
		return nil, fmt.Errorf("open asset: %w", err)
	}
	return file, nil
}

// etag hashes the content and the extension, which decides the content type,
// unless the file is as it was the last time.
func (d *DirFiles) etag(name string, info fs.FileInfo) (string, error) {
	d.mu.Lock()
	known, ok := d.tags[name]
	d.mu.Unlock()
	if ok && known.modified.Equal(info.ModTime()) && known.size == info.Size() {
		return known.etag, nil
	}
	file, err := d.root.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	content := bytes.NewBuffer(make([]byte, 0, min(info.Size(), maxHotFile)))
	if _, err := io.Copy(io.MultiWriter(h, &beginning{content}), file); err != nil {
		return "", err
	}
	h.Write([]byte(path.Ext(name)))
	fresh := tag{info.ModTime(), info.Size(), hex.EncodeToString(h.Sum(nil)[:16]), nil}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept -= int64(len(d.tags[name].data))
	if n := int64(content.Len()); n == fresh.size && n <= maxHotFile && d.kept+n <= maxHot { // not one that was written to meanwhile
		fresh.data = content.Bytes()
		d.kept += n
	}
	d.tags[name] = fresh
	return fresh.etag, nil
}

// beginning takes what may be kept of a file, and one byte more of a larger one.
type beginning struct{ *bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, maxHotFile+1-b.Len()))])
	return len(p), nil
}
