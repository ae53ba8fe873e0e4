package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/control/state"
)

// openOnce opens the stores of a directory and closes them.
func openOnce(t *testing.T, dir string) error {
	t.Helper()
	stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir})
	if err != nil {
		return err
	}
	return stores.Close()
}

// A directory that has lost something does not start as if it were new, whether
// it has a file of contents or is of an older program, and stays as it is.
func TestLost(t *testing.T) {
	t.Setenv(state.KeyEnv, "")
	remove := func(t *testing.T, path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	empty := func(t *testing.T, path string) {
		for _, suffix := range []string{"-wal", "-shm"} {
			remove(t, path+suffix)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	emptyFolder := func(t *testing.T, path string) {
		remove(t, path)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tableless := func(t *testing.T, path string) { // SQLite's header, and no table
		empty(t, path)
		file, err := os.ReadFile(filepath.Join("testdata", "tableless.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	garbage := func(t *testing.T, path string) {
		empty(t, path)
		if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pebbleGone := func(t *testing.T, path string) { // all but a stray file
		emptyFolder(t, path)
		if err := os.WriteFile(filepath.Join(path, "lost+found"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what string
		harm func(*testing.T, string)
		path string
		// older: a directory without a file of contents notices, too.
		older bool
		want  string
	}{
		{"missing", remove, "state.db", true, "state.db is missing, but this directory had it"},
		{"empty", empty, "state.db", true, "state.db is empty, but this directory had it"},
		{"without tables", tableless, "state.db", true, "has no account, in a directory that had one"},
		{"garbage", garbage, "state.db", true, "state.db is damaged: restore a backup"},
		{"missing", remove, "secret.key", true, "secret.key is lost"},
		{"empty", empty, "secret.key", true, "secret.key is lost"},
		{"missing", remove, "keyed", true, "keyed is missing, but this directory had it"},
		{"empty", emptyFolder, "keyed", true, "keyed is empty, but this directory had it"},
		{"without its files", pebbleGone, "keyed", true, "has lost its files"},
		{"missing", remove, "blob/control", false, "blob/control is missing, but this directory had it"},
		{"empty", emptyFolder, "blob/kv", false, "blob/kv is empty, but this directory had it"},
		{"missing", remove, "blob", false, "is missing, but this directory had it"},
		{"missing", remove, "d1/databases.db", false, "d1/databases.db is missing, but this directory had it"},
		{"empty", empty, "d1/databases.db", false, "d1/databases.db is empty, but this directory had it"},
		{"missing with all else but KV and code", onlyBulk, "format", true, "format is missing, but this is no new directory"},
		{"missing", remove, "format", true, "format is missing, but this is no new directory"},
	} {
		for _, older := range []bool{false, true} {
			if older && !c.older {
				continue
			}
			name := c.path + " " + c.what
			if older {
				name += ", older"
			}
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				if err := openOnce(t, dir); err != nil {
					t.Fatal(err)
				}
				if older {
					remove(t, filepath.Join(dir, contentsFile))
				}
				if err := openOnce(t, dir); err != nil {
					t.Fatalf("unharmed: %v", err)
				}
				if older {
					remove(t, filepath.Join(dir, contentsFile))
				}
				c.harm(t, filepath.Join(dir, c.path))
				for range 2 { // the refusal mends nothing
					if err := openOnce(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("got  %v\nwant %s", err, c.want)
					}
				}
			})
		}
	}
}

// onlyBulk leaves of the directory what is large and may be on a disk of its own.
func onlyBulk(t *testing.T, format string) {
	for _, name := range []string{"format", contentsFile, stateFile, stateFile + "-wal", stateFile + "-shm", "secret.key"} {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(format), name)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is given up is named by its line, and then made anew.
func TestGiveUp(t *testing.T) {
	dir := t.TempDir()
	if err := openOnce(t, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, contentsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, keyedFolder)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "keyed\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openOnce(t, dir); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !strings.Contains(string(again), "keyed\n") {
		t.Errorf("contents %q", again)
	}
}

// A first start that was killed between its steps is begun again.
func TestKilledFirstStart(t *testing.T) {
	dir := t.TempDir()
	if err := openOnce(t, dir); err != nil {
		t.Fatal(err)
	}
	// As if it had been killed before the last step.
	if err := os.WriteFile(filepath.Join(dir, contentsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, keyedFolder)); err != nil {
		t.Fatal(err)
	}
	if err := openOnce(t, dir); err != nil {
		t.Fatal(err)
	}
	// As if it had been killed before the second one.
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, contentsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openOnce(t, dir); err != nil {
		t.Fatal(err)
	}
}

// Nothing is swept in a directory that is new, restored, or has had something
// made anew, until a day later; and what is young stays after that.
func TestNoSweepInDoubt(t *testing.T) {
	for _, c := range []struct {
		name                 string
		oldContents, oldBlob bool
		want                 int
	}{
		{"new directory, old blob", false, true, 0},
		{"old directory, young blob", true, false, 0},
		{"old directory, old blob", true, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := openOnce(t, dir); err != nil {
				t.Fatal(err)
			}
			if c.oldContents {
				age(t, filepath.Join(dir, contentsFile), doubtFor)
			}
			stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer stores.Close()
			pin, err := stores.State.PutBlob(strings.NewReader("export default {}"))
			if err != nil {
				t.Fatal(err)
			}
			pin.Release()
			if c.oldBlob {
				age(t, filepath.Join(dir, blobFolder, "control", pin.Digest.String()[:2], pin.Digest.String()), spareYoung)
			}
			if n, err := stores.State.Sweep(t.Context()); n != c.want || err != nil {
				t.Errorf("swept %d, %v; want %d", n, err, c.want)
			}
		})
	}
}
