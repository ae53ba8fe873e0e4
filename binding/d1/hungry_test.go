package d1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/budget"
)

// resident is the memory of this process, in bytes.
func resident(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system does not tell a process's memory: ", err)
	}
	var size, pages int64
	fmt.Sscan(string(text), &size, &pages)
	return pages * int64(os.Getpagesize())
}

// query calls the binding of a Worker.
func query(t *testing.T, db *d1.Database, ctx context.Context, worker, sql string) string {
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	d1.Service(db, worker).ServeHTTP(w, httptest.NewRequest("POST", "/query", strings.NewReader(string(body))).WithContext(ctx))
	return w.Body.String()
}

// Many calls that want much memory each get their answer or are told to queue
// less; together they stay within the budget, and the process within a bound
// that has nothing to do with their number.
func TestHungry(t *testing.T) {
	const total, calls = 160 << 20, 48
	memory := budget.New(total, total/2, time.Second)
	store, err := d1.OpenStore(t.TempDir(), d1.Options{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var databases []*d1.Database
	for i := range 4 {
		db, err := store.Ensure(t.Context(), fmt.Sprint("db", i))
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		databases = append(databases, db)
	}
	debug.FreeOSMemory()
	before := resident(t)
	var most atomic.Int64
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most.Store(max(most.Load(), resident(t)))
			}
		}
	})
	// 24 rows of 1.5 MB that SQLite has to sort: 36 MB of heap, 36 MB of JSON. All
	// but their first bytes is made once, since a call's time is bounded too.
	const sorted = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 24), long(x) AS MATERIALIZED (SELECT hex(zeroblob(750000))) SELECT i || x AS x FROM n, long ORDER BY x"
	var answered, refused atomic.Int64
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			body, _ := json.Marshal(map[string]string{"sql": sorted})
			w := &counting{ResponseRecorder: httptest.NewRecorder()}
			d1.Service(databases[i%4], fmt.Sprint("worker", i%3)).ServeHTTP(w, httptest.NewRequest("POST", "/query", strings.NewReader(string(body))))
			switch text := string(w.head); {
			case strings.HasPrefix(text, `[{"success":true`) && w.n > 36_000_000:
				answered.Add(1)
			case strings.Contains(text, "D1 DB is overloaded. Requests queued for too long."):
				refused.Add(1)
			default:
				t.Errorf("%d bytes: %.200s", w.n, text)
			}
		})
	}
	group.Wait()
	close(stop)
	watching.Wait()
	s := memory.Stats()
	t.Logf("%d answered, %d refused; lent at most %d MiB; the process grew by %d MiB", answered.Load(), refused.Load(), s.Peak>>20, (most.Load()-before)>>20)
	if s.Used != 0 || s.Peak > total {
		t.Errorf("budget: %+v", s)
	}
	if answered.Load() == 0 {
		t.Error("nobody got an answer")
	}
	if grown := most.Load() - before; grown > total*3/2 {
		t.Errorf("the process grew by %d MiB, with a budget of %d MiB", grown>>20, total>>20)
	}
}

// counting takes a body without keeping it.
type counting struct {
	*httptest.ResponseRecorder
	head []byte
	n    int
}

func (c *counting) Write(p []byte) (int, error) {
	if len(c.head) < 200 {
		c.head = append(c.head, p[:min(len(p), 200)]...)
	}
	c.n += len(p)
	return len(p), nil
}

// A Worker whose calls have all of its share keeps no other one out.
func TestHungryNeighbour(t *testing.T) {
	memory := budget.New(80<<20, 20<<20, time.Minute)
	store, err := d1.OpenStore(t.TempDir(), d1.Options{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	hungry, err := store.Ensure(t.Context(), "hungry")
	if err != nil {
		t.Fatal(err)
	}
	modest, err := store.Ensure(t.Context(), "modest")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			query(t, hungry, ctx, "hungry", "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n")
		})
	}
	poll.Until(t, "the hungry one's calls wait", func() bool { return memory.Stats().Waiting == 7 })
	if answer := query(t, modest, t.Context(), "modest", "SELECT 1 AS one"); !strings.Contains(answer, `{"one":1}`) {
		t.Errorf("the neighbour: %s", answer)
	}
	cancel()
	group.Wait()
	if s := memory.Stats(); s.Used != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}
