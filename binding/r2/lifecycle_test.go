package r2

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// rule reads a rule as the REST API gives it.
func rule(t *testing.T, text string) (r Rule) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLifecycle(t *testing.T) {
	f := newFixture(t)
	f.bucket("b")
	rules, err := f.Rules(ctx, "b")
	f.ok(err)
	if len(rules) != 1 || rules[0].Abort.Condition.MaxAge != 7*24*3600 {
		t.Errorf("the default is %+v", rules)
	}
	date := time.UnixMilli(epoch).UTC().AddDate(0, 0, 10)
	f.ok(f.SetRules(ctx, "b", []Rule{
		rule(t, `{"id":"logs","enabled":true,"conditions":{"prefix":"logs/"},"deleteObjectsTransition":{"condition":{"type":"Age","maxAge":86400}}}`),
		rule(t, `{"id":"off","enabled":false,"conditions":{},"deleteObjectsTransition":{"condition":{"type":"Age","maxAge":1}}}`),
		rule(t, `{"id":"cold","enabled":true,"conditions":{},"storageClassTransitions":[{"condition":{"type":"Age","maxAge":172800},"storageClass":"InfrequentAccess"}]}`),
		rule(t, `{"id":"end","enabled":true,"conditions":{"prefix":"old"},"deleteObjectsTransition":{"condition":{"type":"Date","date":"`+date.Format(time.RFC3339)+`"}}}`),
		rule(t, `{"id":"abort","enabled":true,"conditions":{"prefix":"up"},"abortMultipartUploadsTransition":{"condition":{"type":"Age","maxAge":3600}}}`),
	}))
	f.reopen(Options{})
	b := f.bucket("b")
	large := random(1, 50_000)
	for _, key := range []string{"keep", "logs/1", "logs/2", "old"} {
		f.put(b, key, large, PutOptions{})
	}
	for _, key := range []string{"up", "other"} {
		u, err := b.CreateMultipartUpload(ctx, key, PutOptions{})
		f.ok(err)
		_, err = u.UploadPart(ctx, 1, bytes.NewReader(large), nil)
		f.ok(err)
	}
	after := func(d time.Duration, want string) {
		t.Helper()
		f.clock.Add(d.Milliseconds())
		_, err := f.Sweep(ctx)
		f.ok(err)
		page, err := b.List(ctx, ListOptions{})
		f.ok(err)
		var got []string
		for _, o := range page.Objects {
			got = append(got, o.Key+":"+o.StorageClass[:1])
			f.same(b, o.Key, large)
		}
		f.ok(local{b}.eachUpload(func(key string, _ contentID, _ uploadRow) bool { got = append(got, "["+key+"]"); return true }))
		if strings.Join(got, " ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
	}
	after(time.Hour-time.Millisecond, "keep:S logs/1:S logs/2:S old:S [other] [up]")
	after(time.Millisecond, "keep:S logs/1:S logs/2:S old:S [other]")
	f.put(b, "logs/2", large, PutOptions{}) // is young again
	after(23*time.Hour, "keep:S logs/2:S old:S [other]")
	after(24*time.Hour, "keep:I old:I [other]")
	after(8*24*time.Hour, "keep:I [other]")
	f.put(b, "old2", large, PutOptions{}) // after the date
	after(time.Hour, "keep:I old2:S [other]")
	f.ok(f.SetRules(ctx, "b", nil))
	after(365*24*time.Hour, "keep:I old2:S [other]")
	if rules, err = f.Rules(ctx, "b"); len(rules) != 0 || err != nil {
		t.Errorf("%+v, %v", rules, err)
	}
}

func TestLifecycleRefused(t *testing.T) {
	f := newFixture(t)
	f.bucket("b")
	const age = `{"condition":{"type":"Age","maxAge":5}}`
	for _, text := range []string{
		`{"enabled":true,"deleteObjectsTransition":` + age + `}`,
		`{"id":"a"}`,
		`{"id":"a","conditions":{"prefix":"` + strings.Repeat("x", 1025) + `"},"deleteObjectsTransition":` + age + `}`,
		`{"id":"a","deleteObjectsTransition":{"condition":{"type":"Age"}}}`,
		`{"id":"a","deleteObjectsTransition":{"condition":{"type":"Date"}}}`,
		`{"id":"a","deleteObjectsTransition":{"condition":{"type":"Moon","maxAge":5}}}`,
		`{"id":"a","abortMultipartUploadsTransition":{"condition":{"type":"Date","date":"2027-01-01"}}}`,
		`{"id":"a","storageClassTransitions":[{"condition":{"type":"Age","maxAge":5},"storageClass":"Standard"}]}`,
	} {
		f.fails(f.SetRules(ctx, "b", []Rule{rule(t, text)}), ErrInvalidArgument)
	}
	good := rule(t, `{"id":"a","deleteObjectsTransition":`+age+`}`)
	f.fails(f.SetRules(ctx, "b", []Rule{good, good}), ErrInvalidArgument)
	f.fails(f.SetRules(ctx, "none", []Rule{good}), ErrNoSuchBucket)
	if rules, err := f.Rules(ctx, "b"); err != nil || rules[0].ID != "Default Multipart Abort Rule" {
		t.Errorf("they changed: %+v, %v", rules, err)
	}
}
