package r2

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// What a rule keeps is neither deleted nor overwritten, by anybody, until its time is
// over.
func TestLocks(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	f.put(b, "aged/k", []byte("old"), PutOptions{})
	f.put(b, "dated/k", []byte("old"), PutOptions{})
	f.put(b, "ever/k", []byte("old"), PutOptions{})
	f.put(b, "off/k", []byte("old"), PutOptions{})
	start := time.UnixMilli(epoch).UTC()
	f.ok(f.SetLockRules(ctx, "b", []LockRule{
		{"age", true, "aged/", LockCondition{Type: "Age", MaxAge: 60}},
		{"date", true, "dated/", LockCondition{Type: "Date", Date: start.Add(2 * time.Minute)}},
		{"ever", true, "ever/", LockCondition{Type: "Indefinite"}},
		{"off", false, "off/", LockCondition{Type: "Indefinite"}},
	}))
	f.ok(f.SetRules(ctx, "b", []Rule{rule(t, `{"id":"old","enabled":true,"conditions":{"prefix":"ever/"},"deleteObjectsTransition":{"condition":{"type":"Age","maxAge":1}}}`)}))
	f.reopen(Options{})
	b = f.bucket("b")
	for _, c := range []struct {
		after time.Duration
		free  string // keys, by their first letters
	}{{0, "o"}, {59 * time.Second, "o"}, {60 * time.Second, "oa"}, {2 * time.Minute, "oad"}} {
		f.clock.Store(epoch + c.after.Milliseconds())
		_, err := f.Sweep(ctx)
		f.ok(err)
		for _, key := range []string{"aged/k", "dated/k", "ever/k", "off/k"} {
			_, err := b.Put(ctx, key, strings.NewReader("old"), PutOptions{})
			u, wrong := b.CreateMultipartUpload(ctx, key, PutOptions{})
			f.ok(wrong)
			p, wrong := u.UploadPart(ctx, 1, strings.NewReader("old"), nil)
			f.ok(wrong)
			_, completed := u.Complete(ctx, []Part{p})
			f.ok(u.Abort(ctx))
			deleted := b.Delete(ctx, "none", key)
			if strings.Contains(c.free, key[:1]) {
				// A put makes an object that is kept anew.
				if key[0] == 'a' {
					completed, deleted = nil, nil
				}
				f.ok(errors.Join(err, completed, deleted))
				f.put(b, "off/k", []byte("old"), PutOptions{})
				if key[0] == 'd' {
					f.put(b, key, []byte("old"), PutOptions{})
				}
				continue
			}
			f.fails(err, ErrLocked)
			f.fails(completed, ErrLocked)
			f.fails(deleted, ErrLocked)
			f.same(b, key, []byte("old"))
		}
	}
	for _, r := range []LockRule{{"", true, "", LockCondition{Type: "Indefinite"}}, {"a", true, "", LockCondition{}}, {"a", true, "", LockCondition{Type: "Age"}}, {"a", true, "", LockCondition{Type: "Date"}}} {
		f.fails(f.SetLockRules(ctx, "b", []LockRule{r}), ErrInvalidArgument)
	}
	twice := LockRule{"a", true, "", LockCondition{Type: "Indefinite"}}
	f.fails(f.SetLockRules(ctx, "b", []LockRule{twice, twice}), ErrInvalidArgument)
	if rules, err := f.LockRules(ctx, "b"); err != nil || len(rules) != 4 {
		t.Errorf("after what was refused: %+v, %v", rules, err)
	}
}

// What a bucket holds is counted.
func TestUsage(t *testing.T) {
	f := newFixture(t)
	b, other := f.bucket("b"), f.bucket("other")
	f.put(b, "key", []byte("12345"), PutOptions{Custom: map[string]string{"a": "bc"}})
	f.put(b, "k2", random(1, 50_000), PutOptions{})
	f.put(other, "k", []byte("x"), PutOptions{})
	_, err := b.CreateMultipartUpload(ctx, "up", PutOptions{})
	f.ok(err)
	u, err := f.Usage(ctx, "b")
	f.ok(err)
	if want := (Usage{Objects: 2, Uploads: 1, Payload: 50_005, Metadata: 8}); u != want {
		t.Errorf("%+v, want %+v", u, want)
	}
	_, err = f.Usage(ctx, "none")
	f.fails(err, ErrNoSuchBucket)
}
