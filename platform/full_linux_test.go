package platform

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/telemetry"
)

// smallDisk mounts a file system of its own and returns how to fill it until so
// many bytes are left.
func smallDisk(t *testing.T, size string) (dir string, fill func(left int64), free func()) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mounting a small disk takes root: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	fill = func(left int64) {
		t.Helper()
		var disk unix.Statfs_t
		if err := unix.Statfs(dir, &disk); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ballast, make([]byte, int64(disk.Bavail)*disk.Bsize-left), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, fill, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// A start on a full disk is one plain error, changes nothing, and succeeds once
// there is room. A disk that fills up while the server runs is told.
func TestFullDisk(t *testing.T) {
	disk, fill, free := smallDisk(t, "128m")
	dir := filepath.Join(disk, "data")
	var log bytes.Buffer
	open := func() (*Stores, error) {
		stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir, Logger: slog.New(telemetry.Thin(slog.NewTextHandler(&log, nil)))})
		return stores, err
	}
	refused := func(when string, mib int) {
		t.Helper()
		_, err := open()
		if !errors.Is(err, syscall.ENOSPC) || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), fmt.Sprintf("a start needs 16 MiB: free %d MiB or more", mib)) {
			t.Errorf("%s: %v", when, err)
		}
		if log.Len() > 0 {
			t.Errorf("%s: %s", when, log.String())
		}
	}
	fill(3<<20 - 64<<10)
	refused("the first start", 14)
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 { // the lock
		t.Errorf("it left %v", left)
	}
	free()
	stores, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if err := stores.Room(); err != nil {
		t.Errorf("with room: %v", err)
	}
	fill(3<<20 - 64<<10)
	if err := stores.Room(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the disk fills up: %v", err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	free()
	fill(3<<20 - 64<<10)
	refused("a later start", 14)
	free()
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil { // as in a directory that was copied
		t.Fatal(err)
	}
	fill(0)
	refused("a later start without any room", 17)
	free()
	if stores, err = open(); err != nil {
		t.Fatal(err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
}
