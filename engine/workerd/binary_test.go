package workerd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
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

// tarball makes an npm tarball and its pin.
func tarball(t *testing.T, name string, content []byte) ([]byte, pin) {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, f := range []struct {
		name string
		data []byte
	}{{"package/package.json", []byte("{}")}, {name, content}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		tw.Write(f.data)
	}
	tw.Close()
	zw.Close()
	sum := sha512.Sum512(buf.Bytes())
	return buf.Bytes(), pin{"workerd-test", "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
}

func TestDownload(t *testing.T) {
	want := bytes.Repeat([]byte("workerd "), 100_000)
	good, p := tarball(t, "package/bin/workerd", want)
	other, otherPin := tarball(t, "package/bin/else", want)

	tests := []struct {
		name    string
		handler http.HandlerFunc
		pin     pin
		err     string // part of the error; empty: the download succeeds
	}{
		{"good", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/@cloudflare/workerd-test/-/workerd-test-"+Version+".tgz" {
				http.NotFound(w, r)
				return
			}
			w.Write(good)
		}, p, ""},
		{"wrong digest", func(w http.ResponseWriter, r *http.Request) { w.Write(other) }, p, "expected sha512-"},
		{"not an archive", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>login</html>") }, p, "expected sha512-"},
		{"binary missing", func(w http.ResponseWriter, r *http.Request) { w.Write(other) }, otherPin, "no package/bin/workerd inside"},
		{"not found", http.NotFound, p, "404 Not Found"},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.Write(good[:len(good)/2])
		}, p, "broke off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.handler)
			defer srv.Close()
			var out bytes.Buffer
			d := download{registry: srv.URL, dir: filepath.Join(t.TempDir(), "v"), pin: tt.pin, progress: &out}
			path, err := d.path(t.Context())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, tt.err)
				}
				left, _ := filepath.Glob(filepath.Join(d.dir, "workerd*"))
				if len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(path)
			if !bytes.Equal(got, want) {
				t.Errorf("unpacked %d bytes, want %d", len(got), len(want))
			}
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o755 {
				t.Errorf("mode %v", info.Mode())
			}
			if !strings.Contains(out.String(), "workerd "+Version+" is ready") {
				t.Errorf("progress: %q", out.String())
			}
		})
	}

	t.Run("no network", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		_, err := download{registry: srv.URL, dir: t.TempDir(), pin: p}.path(t.Context())
		if err == nil || !strings.Contains(err.Error(), "check the network, or set SELVAGE_WORKERD") {
			t.Errorf("error %v", err)
		}
	})

	t.Run("no disk", func(t *testing.T) {
		var write *writeError
		if err := unpack(bytes.NewReader(good), fullDisk{}); !errors.As(err, &write) || !errors.Is(write.err, syscall.ENOSPC) {
			t.Errorf("error %v, want one that blames the destination", err)
		}
	})

	t.Run("cancelled", func(t *testing.T) {
		started := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(good[:100])
			w.(http.Flusher).Flush()
			close(started)
			<-r.Context().Done()
		}))
		defer srv.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-started; cancel() }()
		d := download{registry: srv.URL, dir: t.TempDir(), pin: p}
		if _, err := d.path(ctx); err == nil {
			t.Error("no error")
		}
		if left, _ := filepath.Glob(filepath.Join(d.dir, "workerd*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// fullDisk refuses every byte.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestDownloadOnce(t *testing.T) {
	data, p := tarball(t, "package/bin/workerd", []byte("binary"))
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Write(data)
	}))
	defer srv.Close()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "workerd.123.partial"), []byte("from a killed process"), 0o600)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := (download{registry: srv.URL, dir: dir, pin: p}).path(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBinaryVariable(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	os.WriteFile(plain, nil, 0o644)
	good := filepath.Join(dir, "workerd")
	os.WriteFile(good, nil, 0o755)
	for path, wantErr := range map[string]string{
		good:                     "",
		plain:                    "not an executable file",
		filepath.Join(dir, "no"): "no such file",
	} {
		t.Setenv(Variable, path)
		got, err := Binary(t.Context(), io.Discard)
		if wantErr == "" {
			if err != nil || got != path {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: error %v, want %q", path, err, wantErr)
		}
	}
}
