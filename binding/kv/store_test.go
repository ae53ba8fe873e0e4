package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var ctx = context.Background()

func TestPutGetDelete(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	for name, size := range map[string]int{"empty": 0, "small": 3, "inline": InlineBytes, "blob": InlineBytes + 1, "largest": MaxValueBytes} {
		t.Run(name, func(t *testing.T) {
			value := bytes.Repeat([]byte{'x'}, size)
			o := PutOptions{Metadata: json.RawMessage(`{"a":1}`), Expiration: time.Unix(epoch+60, 0)}
			if err := n.Put(ctx, name, value, o); err != nil {
				t.Fatal(err)
			}
			e, err := n.GetWithMetadata(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.Value, value) || e.Value == nil || string(e.Metadata) != `{"a":1}` || !e.Expiration.Equal(o.Expiration) {
				t.Errorf("got %d bytes, metadata %s, expiration %v", len(e.Value), e.Metadata, e.Expiration)
			}
			if err := n.Delete(ctx, name); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Get(ctx, name); !errors.Is(err, ErrNotFound) {
				t.Errorf("after delete: %v", err)
			}
			if err := n.Delete(ctx, name); err != nil {
				t.Errorf("second delete: %v", err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	put := func(key string, size int, o PutOptions) func() error {
		return func() error { return n.PutStream(ctx, key, strings.NewReader(strings.Repeat("x", size)), o) }
	}
	list := func(o ListOptions) func() error {
		return func() error { _, err := n.List(ctx, o); return err }
	}
	bulk := func(count int) func() error {
		return func() error { _, err := n.BulkGet(ctx, make([]string, count)); return err }
	}
	parsed := func(expiration, ttl string) func() error {
		return func() error {
			var o PutOptions
			if err := o.parseExpiry(expiration, ttl); err != nil {
				return err
			}
			return n.Put(ctx, "k", nil, o)
		}
	}
	for _, c := range []struct {
		do     func() error
		status int
		text   string
	}{
		{put("", 1, PutOptions{}), 400, "Key names must not be empty"},
		{put(".", 1, PutOptions{}), 400, `Illegal key name ".". Please use a different name.`},
		{put("..", 1, PutOptions{}), 400, `Illegal key name "..". Please use a different name.`},
		{put("\xff", 1, PutOptions{}), 400, "Could not URL-decode key name"},
		{put(strings.Repeat("k", 512), 1, PutOptions{}), 0, ""},
		{put(strings.Repeat("k", 513), 1, PutOptions{}), 414, "UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{put(strings.Repeat("ü", 257), 1, PutOptions{}), 414, "UTF-8 encoded length of 514 exceeds key length limit of 512."},
		{put("k", MaxValueBytes, PutOptions{}), 0, ""},
		{put("k", MaxValueBytes+5, PutOptions{}), 413, "Value length of 26214405 exceeds limit of 26214400."},
		{put("k", 1, PutOptions{Metadata: json.RawMessage(`"` + strings.Repeat("x", 1022) + `"`)}), 0, ""},
		{put("k", 1, PutOptions{Metadata: json.RawMessage(`"` + strings.Repeat("x", 1023) + `"`)}), 413, "Metadata length of 1025 exceeds limit of 1024."},
		{put("k", 1, PutOptions{Metadata: json.RawMessage(`{`)}), 400, "Metadata must be valid JSON."},
		{put("k", 1, PutOptions{ExpirationTTL: time.Minute}), 0, ""},
		{put("k", 1, PutOptions{ExpirationTTL: 59 * time.Second}), 400, "Invalid expiration_ttl of 59. Expiration TTL must be at least 60."},
		{put("k", 1, PutOptions{ExpirationTTL: -time.Second}), 400, "Invalid expiration_ttl of -1. Please specify integer greater than 0."},
		{put("k", 1, PutOptions{Expiration: time.Unix(epoch+60, 0)}), 0, ""},
		{put("k", 1, PutOptions{Expiration: time.Unix(epoch+59, 0)}), 400, "Invalid expiration of 1800000059. Expiration times must be at least 60 seconds in the future."},
		{put("k", 1, PutOptions{Expiration: time.Unix(epoch, 0)}), 400, "Invalid expiration of 1800000000. Please specify integer greater than the current number of seconds since the UNIX epoch."},
		{parsed("", "soon"), 400, "Invalid expiration_ttl of soon. Please specify integer greater than 0."},
		{parsed("", "0"), 400, "Invalid expiration_ttl of 0. Please specify integer greater than 0."},
		{parsed("", "99999999999999999999"), 0, ""},
		{parsed("1", "60"), 0, ""}, // the time to live wins
		{parsed("-5", ""), 400, "Invalid expiration of -5. Please specify integer greater than the current number of seconds since the UNIX epoch."},
		{parsed("99999999999999999999", ""), 0, ""},
		{list(ListOptions{Limit: -1}), 400, "Invalid key_count_limit of -1. Please specify an integer greater than 0."},
		{list(ListOptions{Limit: 1001}), 400, "Invalid key_count_limit of 1001. Please specify an integer less than 1000."},
		{list(ListOptions{Prefix: strings.Repeat("p", 513)}), 414, "UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{list(ListOptions{Cursor: "no cursor"}), 400, "Invalid cursor. Please use the cursor of the previous list."},
		{bulk(0), 400, "You must request a minimum of 1 key"},
		{bulk(101), 400, "You can request a maximum of 100 keys"},
		{func() error { return n.BulkPut(ctx, make([]Item, 10_001)) }, 400, "You can write or delete a maximum of 10000 keys at once"},
		{func() error { return n.BulkDelete(ctx, make([]string, 10_001)) }, 400, "You can write or delete a maximum of 10000 keys at once"},
		{func() error { return checkCacheTTL("30") }, 0, ""},
		{func() error { return checkCacheTTL("29") }, 400, "Invalid cache_ttl of 29. Cache TTL must be at least 30."},
		{func() error { return checkCacheTTL("x") }, 400, "Invalid cache_ttl of NaN. Cache TTL must be at least 30."},
	} {
		err := c.do()
		if c.status == 0 {
			if err != nil {
				t.Errorf("allowed, but: %v", err)
			}
			continue
		}
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Status != c.status || refusal.Text != c.text {
			t.Errorf("got %v, want %d %s", err, c.status, c.text)
		}
	}
	if left, _ := n.blobFiles(t); left != 0 {
		t.Errorf("%d files of replaced or refused values are left", left)
	}
}

// blobFiles counts the files of the store by sweeping them all away.
func (n *Namespace) blobFiles(t *testing.T) (int, error) {
	t.Helper()
	return n.store.SweepBlobs(ctx)
}

func TestExpiredKeysAreGoneAtTheirSecond(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	big := bytes.Repeat([]byte("x"), InlineBytes+1)
	n.Put(ctx, "ttl", []byte("v"), PutOptions{ExpirationTTL: 60 * time.Second})
	n.Put(ctx, "big", big, PutOptions{Expiration: time.Unix(epoch+60, 0)})
	n.Put(ctx, "revived", []byte("old"), PutOptions{ExpirationTTL: 60 * time.Second})
	n.Put(ctx, "later", []byte("v"), PutOptions{ExpirationTTL: 61 * time.Second})
	n.Put(ctx, "never", []byte("v"), PutOptions{})

	names := func() string {
		page, err := n.List(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, k := range page.Keys {
			names = append(names, k.Name)
		}
		return strings.Join(names, " ")
	}
	f.clock.Store(epoch + 59)
	if got, want := names(), "big later never revived ttl"; got != want {
		t.Errorf("a second before: %s, want %s", got, want)
	}
	f.clock.Store(epoch + 60)
	if _, err := n.Get(ctx, "ttl"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get at the second: %v", err)
	}
	if got, want := names(), "later never"; got != want {
		t.Errorf("at the second: %s, want %s", got, want)
	}
	n.Put(ctx, "revived", []byte("new"), PutOptions{})
	if removed, err := f.store.Sweep(ctx); removed != 2 || err != nil {
		t.Errorf("sweep removed %d (%v), want ttl and big", removed, err)
	}
	if v, err := n.Get(ctx, "revived"); string(v) != "new" {
		t.Errorf("a key put again after it expired: %q %v", v, err)
	}
	if left, _ := n.blobFiles(t); left != 0 {
		t.Errorf("%d files of expired values are left", left)
	}
	f.clock.Store(epoch + 1000)
	if removed, _ := f.store.Sweep(ctx); removed != 1 {
		t.Errorf("second sweep removed %d, want later", removed)
	}
}

// TestSweepIsBounded: more rows are due than one step removes.
func TestSweepIsBounded(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	items := make([]Item, 2*sweepRows+1)
	for i := range items {
		items[i] = Item{Key: fmt.Sprint(i), PutOptions: PutOptions{ExpirationTTL: time.Minute}}
	}
	if err := n.BulkPut(ctx, items); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(60)
	if removed, more, err := f.store.sweepOnce(ctx); removed != sweepRows || !more || err != nil {
		t.Errorf("one step removed %d, more %v, %v", removed, more, err)
	}
	if removed, err := f.store.Sweep(ctx); removed != sweepRows+1 || err != nil {
		t.Errorf("the rest: %d %v", removed, err)
	}
}

// TestListAgreesWithAModel lists random keys by random prefixes and limits,
// deleting and adding keys between pages.
func TestListAgreesWithAModel(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	other, _ := f.store.Ensure("other") // its keys must never show
	other.Put(ctx, "a", nil, PutOptions{})
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	word := func(least int) string {
		b := make([]rune, least+r.IntN(4))
		for i := range b {
			b[i] = []rune("ab\x00ü\U0010ffff")[r.IntN(5)]
		}
		return string(b)
	}
	for range 60 {
		model := map[string]bool{}
		var items []Item
		for range r.IntN(60) {
			k := word(1)
			model[k] = true
			items = append(items, Item{Key: k})
		}
		if err := n.BulkPut(ctx, items); err != nil {
			t.Fatal(err)
		}
		prefix, limit := word(0), 1+r.IntN(5)
		var want, got []string
		for k := range model {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		for cursor := ""; ; {
			page, err := n.List(ctx, ListOptions{Prefix: prefix, Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page.Keys {
				got = append(got, k.Name)
			}
			if page.Cursor == "" {
				break
			}
			if len(page.Keys) != limit {
				t.Fatalf("seed %d: a page of %d keys before the end, limit %d", seed, len(page.Keys), limit)
			}
			cursor = page.Cursor
			// What has been listed may go without a trace in later pages.
			if err := n.Delete(ctx, page.Keys[r.IntN(limit)].Name); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, prefix %q, limit %d:\ngot  %q\nwant %q", seed, prefix, limit, got, want)
		}
		n.BulkDelete(ctx, slices.Collect(maps.Keys(model)))
	}
	for cursor := range map[string]bool{encodeCursor("a"): true, encodeCursor("zzz"): true} {
		n.Put(ctx, "m", nil, PutOptions{})
		page, err := n.List(ctx, ListOptions{Prefix: "m", Cursor: cursor})
		if err != nil || (len(page.Keys) == 1) != (cursor == encodeCursor("a")) {
			t.Errorf("cursor outside the prefix: %+v %v", page, err)
		}
	}
}

func TestBulk(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	big := bytes.Repeat([]byte("x"), InlineBytes+1)
	items := []Item{
		{Key: "a", Value: []byte("1")}, {Key: "big", Value: big}, {Key: "a", Value: []byte("2")},
		{Key: "b", Value: []byte("3"), PutOptions: PutOptions{Metadata: json.RawMessage("{\n\"m\": 1}")}},
	}
	if err := n.BulkPut(ctx, items); err != nil {
		t.Fatal(err)
	}
	got, err := n.BulkGet(ctx, []string{"a", "b", "a", "big", "absent"})
	if err != nil || len(got) != 3 || string(got["a"].Value) != "2" || string(got["b"].Metadata) != `{"m":1}` || !bytes.Equal(got["big"].Value, big) {
		t.Errorf("bulk get: %v %v", got, err)
	}
	bad := append(items, Item{Key: "c"}, Item{Key: "."})
	if err := n.BulkPut(ctx, bad); err == nil {
		t.Error("a bad item was accepted")
	}
	if _, err := n.Get(ctx, "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a refused bulk put stored something: %v", err)
	}
	if err := n.BulkDelete(ctx, []string{"a", "big", "absent", "b"}); err != nil {
		t.Fatal(err)
	}
	if page, _ := n.List(ctx, ListOptions{}); len(page.Keys) != 0 {
		t.Errorf("left: %+v", page.Keys)
	}
	huge := bytes.Repeat([]byte("x"), MaxBulkGetBytes/2+1)
	n.Put(ctx, "h1", huge, PutOptions{})
	n.Put(ctx, "h2", huge, PutOptions{})
	var refusal *Error
	if _, err := n.BulkGet(ctx, []string{"h1", "h2"}); !errors.As(err, &refusal) || refusal.Text != "Total size of request exceeds the limit of 25MB" {
		t.Errorf("too much at once: %v", err)
	}
}

func TestSharedAndReplacedBlobs(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	one, two := bytes.Repeat([]byte("1"), InlineBytes+1), bytes.Repeat([]byte("2"), InlineBytes+1)
	n.Put(ctx, "a", one, PutOptions{})
	n.Put(ctx, "b", one, PutOptions{}) // the same file
	n.Put(ctx, "a", one, PutOptions{}) // again
	r, err := n.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n.Put(ctx, "a", two, PutOptions{})
	if v, err := n.Get(ctx, "b"); !bytes.Equal(v, one) {
		t.Errorf("a file with another key was deleted: %v", err)
	}
	n.Delete(ctx, "b")
	if v, err := io.ReadAll(r); !bytes.Equal(v, one) {
		t.Errorf("a value being read was cut off: %v", err)
	}
	if left, _ := n.blobFiles(t); left != 0 {
		t.Errorf("%d files were left to the sweep", left)
	}
	if v, err := n.Get(ctx, "a"); !bytes.Equal(v, two) {
		t.Errorf("the sweep took a live file: %v", err)
	}
}

func TestNamespaces(t *testing.T) {
	f := newFixture(t)
	s := f.store
	a, err := s.CreateNamespace(ctx, "b title")
	if err != nil || len(a.ID) != 32 {
		t.Fatalf("create: %+v %v", a, err)
	}
	if _, err := s.CreateNamespace(ctx, "b title"); err != ErrTitleTaken {
		t.Errorf("same title: %v", err)
	}
	if _, err := s.Ensure("b title"); err != nil { // its title is taken, its id is not
		t.Fatal(err)
	}
	if _, err := s.RenameNamespace(ctx, a.ID, "b title (2)"); err != ErrTitleTaken {
		t.Errorf("rename to a taken title: %v", err)
	}
	if _, err := s.RenameNamespace(ctx, a.ID, "a title"); err != nil {
		t.Error(err)
	}
	list, err := s.Namespaces(ctx)
	if want := []Info{{a.ID, "a title"}, {"b title", "b title (2)"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("list: %+v %v, want %+v", list, err, want)
	}

	n, _ := s.Namespace(a.ID)
	n.Put(ctx, "k", []byte("v"), PutOptions{ExpirationTTL: time.Minute})
	n.Put(ctx, "big", make([]byte, InlineBytes+1), PutOptions{})
	if err := s.DeleteNamespace(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Put(ctx, "k", nil, PutOptions{}); !errors.Is(err, ErrNamespaceNotFound) {
		t.Errorf("put into a deleted namespace: %v", err)
	}
	if _, err := n.Get(ctx, "k"); !errors.Is(err, ErrNamespaceNotFound) {
		t.Errorf("get from a deleted namespace: %v", err)
	}
	if _, err := s.Namespace(a.ID); err != ErrNamespaceNotFound {
		t.Errorf("deleted namespace: %v", err)
	}
	if swept, _ := s.SweepBlobs(ctx); swept != 1 {
		t.Errorf("%d files reclaimed, want 1", swept)
	}
	again, err := s.CreateNamespace(ctx, "a title")
	if err != nil {
		t.Fatal(err)
	}
	n, _ = s.Namespace(again.ID)
	if page, _ := n.List(ctx, ListOptions{}); len(page.Keys) != 0 {
		t.Errorf("a new namespace has the old one's keys: %+v", page.Keys)
	}
	f.clock.Add(61)
	if _, err := s.Sweep(ctx); err != nil {
		t.Errorf("sweep over a deleted namespace's expiry: %v", err)
	}
}

// TestConcurrentPutsKeepTheirFiles hammers few keys with few large values, so
// that files are shared, replaced and swept at the same time.
func TestConcurrentPutsKeepTheirFiles(t *testing.T) {
	f := newFixture(t)
	n := f.namespace(t)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 60 {
				key := fmt.Sprint(r.IntN(3))
				switch r.IntN(5) {
				case 0:
					n.Delete(ctx, key)
				case 1:
					f.store.SweepBlobs(ctx)
				default:
					n.Put(ctx, key, bytes.Repeat([]byte{byte(r.IntN(3))}, InlineBytes+1), PutOptions{})
				}
				if _, err := n.Get(ctx, key); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f.store.SweepBlobs(ctx)
	for i := range 3 {
		if _, err := n.Get(ctx, fmt.Sprint(i)); err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	f := newFixture(b)
	n := f.namespace(b)
	for i := range 1000 {
		n.Put(ctx, fmt.Sprint(i), make([]byte, 1024), PutOptions{})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := n.Get(ctx, strconv.Itoa(i%1000)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkPut has 32 writers, each waiting for the disk.
func BenchmarkPut(b *testing.B) {
	n := newFixture(b).namespace(b)
	value := make([]byte, 1024)
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := n.Put(ctx, strconv.Itoa(int(next.Add(1)%1000)), value, PutOptions{}); err != nil {
				b.Error(err)
			}
		}
	})
}
