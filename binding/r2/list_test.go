package r2

import (
	"fmt"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	f := newFixture(t)
	other := f.bucket("a")
	b := f.bucket("b")
	f.put(other, "x", nil, PutOptions{})
	f.put(f.bucket("c"), "y", nil, PutOptions{})
	for _, key := range []string{"a", "a/", "a/1", "a/2", "a/b/1", "a0", "b", "b//c", "ÿ", "z\x00", "z", "\U0001f600"} {
		f.put(b, key, []byte(key), PutOptions{Custom: map[string]string{"k": key}, HTTP: HTTPMetadata{ContentType: "t"}})
	}
	for _, c := range []struct {
		o    ListOptions
		want string // pages, with / between them
	}{
		{ListOptions{}, "a a/ a/1 a/2 a/b/1 a0 b b//c z z\x00 ÿ \U0001f600"},
		{ListOptions{Limit: 5}, "a a/ a/1 a/2 a/b/1 | a0 b b//c z z\x00 | ÿ \U0001f600"},
		{ListOptions{Limit: 12}, "a a/ a/1 a/2 a/b/1 a0 b b//c z z\x00 ÿ \U0001f600"},
		{ListOptions{Limit: 1, Prefix: "a/"}, "a/ | a/1 | a/2 | a/b/1"},
		{ListOptions{Prefix: "none"}, ""},
		{ListOptions{Delimiter: "/"}, "a [a/] a0 b [b/] z z\x00 ÿ \U0001f600"},
		{ListOptions{Delimiter: "/", Limit: 2}, "a [a/] | a0 b | [b/] z | z\x00 ÿ | \U0001f600"},
		{ListOptions{Delimiter: "/", Prefix: "a/"}, "a/ a/1 a/2 [a/b/]"},
		{ListOptions{Delimiter: "/", Prefix: "a/", Limit: 3}, "a/ a/1 a/2 | [a/b/]"},
		{ListOptions{Delimiter: "//"}, "a a/ a/1 a/2 a/b/1 a0 b [b//] z z\x00 ÿ \U0001f600"},
		{ListOptions{Delimiter: "\U0001f600", Prefix: "z"}, "z z\x00"},
		{ListOptions{StartAfter: "b"}, "b//c z z\x00 ÿ \U0001f600"},
		{ListOptions{StartAfter: "a/1", Delimiter: "/"}, "[a/] a0 b [b/] z z\x00 ÿ \U0001f600"},
		{ListOptions{StartAfter: "a/1", Prefix: "a/"}, "a/2 a/b/1"},
		{ListOptions{StartAfter: "\U0001f600"}, ""},
	} {
		var pages []string
		o := c.o
		for {
			page, err := b.List(ctx, o)
			f.ok(err)
			// Objects and prefixes, merged into one order.
			var got []string
			objects, prefixes := page.Objects, page.Prefixes
			for len(objects)+len(prefixes) > 0 {
				if len(prefixes) == 0 || len(objects) > 0 && objects[0].Key < prefixes[0] {
					got = append(got, objects[0].Key)
					objects = objects[1:]
				} else {
					got = append(got, "["+prefixes[0]+"]")
					prefixes = prefixes[1:]
				}
			}
			pages = append(pages, strings.Join(got, " "))
			if o.Cursor = page.Cursor; o.Cursor == "" {
				break
			}
		}
		if got := strings.Join(pages, " | "); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.o, got, c.want)
		}
	}
	for include := range 4 {
		page, err := b.List(ctx, ListOptions{IncludeHTTP: include&1 != 0, IncludeCustom: include&2 != 0})
		f.ok(err)
		for _, o := range page.Objects {
			if (o.HTTP.ContentType == "t") != (include&1 != 0) || (o.Custom["k"] == o.Key) != (include&2 != 0) {
				t.Errorf("include %d: %+v", include, o)
			}
		}
	}
	for _, limit := range []int{-1, MaxListKeys + 1} {
		_, err := b.List(ctx, ListOptions{Limit: limit})
		f.fails(err, ErrLimit)
	}
	_, err := b.List(ctx, ListOptions{Cursor: "AWE"})
	f.fails(err, ErrInvalidArgument)
}

// A page ends at its limits, though there is more.
func TestListIsBounded(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	batch := f.db.Batch()
	for i := range MaxListKeys + 1 {
		o := &Object{Key: fmt.Sprintf("%04d", i), content: newContentID(), StorageClass: Standard}
		data, err := encodeObject(o)
		f.ok(err)
		batch.Set(objectKey(b.number, o.Key), data)
	}
	f.ok(batch.Commit())
	for want, o := range map[int]ListOptions{MaxListKeys: {}, MaxListKeysWithMetadata: {IncludeHTTP: true}} {
		page, err := b.List(ctx, o)
		f.ok(err)
		if len(page.Objects) != want || page.Cursor == "" {
			t.Errorf("%d objects, want %d", len(page.Objects), want)
		}
	}
}
