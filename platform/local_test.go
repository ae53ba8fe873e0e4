package platform

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The socket of a process that was killed is removed by the next one; sockets
// on which somebody listens, and new ones, stay.
func TestStaleSockets(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	socket := func(name string, listens bool, age time.Duration) string {
		dir := filepath.Join(os.TempDir(), localPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "api.sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if listens {
			t.Cleanup(func() { l.Close() })
		} else {
			l.Close()
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead, alive, young := socket("1", false, time.Hour), socket("2", true, time.Hour), socket("3", false, 0)
	l, err := ServeLocal(http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]bool{dead: false, alive: true, young: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", filepath.Base(filepath.Dir(path)), err == nil, want)
		}
	}
}
