package platform

import (
	"context"
	"errors"
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

// The socket alone opens nothing.
func TestLocalAsksForItsSecret(t *testing.T) {
	l, err := ServeLocal(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(LocalHeader) != "" {
			t.Error("the secret went on to the API")
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Socket)
	}}}
	defer client.CloseIdleConnections()
	for secret, want := range map[string]int{"": 403, "wrong": 403, l.Secret[1:]: 403, l.Secret: 200} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://selvage/client/v4/accounts", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(LocalHeader, secret)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("secret %q: status %d, want %d", secret, response.StatusCode, want)
		}
	}
}

// The secret is new at each start, and nobody else can read where it is kept.
func TestSecretIsKeptFromOthers(t *testing.T) {
	dir := t.TempDir()
	secrets := map[string]bool{}
	for range 2 {
		lock, _, err := Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "lock"), 0o644); err != nil {
			t.Fatal(err)
		}
		lock.Release()
		if lock, _, err = Acquire(dir); err != nil {
			t.Fatal(err)
		}
		local, err := ServeLocal(http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Announce(local); err != nil {
			t.Fatal(err)
		}
		_, holder, err := Acquire(dir)
		if !errors.Is(err, ErrInUse) || holder.Secret != local.Secret || holder.Socket != local.Socket {
			t.Errorf("holder %+v, %v", holder, err)
		}
		info, err := os.Stat(filepath.Join(dir, "lock"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		secrets[local.Secret] = true
		local.Close()
		lock.Release()
	}
	if len(secrets) != 2 {
		t.Error("the secret is the same at the next start")
	}
}
