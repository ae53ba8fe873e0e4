package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/cors"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"github.com/selvage-edge/selvage/binding/r2"
)

// listed is what a list says.
type listed struct {
	Keys      []string `xml:"Contents>Key"`
	Prefixes  []string `xml:"CommonPrefixes>Prefix"`
	Owners    []string `xml:"Contents>Owner>ID"`
	Truncated bool     `xml:"IsTruncated"`
	Next      string   `xml:"NextContinuationToken"`
	Marker    string   `xml:"NextMarker"`
	KeyCount  int
	Encoding  string `xml:"EncodingType"`
}

func (f *fixture) list(query string) (l listed) {
	f.t.Helper()
	a := f.do("GET", "/files?"+query, "")
	a.want(f.t, 200)
	f.ok(xml.Unmarshal([]byte(a.body), &l))
	return l
}

func TestLists(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	keys := []string{"a", "b/1", "b/2", "b/c/3", "b0", "c d", "ü", "😀", "\uffee"}
	for _, key := range keys {
		f.put(b, key, "")
	}
	slices.Sort(keys) // bytes of UTF-8
	for _, version := range []string{"", "list-type=2&"} {
		for _, c := range []struct{ query, want string }{
			{"", strings.Join(keys, "|")},
			{"prefix=b", "b/1|b/2|b/c/3|b0"},
			{"prefix=b/", "b/1|b/2|b/c/3"},
			{"prefix=nothing", ""},
			{"delimiter=/", "a|b/*|b0|c d|ü|\uffee|😀"},
			{"delimiter=/&prefix=b/", "b/1|b/2|b/c/*"},
			{"delimiter=c", "a|b/1|b/2|b/c*|b0|c*|ü|\uffee|😀"},
			{"delimiter=%20d", "a|b/1|b/2|b/c/3|b0|c d*|ü|\uffee|😀"},
			{"max-keys=0", ""},
		} {
			for _, limit := range []int{1, 2, 3, 1000} {
				var got []string
				query := version + c.query
				if !strings.Contains(c.query, "max-keys") {
					query += fmt.Sprint("&max-keys=", limit)
				}
				next := ""
				for range 20 {
					l := f.list(query + next)
					names := l.Keys
					for _, p := range l.Prefixes {
						names = append(names, p+"*")
					}
					slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.TrimSuffix(a, "*"), strings.TrimSuffix(b, "*")) })
					got = append(got, names...)
					if !l.Truncated {
						break
					}
					if version != "" {
						next = "&continuation-token=" + url.QueryEscape(l.Next)
						if l.KeyCount != limit {
							t.Errorf("%s: %d keys of %d", query, l.KeyCount, limit)
						}
					} else {
						last := l.Marker
						if last == "" {
							last = l.Keys[len(l.Keys)-1] // what clients do
						}
						next = "&marker=" + url.QueryEscape(last)
					}
				}
				if strings.Join(got, "|") != c.want {
					t.Errorf("%s: %q, want %q", query, strings.Join(got, "|"), c.want)
				}
			}
		}
	}
	if l := f.list("list-type=2&start-after=b0&max-keys=1"); l.Keys[0] != "c d" || l.Owners != nil {
		t.Errorf("%+v", l)
	}
	if l := f.list("list-type=2&fetch-owner=true"); len(l.Owners) != len(keys) || l.Owners[0] != owner {
		t.Errorf("%+v", l)
	}
	if l := f.list("list-type=2&encoding-type=url&prefix=c"); l.Keys[0] != "c%20d" || l.Encoding != "url" {
		t.Errorf("%+v", l)
	}
}

func TestBuckets(t *testing.T) {
	f := newFixture(t, false)
	f.do("PUT", "/one", "").want(t, 200)
	f.do("PUT", "/two", `<CreateBucketConfiguration xmlns="`+namespace+`"><LocationConstraint>weur</LocationConstraint></CreateBucketConfiguration>`).want(t, 200)
	f.do("PUT", "/three/k", "x", "Cf-Create-Bucket-If-Missing: true").want(t, 200)
	f.do("POST", "/four/k?uploads", "", "Cf-Create-Bucket-If-Missing: true").want(t, 200)
	f.do("GET", "/one?location", "").want(t, 200, ">auto</LocationConstraint>")
	f.do("GET", "/two?location", "").want(t, 200, ">WEUR</LocationConstraint>")
	names := func(a answer) string {
		var l struct {
			Names []string `xml:"Buckets>Bucket>Name"`
		}
		f.ok(xml.Unmarshal([]byte(a.body), &l))
		return strings.Join(l.Names, " ")
	}
	for query, want := range map[string]string{"": "four one three two", "?prefix=t": "three two", "?start-after=one": "three two", "?continuation-token=three": "two", "?max-keys=2": "four one"} {
		if got := names(f.do("GET", "/"+query, "")); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	a := f.do("GET", "/?max-keys=9", "", "Cf-Max-Keys: 1", "Cf-Prefix: t")
	if names(a) != "three" || a.Header.Get("Cf-Is-Truncated") != "true" || a.Header.Get("Cf-Next-Continuation-Token") != "three" {
		t.Errorf("%v %s", a.Header, a.body)
	}
	f.do("DELETE", "/one", "").want(t, 204)
	f.do("HEAD", "/one", "").want(t, 404)
	f.do("DELETE", "/one", "").want(t, 404, code("NoSuchBucket"))
}

func TestDeleteObjects(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	for _, key := range []string{"a", "b&c", " d ", "stays"} {
		f.put(b, key, "")
	}
	long := strings.Repeat("k", 2000)
	body := "<?xml version=\"1.0\"?>\n<Delete xmlns=\"" + namespace + "\"><!-- so --><Object><Key>a</Key></Object><Object><Key>b&amp;c</Key><VersionId>null</VersionId></Object>" +
		"<Object><Key> d </Key></Object><Object><Key>none</Key></Object><Object><Key>" + long + "</Key></Object></Delete>"
	a := f.do("POST", "/files?delete", body, "Content-MD5: "+sum64(body))
	a.want(t, 200, "<Deleted><Key>a</Key></Deleted>", "<Deleted><Key>b&amp;c</Key></Deleted>", "<Deleted><Key> d </Key></Deleted>", "<Deleted><Key>none</Key></Deleted>",
		"<Error><Key>"+long+"</Key><Code>KeyTooLongError</Code>")
	f.do("POST", "/files?delete", "<Delete><Quiet>true</Quiet><Object><Key>none</Key></Object></Delete>").want(t, 200, "<DeleteResult xmlns=\""+namespace+"\"></DeleteResult>")
	page, err := b.List(context.Background(), r2.ListOptions{})
	f.ok(err)
	if len(page.Objects) != 1 || page.Objects[0].Key != "stays" {
		t.Errorf("%+v", page.Objects)
	}
}

// An object that a lock rule keeps stays, and nothing else does because of it.
func TestLockedObjects(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	f.put(b, "kept/a", "x")
	f.put(b, "b", "x")
	f.ok(f.store.SetLockRules(context.Background(), "files", []r2.LockRule{{ID: "all", Enabled: true, Prefix: "kept/", Condition: r2.LockCondition{Type: "Indefinite"}}}))
	f.do("PUT", "/files/kept/a", "y").want(t, 403, code("ObjectLockedByBucketPolicy"))
	f.do("DELETE", "/files/kept/a", "").want(t, 403, code("ObjectLockedByBucketPolicy"))
	f.do("POST", "/files?delete", "<Delete><Object><Key>kept/a</Key></Object><Object><Key>b</Key></Object></Delete>").want(t, 200,
		"<Error><Key>kept/a</Key><Code>ObjectLockedByBucketPolicy</Code>", "<Deleted><Key>b</Key></Deleted>")
	f.do("GET", "/files/kept/a", "").want(t, 200, "x")
	f.do("GET", "/files/b", "").want(t, 404)
}

func TestCORSThroughSDK(t *testing.T) {
	f, ctx := newFixture(t, true), context.Background()
	f.bucket("files")
	c := f.client()
	rules := cors.NewConfig([]cors.Rule{{ID: "one", AllowedOrigin: []string{"https://a.test", "https://*.b.test"}, AllowedMethod: []string{"GET", "PUT"}, AllowedHeader: []string{"*"}, ExposeHeader: []string{"ETag"}, MaxAgeSeconds: 60}})
	f.ok(c.SetBucketCors(ctx, "files", rules))
	got, err := c.GetBucketCors(ctx, "files")
	f.ok(err)
	if fmt.Sprint(got.CORSRules) != fmt.Sprint(rules.CORSRules) {
		t.Errorf("%+v", got)
	}
	a := f.do("OPTIONS", "/files/k", "", "Origin: https://x.b.test", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: content-type")
	a.want(t, 200)
	if a.Header.Get("Access-Control-Allow-Origin") != "https://x.b.test" || a.Header.Get("Access-Control-Max-Age") != "60" {
		t.Errorf("%v", a.Header)
	}
	f.do("OPTIONS", "/files/k", "", "Origin: https://c.test", "Access-Control-Request-Method: PUT").want(t, 403, code("AccessForbidden"))
	if h := f.do("GET", "/files/k", "", "Origin: https://a.test").Header; h.Get("Access-Control-Allow-Origin") != "https://a.test" || h.Get("Access-Control-Expose-Headers") != "ETag" {
		t.Errorf("an error has %v", h)
	}
	f.ok(c.SetBucketCors(ctx, "files", nil))
	f.do("OPTIONS", "/files/k", "", "Origin: https://a.test", "Access-Control-Request-Method: PUT").want(t, 403)
}

func TestLifecycleThroughSDK(t *testing.T) {
	f, ctx := newFixture(t, true), context.Background()
	f.bucket("files")
	c := f.client()
	got, err := c.GetBucketLifecycle(ctx, "files")
	f.ok(err)
	if len(got.Rules) != 1 || got.Rules[0].AbortIncompleteMultipartUpload.DaysAfterInitiation != 7 {
		t.Errorf("the default is %+v", got)
	}
	rules := lifecycle.NewConfiguration()
	text := `<LifecycleConfiguration><Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration><Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition></Rule>` +
		`<Rule><ID>end</ID><Filter></Filter><Status>Disabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>`
	f.ok(xml.Unmarshal([]byte(text), rules))
	f.ok(c.SetBucketLifecycle(ctx, "files", rules))
	stored, err := f.store.Rules(ctx, "files")
	f.ok(err)
	if len(stored) != 2 || stored[0].Conditions.Prefix != "logs/" || !stored[0].Enabled || stored[0].Delete.Condition.MaxAge != 3*86400 || stored[0].Classes[0].StorageClass != r2.InfrequentAccess ||
		stored[1].Enabled || stored[1].Delete.Condition.Type != "Date" || stored[1].Abort.Condition.MaxAge != 2*86400 {
		t.Errorf("%+v", stored)
	}
	got, err = c.GetBucketLifecycle(ctx, "files")
	f.ok(err)
	first, err := xml.Marshal(got)
	f.ok(err)
	f.ok(c.SetBucketLifecycle(ctx, "files", got))
	got, err = c.GetBucketLifecycle(ctx, "files")
	f.ok(err)
	if again, err := xml.Marshal(got); err != nil || !bytes.Equal(first, again) {
		t.Errorf("%s\n%s", first, again)
	}
	f.ok(c.SetBucketLifecycle(ctx, "files", lifecycle.NewConfiguration()))
	f.do("GET", "/files?lifecycle", "")
	if _, err := c.GetBucketLifecycle(ctx, "files"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("without rules: %v", err)
	}
}
