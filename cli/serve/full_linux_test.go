package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that fills up under a server is told by readyz, without many words in
// the log, until there is room again.
func TestReadyTellsOfAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=128m"); err != nil {
		t.Skip("mounting a small disk takes root: ", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	r := start(t, testSettings(filepath.Join(disk, "data")), Options{})
	if status, body := r.get("/readyz", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	before := strings.Count(r.screen.String(), "\n")
	var free unix.Statfs_t
	if err := unix.Statfs(disk, &free); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, int64(free.Bavail)*free.Bsize-4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if status, body := r.get("/readyz", ""); status != 503 || !strings.Contains(body, "the disk is full: ") || !strings.Contains(body, "no space left on device") {
			t.Fatalf("%d %s", status, body)
		}
	}
	if n := strings.Count(r.screen.String(), "\n") - before; n > 20 {
		t.Errorf("%d lines in the log: %s", n, r.screen.String())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if status, body := r.get("/readyz", ""); status != 200 {
		t.Errorf("with room again: %d %s", status, body)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
