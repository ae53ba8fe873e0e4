package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
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
