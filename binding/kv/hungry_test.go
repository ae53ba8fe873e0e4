package kv

import (
	"bytes"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/budget"
)

// A bulk get and a list wait for the memory that they need, and are told when
// there is none; another Worker has its own share. A value that is streamed
// needs none.
func TestHungry(t *testing.T) {
	f := newFixture(t)
	f.store.mem = budget.New(40<<20, 20<<20, time.Nanosecond)
	n := f.namespace(t)
	if err := n.Put(ctx, "large", bytes.Repeat([]byte("x"), 2<<20), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	taken, err := f.store.mem.Take(ctx, "hungry", 20<<20)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(worker, method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		n.Handler(worker).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	const bulk = `{"keys":["large","none"]}`
	want := `{"large":` + strconv.Quote(strings.Repeat("x", 2<<20)) + `,"none":null}`
	for _, c := range []struct {
		worker, method, path, body string
		status                     int
		answer                     string
	}{
		{"hungry", "POST", "/bulk/get", bulk, 429, ""},
		{"hungry", "GET", "/", "", 429, ""},
		{"hungry", "GET", "/large?urlencoded=true", "", 200, strings.Repeat("x", 2<<20)},
		{"modest", "POST", "/bulk/get", bulk, 200, want},
		{"modest", "GET", "/", "", 200, `{"keys":[{"name":"large"}],"list_complete":true}`},
	} {
		if status, answer := ask(c.worker, c.method, c.path, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s: %s %s: %d %.100q", c.worker, c.method, c.path, status, answer)
		}
	}
	taken.Release()
	if status, answer := ask("hungry", "POST", "/bulk/get", bulk); status != 200 || answer != want {
		t.Errorf("when there is memory again: %d %.100q", status, answer)
	}
	if s := f.store.mem.Stats(); s.Used != 0 {
		t.Errorf("%+v", s)
	}
}
