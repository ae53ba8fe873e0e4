package d1_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
)

// Where an import or an export fails is for the log: who asked by the REST API
// is told that it failed, and not where the server keeps its files.
func TestTransfersDoNotNameFiles(t *testing.T) {
	garbage := func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("garbage "), 1000), 0o600) }
	folder := func(path string) error { return os.MkdirAll(filepath.Join(path, "in it"), 0o700) }
	loop := func(path string) error { return os.Symlink(path, path) }
	for name, c := range map[string]struct {
		// damage what the pattern matches in the store's directory; after is the
		// step before it.
		pattern, after string
		damage         func(path string) error
	}{
		"database is garbage":        {"*.sqlite*", "upload", garbage},
		"database is a folder":       {"*.sqlite*", "upload", folder},
		"database is a loop":         {"*.sqlite*", "upload", loop},
		"upload is a folder":         {"transfers-*/*.import", "upload", folder},
		"upload is a loop":           {"transfers-*/*.import", "upload", loop},
		"upload is garbage":          {"transfers-*/*.import", "upload", garbage},
		"place of uploads is a file": {"transfers-*", "upload", garbage},
		"place of uploads is a loop": {"transfers-*", "upload", loop},
		"uploads have no place":      {"transfers-*", "init", garbage},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := d1.OpenStore(dir, d1.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { store.Close() }()
			api := newAPI(t, store)
			var database struct{ UUID string }
			api.must("POST", "", object{"name": "db"}, &database)
			api.must("POST", "/db/query", object{"sql": "CREATE TABLE t(a)"}, nil)
			if strings.HasPrefix(c.pattern, "*") { // open anew, so that the damage is read
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				ruin(t, dir, c.pattern, c.damage)
				if store, err = d1.OpenStore(dir, d1.Options{}); err != nil {
					t.Fatal(err)
				}
				api = newAPI(t, store)
			}
			failed := 0
			answer := func(method, url, body string) string {
				t.Helper()
				request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range []string{dir, ".sqlite", "transfers-", ".import", ".export", "is a directory", "not a directory", "symbolic links"} {
					if strings.Contains(string(text), part) {
						t.Errorf("%s %s names %q: %s", method, url, part, text)
					}
				}
				if response.StatusCode >= 400 || strings.Contains(string(text), `"status":"error"`) {
					failed++
				}
				return string(text)
			}
			base := api.base + "/accounts/a1/d1/database/" + database.UUID
			var init struct {
				Filename  string
				UploadURL string `json:"upload_url"`
			}
			api.must("POST", "/db/import", object{"action": "init"}, &init)
			if c.after == "init" && !strings.HasPrefix(c.pattern, "*") {
				ruin(t, dir, c.pattern, c.damage)
			}
			answer("PUT", init.UploadURL, "INSERT INTO t VALUES(1);")
			if c.after == "upload" && !strings.HasPrefix(c.pattern, "*") {
				ruin(t, dir, c.pattern, c.damage)
			}
			answer("POST", base+"/import", `{"action":"ingest","filename":"`+init.Filename+`"}`)
			answer("POST", base+"/import", `{"action":"poll","current_bookmark":"`+strings.TrimSuffix(init.Filename, ".sql")+`"}`)
			answer("PUT", init.UploadURL, "INSERT INTO t VALUES(2);")
			answer("POST", base+"/import", `{"action":"init"}`)
			answer("POST", base+"/export", `{"dump_options":{}}`)
			if failed == 0 {
				t.Error("nothing failed, so nothing was seen")
			}
		})
	}
}

// ruin puts something else in the place of each file that the pattern matches.
func ruin(t *testing.T, dir, pattern string, damage func(path string) error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := damage(file); err != nil {
			t.Fatal(err)
		}
	}
}
