package npm

import (
	"archive/tar"
	stdbytes "bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// file of a tarball.
type file struct {
	name string
	data string
	mode int64
}

// tarball makes an npm tarball and the package that it is.
func tarball(t testing.TB, files ...file) ([]byte, Package) {
	t.Helper()
	var buf stdbytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, f.data)
	}
	tw.Close()
	zw.Close()
	sum := sha512.Sum512(buf.Bytes())
	return buf.Bytes(), Package{
		Name: "@scope/tool", Version: "1.2.3", Title: "tool", Instead: "set TOOL to a tool",
		Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
}

// serve makes handler the registry and gives the test a cache of its own,
// whose path it returns.
func serve(t *testing.T, handler http.HandlerFunc) (cache string) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	cache = t.TempDir()
	t.Setenv("npm_config_registry", srv.URL+"/")
	t.Setenv("XDG_CACHE_HOME", cache)
	return cache
}

// left are the files below cache, without locks.
func left(cache string) (names []string) {
	filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" || strings.HasSuffix(path, ".partial") {
			names = append(names, path)
		}
		return nil
	})
	return names
}

func TestInstall(t *testing.T) {
	want := strings.Repeat("program ", 100_000)
	good, p := tarball(t, file{"package/package.json", "{}", 0o644}, file{"package/bin/tool", want, 0o755})
	other, _ := tarball(t, file{"package/bin/else", want, 0o755})
	empty, emptyPackage := tarball(t)
	evil, evilPackage := tarball(t, file{"package/../../outside", want, 0o644})

	tests := []struct {
		name    string
		handler http.HandlerFunc
		p       Package
		err     string // part of the error; empty: the download succeeds
	}{
		{"good", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/@scope/tool/-/tool-1.2.3.tgz" {
				http.NotFound(w, r)
				return
			}
			w.Write(good)
		}, p, ""},
		{"wrong digest", func(w http.ResponseWriter, r *http.Request) { w.Write(other) }, p, "expected sha512-"},
		{"not an archive", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>login</html>") }, p, "expected sha512-"},
		{"empty", func(w http.ResponseWriter, r *http.Request) { w.Write(empty) }, emptyPackage, "no files inside"},
		{"a name that leads out", func(w http.ResponseWriter, r *http.Request) { w.Write(evil) }, evilPackage, "leads out of the package"},
		{"not found", http.NotFound, p, "404 Not Found: check npm_config_registry, or set TOOL to a tool"},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.Write(good[:len(good)/2])
		}, p, "broke off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cache := serve(t, tt.handler)
			if _, err := tt.p.Installed("tool/1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("before: error %v, want fs.ErrNotExist", err)
			}
			var out stdbytes.Buffer
			dir, err := tt.p.Install(t.Context(), "tool/1", &out)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, tt.err)
				}
				if names := left(cache); len(names) != 0 {
					t.Errorf("left behind: %v", names)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(cache, "selvage", "tool", "1", "node_modules", "@scope", "tool"); dir != want {
				t.Errorf("in %s, want %s", dir, want)
			}
			program := filepath.Join(dir, "bin", "tool")
			got, _ := os.ReadFile(program)
			if string(got) != want {
				t.Errorf("unpacked %d bytes, want %d", len(got), len(want))
			}
			if info, _ := os.Stat(program); info.Mode().Perm() != 0o755 {
				t.Errorf("mode %v", info.Mode())
			}
			if !strings.Contains(out.String(), "tool 1.2.3 is ready") {
				t.Errorf("progress: %q", out.String())
			}
			if again, err := tt.p.Installed("tool/1"); again != dir || err != nil {
				t.Errorf("afterwards: %s, %v", again, err)
			}
		})
	}

	t.Run("no network", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		t.Setenv("npm_config_registry", srv.URL)
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		_, err := p.Install(t.Context(), "tool/1", nil)
		if err == nil || !strings.Contains(err.Error(), "check the network, or set TOOL to a tool") {
			t.Errorf("error %v", err)
		}
	})

	t.Run("no disk", func(t *testing.T) {
		var write *writeError
		_, err := io.Copy(destination{fullDisk{}}, strings.NewReader("data"))
		if !errors.As(err, &write) || !errors.Is(write.err, syscall.ENOSPC) {
			t.Errorf("error %v, want one that blames the destination", err)
		}
	})

	t.Run("cancelled", func(t *testing.T) {
		started := make(chan struct{})
		cache := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Write(good[:100])
			w.(http.Flusher).Flush()
			close(started)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-started; cancel() }()
		if _, err := p.Install(ctx, "tool/1", nil); err == nil {
			t.Error("no error")
		}
		if names := left(cache); len(names) != 0 {
			t.Errorf("left behind: %v", names)
		}
	})
}

// fullDisk refuses every byte.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestInstallOnce(t *testing.T) {
	data, p := tarball(t, file{"package/index.js", "//", 0o644})
	var requests atomic.Int32
	cache := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Write(data)
	})
	stale := filepath.Join(cache, "selvage", "tool", "123.partial")
	if err := os.MkdirAll(filepath.Join(stale, "package"), 0o755); err != nil { // from a killed process
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := p.Install(t.Context(), "tool", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %s (%v)", stale, err)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, name := range []string{"package/index.js", "../outside", "/outside", "package/../../outside", "package", "."} {
		data, _ := tarball(f, file{name, "content", 0o777})
		f.Add(data)
	}
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpack(stdbytes.NewReader(data), dir)
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 1 {
			t.Fatalf("outside of the folder: %v, %v", entries, err)
		}
	})
}
