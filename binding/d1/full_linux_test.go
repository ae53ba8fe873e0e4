package d1_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// On a full disk a write fails, with a text for the Worker and a line in the log
// for the operator. Reads go on, and so do writes once there is room.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("mounting a small disk takes root: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	store, err := d1.OpenStore(filepath.Join(disk, "d1"), d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	info, err := store.Create(t.Context(), "full")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Database(t.Context(), info.ID)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t (b BLOB)")
	service := d1.Service(db, "")
	ask := func(sql, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		service.ServeHTTP(w, httptest.NewRequest("POST", "/query?resultsFormat=ROWS_AND_COLUMNS", strings.NewReader(`{"sql":"`+sql+`"}`)))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %s, want %s", sql, w.Body, want)
		}
	}
	const insert = "INSERT INTO t VALUES (zeroblob(1000000))"
	ballast := filepath.Join(disk, "ballast")
	var room unix.Statfs_t
	if err := unix.Statfs(disk, &room); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, int64(room.Bavail)*room.Bsize-100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	ask("SELECT no FROM t", "no such column")
	if log.Len() > 0 {
		t.Errorf("an error of the Worker's own is in the log: %s", &log)
	}
	ask(insert, `"error":"disk I/O error: SQLITE_IOERR`)
	if lines := strings.Count(log.String(), "its disk is full, or failing"); lines != 1 {
		t.Errorf("%d lines in the log: %s", lines, &log)
	}
	ask("SELECT count(*) FROM t", `"success":true`)
	for _, route := range store.Routes() {
		if route.Method == http.MethodPost && strings.HasSuffix(route.Path, "/query") {
			r := httptest.NewRequest("POST", "/", strings.NewReader(`{"sql":"`+insert+`"}`))
			r.SetPathValue("database", info.ID)
			err := route.Handle(httptest.NewRecorder(), r)
			if _, told := errors.AsType[*api.Error](err); told || !sqlite.DiskFull(err) {
				t.Errorf("the REST API is told %v", err)
			}
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	ask(insert, `"success":true`)
}
