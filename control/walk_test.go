package control

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/analytics"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/binding/workflow"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
	"github.com/selvage-edge/selvage/telemetry"
)

// anyInbox is every queue: the test has deleted its own before R2's turn.
type anyInbox struct{}

func (anyInbox) Post(context.Context, string, [][]byte) error { return nil }
func (anyInbox) InboxName(id string) (string, error)          { return id, nil }

// newWhole is a bench with the routes of KV, D1, Queues, R2, Analytics Engine
// and Workflows, as a server has them, and the list of all routes.
func newWhole(t *testing.T) (*bench, []api.Route) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	b := &bench{t: t, tail: make(chan func(telemetry.Invocation), 1)}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	must(err)
	b.state, err = state.Open(t.Context(), state.Options{Dir: dir, Blobs: blobs, Secrets: secrets})
	must(err)
	t.Cleanup(func() { b.state.Close() })
	pairs, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{})
	must(err)
	t.Cleanup(func() { pairs.Close() })
	values, err := blob.Open(filepath.Join(dir, "values"))
	must(err)
	namespaces, err := kv.OpenStore(pairs, values, kv.Options{})
	must(err)
	t.Cleanup(func() { namespaces.Close() })
	databases, err := d1.OpenStore(filepath.Join(dir, "d1"), d1.Options{})
	must(err)
	t.Cleanup(func() { databases.Close() })
	queues := queue.Kinds()[0].(interface {
		binding.Opener
		binding.Router
	})
	must(queues.Open(binding.Home{Keyed: pairs, Quota: func(string) int64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	buckets := r2.Kinds()[0].(interface {
		binding.Opener
		binding.Router
	})
	content := func(string) (*blob.Store, error) { return blob.Open(filepath.Join(dir, "r2")) }
	take := func(ctx context.Context, host, zone string, take func(binding.Zone) error) error {
		return b.state.Update(ctx, func(*state.Tx) error { return take(binding.Zone{ID: zone, Name: host}) })
	}
	must(buckets.Open(binding.Home{Keyed: pairs, Blobs: content, TakeHost: take, Inbox: anyInbox{}, Quota: func(string) int64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	b.auth = auth.New(b.state, nil, "account_analytics")
	b.crons = cron.NewHistory(pairs)
	points := analytics.Kinds()[0].(interface {
		binding.Opener
		binding.Router
		io.Closer
	})
	must(points.Open(binding.Home{Dir: dir, Quota: func(string) int64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() { points.Close() })
	workflows := workflow.Kinds()[0].(interface {
		binding.Opener
		binding.Router
	})
	must(workflows.Open(binding.Home{Keyed: pairs, Quota: func(string) int64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	others := [][]api.Route{namespaces.Routes(), databases.Routes(), queues.Routes(), points.Routes(), workflows.Routes(), buckets.Routes()}
	h, err := New(t.Context(), Options{State: b.state, Auth: b.auth, Kinds: kinds(), Tail: b.subscribe, Routes: others, Crons: b.crons})
	must(err)
	listening := httptest.NewServer(h)
	t.Cleanup(listening.Close)
	b.url, b.account = listening.URL, b.state.Account()
	b.token, err = b.auth.Create(t.Context(), "laptop", nil, 0)
	must(err)
	routes := (&server{}).routes()
	for _, list := range others {
		routes = append(routes, list...)
	}
	return b, routes
}

// log is the audit log.
func (b *bench) log() (log []state.Entry) {
	b.t.Helper()
	err := b.state.View(context.Background(), func(tx *state.Tx) (err error) {
		log, err = tx.AuditLog(0, 1000)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return log
}

var wildcard = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

// Whatever a route is about: a token without its scope is refused before the
// route is asked, and nothing changes. One that may only read cannot edit.
func TestEveryRouteEnforcesItsScope(t *testing.T) {
	b, routes := newWhole(t)
	b.upload(plainUpload, "export default {}")
	tokens := map[string]string{}
	token := func(scope string) string {
		if tokens[scope] == "" {
			var err error
			if tokens[scope], err = b.auth.Create(t.Context(), scope, []string{scope}, 0); err != nil {
				t.Fatal(err)
			}
		}
		return tokens[scope]
	}
	other := func(scope string) string {
		if scope == "queues" {
			return "r2:edit"
		}
		return "queues:edit"
	}
	for _, route := range routes { // so that making tokens does not count as a change
		token(other(route.Scope))
		if route.Scope != "" {
			token(route.Scope + ":read")
		}
	}
	before, live := len(b.log()), b.state.Current()
	for _, route := range routes {
		path := wildcard.ReplaceAllStringFunc(route.Path, func(m string) string {
			if m == "{account}" {
				return b.account
			}
			return "api"
		})
		refused := func(scope string) {
			status, _, body := b.do(route.Method, path, "", `{}`, "Authorization", "Bearer "+token(scope))
			if status != http.StatusForbidden || !strings.Contains(body, `"code":10000`) {
				t.Errorf("%s %s with %s: got %d %s, want 403 and 10000", route.Method, route.Path, scope, status, body)
			}
		}
		if route.Open {
			if status, _, body := b.do(route.Method, path, "", `{}`); status < 400 {
				t.Errorf("%s %s without the credential that its URL or its own token is: got %d %s", route.Method, route.Path, status, body)
			}
			continue
		}
		if status, _, body := b.do(route.Method, path, "", `{}`, "Authorization", ""); status != 400 || !strings.Contains(body, `"code":9106`) {
			t.Errorf("%s %s without a token: got %d %s", route.Method, route.Path, status, body)
		}
		if route.Scope != "" {
			refused(other(route.Scope))
		}
		if route.Edit {
			if route.Scope == "" {
				t.Errorf("%s %s edits and has no scope", route.Method, route.Path)
			}
			refused(route.Scope + ":read")
		}
	}
	if after := b.log(); len(after) != before || b.state.Current() != live {
		t.Errorf("refused calls changed something: %+v", after[before:])
	}
}

// Every route that edits is called once, in an order in which it has something
// to change, and leaves one entry that says who did what.
func TestEveryEditIsInTheAuditLog(t *testing.T) {
	b, routes := newWhole(t)
	const secret = "correct horse battery staple"
	upload := func(metadata string) (string, string) {
		return form(t, []string{"metadata json " + metadata, "index.js application/javascript+module export default {}"})
	}
	script, script2 := plainUpload, `{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"`+secret+`"}]}`
	id := map[string]string{}
	find := func(name, body, pattern string) {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(body); len(m) == 2 {
			id[name] = m[1]
		}
	}
	sum := md5.Sum([]byte("SELECT 1"))
	etag := hex.EncodeToString(sum[:])
	called := map[string]bool{}
	for _, c := range []struct {
		route, path, body string
		// keep names an id in the answer, found by the pattern.
		keep, pattern string
	}{
		{route: "PUT {W}", body: "form " + script},
		{route: "PUT {W}/content", body: "form " + script},
		{route: "POST {W}/versions", body: "form " + script2, keep: "version", pattern: `"id":"([0-9a-f-]{36})"`},
		{route: "POST {W}/deployments", body: `{"strategy":"percentage","versions":[{"version_id":"{version}","percentage":100}]}`},
		{route: "PATCH {A}/workers/workers/{script}/versions/latest", body: `{"env":{"T":{"type":"secret_text","text":"` + secret + `"}}}`, keep: "version", pattern: `"id":"([0-9a-f-]{36})"`},
		{route: "POST {W}/deployments", body: `{"strategy":"percentage","versions":[{"version_id":"{version}","percentage":100}]}`},
		{route: "PATCH {W}/settings", body: `{"bindings":[{"name":"U","type":"secret_text","text":"` + secret + `"}]}`},
		{route: "PATCH {W}/script-settings", body: `{"observability":{"enabled":true}}`},
		{route: "PUT {W}/secrets", body: `{"name":"A","text":"` + secret + `","type":"secret_text"}`},
		{route: "PATCH {W}/secrets-bulk", body: `{"secrets":{"B":{"name":"B","text":"` + secret + `","type":"secret_text"}}}`},
		{route: "DELETE {W}/secrets/{secret}", path: "{W}/secrets/A"},
		{route: "POST {W}/assets-upload-session", body: `{"manifest":{"/a":{"hash":"0123456789abcdef0123456789abcdef","size":1}}}`},
		{route: "PUT {A}/workers/subdomain", body: `{"subdomain":"me"}`},
		{route: "POST {W}/subdomain", body: `{"enabled":true}`},
		{route: "DELETE {W}/subdomain"},
		{route: "PUT {W}/schedules", body: `[{"cron":"0 3 * * *"}]`},
		{route: "POST /zones", body: `{"name":"example.com"}`, keep: "zone", pattern: `,"id":"([0-9a-f]{32})"`},
		{route: "PUT {W}/routes", body: `[{"pattern":"example.com/a","zone_name":"example.com"}]`},
		{route: "POST /zones/{zone}/workers/routes", body: `{"pattern":"example.com/b","script":"api"}`, keep: "route", pattern: `"id":"([0-9a-f]{32})"`},
		{route: "PUT /zones/{zone}/workers/routes/{route}", body: `{"pattern":"example.com/c","script":"api"}`},
		{route: "DELETE /zones/{zone}/workers/routes/{route}"},
		{route: "PUT {A}/workers/domains", body: `{"hostname":"www.example.com","service":"api","environment":"production","zone_id":"{zone}"}`, keep: "domain", pattern: `"id":"([0-9a-f]{32})"`},
		{route: "DELETE {A}/workers/domains/{domain}"},
		{route: "PUT {W}/domains/records", body: `{"origins":[{"hostname":"api.example.com","zone_name":"example.com"}]}`},
		{route: "PUT /zones/{zone}/url_normalization", body: `{"type":"rfc3986","scope":"incoming"}`},
		{route: "DELETE /zones/{zone}/url_normalization"},
		{route: "DELETE /zones/{zone}"},
		{route: "DELETE {W}"},
		{route: "PUT {W}", body: "form " + script},
		{route: "DELETE {A}/workers/services/{script}"},

		{route: "POST {A}/tokens", body: accessKeyBody, keep: "token", pattern: `"id":"([0-9a-f]{32})","name"`},
		{route: "DELETE {A}/tokens/{token}"},
		{route: "POST /user/tokens", body: accessKeyBody, keep: "token", pattern: `"id":"([0-9a-f]{32})","name"`},
		{route: "DELETE /user/tokens/{token}"},

		{route: "POST {K}", body: `{"title":"notes"}`, keep: "namespace", pattern: `"id":"([0-9a-f]{32})"`},
		{route: "PUT {K}/{namespace}", body: `{"title":"renamed"}`},
		{route: "PUT {K}/{namespace}/values/{key...}", body: secret},
		{route: "PUT {K}/{namespace}/values/{key...}", body: strings.Repeat("large ", maxHashedAhead/4)},
		{route: "DELETE {K}/{namespace}/values/{key...}"},
		{route: "PUT {K}/{namespace}/bulk", body: `[{"key":"a","value":"` + secret + `"}]`},
		{route: "DELETE {K}/{namespace}/bulk", body: `["a"]`},
		{route: "POST {K}/{namespace}/bulk/delete", body: `["a"]`},
		{route: "DELETE {K}/{namespace}"},

		{route: "POST {D}", body: `{"name":"shop"}`, keep: "database", pattern: `"uuid":"([0-9a-f-]{36})"`},
		{route: "PATCH {D}/{database}", body: `{"read_replication":{"mode":"disabled"}}`},
		{route: "PUT {D}/{database}", body: `{"read_replication":{"mode":"disabled"}}`},
		{route: "POST {D}/{database}/query", body: `{"sql":"SELECT '` + secret + `'"}`, keep: "bookmark", pattern: `"bookmark":"([^"]*)"`},
		{route: "POST {D}/{database}/raw", body: `{"sql":"SELECT 1"}`},
		{route: "POST {D}/{database}/import", body: `{"action":"init","etag":"` + etag + `"}`},
		{route: "POST {D}/{database}/time_travel/restore", path: "{D}/{database}/time_travel/restore?bookmark={bookmark}"},
		{route: "DELETE {D}/{database}"},

		{route: "POST {Q}", body: `{"queue_name":"jobs"}`, keep: "queue", pattern: `"queue_id":"([0-9a-f]{32})"`},
		{route: "PUT {Q}/{queue}", body: `{"queue_name":"jobs"}`},
		{route: "PATCH {Q}/{queue}", body: `{"settings":{"delivery_paused":false}}`},
		{route: "POST {Q}/{queue}/consumers", body: `{"type":"http_pull"}`, keep: "consumer", pattern: `"consumer_id":"([0-9a-f]{32})"`},
		{route: "PUT {Q}/{queue}/consumers/{consumer}", body: `{"type":"http_pull","settings":{"batch_size":5}}`},
		{route: "POST {Q}/{queue}/messages", body: `{"body":"` + secret + `"}`},
		{route: "POST {Q}/{queue}/messages/batch", body: `{"messages":[{"body":"` + secret + `"}]}`},
		{route: "POST {Q}/{queue}/messages/pull", body: `{}`},
		{route: "POST {Q}/{queue}/messages/ack", body: `{}`},
		{route: "POST {Q}/{queue}/messages/peek", body: `{}`, keep: "ref", pattern: `"ref":"([^"]+)"`},
		{route: "POST {Q}/{queue}/messages/purge", body: `{"messages":[{"ref":"{ref}"}]}`},
		{route: "POST {Q}/{queue}/purge", body: `{"delete_messages_permanently":true}`},
		{route: "DELETE {Q}/{queue}/consumers/{consumer}"},
		{route: "DELETE {Q}/{queue}"},

		{route: "PUT {F}/{workflow}", path: "{F}/flow", body: `{"script_name":"api","class_name":"Flow"}`},
		{route: "POST {F}/{workflow}/instances", path: "{F}/flow/instances", body: `{"instance_id":"one","params":{"key":"` + secret + `"}}`},
		{route: "POST {F}/{workflow}/instances/batch", path: "{F}/flow/instances/batch", body: `[{"instance_id":"two"},{"instance_id":"three"}]`},
		{route: "POST {F}/{workflow}/instances/{instance}/events/{type}", path: "{F}/flow/instances/one/events/go", body: `{"key":"` + secret + `"}`},
		{route: "PATCH {F}/{workflow}/instances/{instance}/status", path: "{F}/flow/instances/one/status", body: `{"status":"pause"}`},
		{route: "PUT {F}/{workflow}/instances/terminate", path: "{F}/flow/instances/terminate"},
		{route: "DELETE {F}/{workflow}/instances/{instance}", path: "{F}/flow/instances/one"},
		{route: "POST {F}/{workflow}/instances/batch/delete", path: "{F}/flow/instances/batch/delete", body: `{"instances":["two"]}`},
		{route: "DELETE {F}/{workflow}", path: "{F}/flow"},

		{route: "POST {R}", body: `{"name":"files"}`, keep: "bucket", pattern: `"name":"([a-z]*)"`},
		{route: "PATCH {R}/{bucket}"},
		{route: "PUT {R}/{bucket}/lifecycle", body: `{"rules":[]}`},
		{route: "PUT {R}/{bucket}/cors", body: `{"rules":[]}`},
		{route: "DELETE {R}/{bucket}/cors"},
		{route: "POST {R}/{bucket}/domains/custom", body: `{"domain":"files.example.com","enabled":true}`},
		{route: "PUT {R}/{bucket}/domains/custom/{domain}", path: "{R}/files/domains/custom/files.example.com", body: `{"minTLS":"1.2"}`},
		{route: "DELETE {R}/{bucket}/domains/custom/{domain}", path: "{R}/files/domains/custom/files.example.com"},
		{route: "PUT {R}/{bucket}/lock", body: `{"rules":[]}`},
		{route: "PUT {A}/event_notifications/r2/{bucket}/configuration/queues/{queue}", body: `{"rules":[{"actions":["PutObject"],"prefix":"x"}]}`},
		{route: "DELETE {A}/event_notifications/r2/{bucket}/configuration/queues/{queue}"},
		{route: "PUT {R}/{bucket}/domains/managed", body: `{"enabled":true}`},
		{route: "PUT {R}/{bucket}/objects/{key...}", body: secret},
		{route: "DELETE {R}/{bucket}/objects/{key...}"},
		{route: "DELETE {R}/{bucket}"},
	} {
		expand := func(s string) string {
			s = strings.NewReplacer("{K}", "{A}/storage/kv/namespaces", "{D}", "{A}/d1/database", "{Q}", "{A}/queues", "{R}", "{A}/r2/buckets", "{F}", "{A}/workflows", "{script}", "api", "{key...}", "k").Replace(s)
			for name, value := range id {
				s = strings.ReplaceAll(s, "{"+name+"}", value)
			}
			return s
		}
		method, pattern, _ := strings.Cut(c.route, " ")
		path := c.path
		if path == "" {
			path = pattern
		}
		if strings.HasSuffix(pattern, "/restore") {
			_, _, answer := b.do("GET", expand("{D}/{database}/time_travel/bookmark"), "", "")
			find("bookmark", answer, `"bookmark":"([^"]*)"`)
		}
		typ, body := "", expand(c.body)
		if metadata, ok := strings.CutPrefix(body, "form "); ok {
			typ, body = upload(metadata)
		}
		before := b.log()
		status, _, answer := b.do(method, expand(path), typ, body, "Cf-R2-Storage-Class", "InfrequentAccess") // which only R2 heeds
		if status >= 300 {
			t.Errorf("%s: got %d %s", c.route, status, answer)
		}
		find(c.keep, answer, c.pattern)
		called[strings.NewReplacer("{K}", "{A}/storage/kv/namespaces", "{D}", "{A}/d1/database", "{Q}", "{A}/queues", "{R}", "{A}/r2/buckets", "{F}", "{A}/workflows", "{W}", "{A}/workers/scripts/{script}").Replace(c.route)] = true
		log := b.log()[len(before):]
		want := 1
		if len(body) > maxHashedAhead {
			want = 2 // the second has the digest
		}
		if len(log) != want {
			t.Errorf("%s: %d entries, want %d: %+v", c.route, len(log), want, log)
			continue
		}
		e := log[want-1]
		action := method + " " + strings.SplitN(strings.NewReplacer("{W}", "/accounts/"+b.account+"/workers/scripts/api", "{A}", "/accounts/"+b.account).Replace(expand(path)), "?", 2)[0]
		if e.Action != action || e.TokenName != "laptop" || e.From != "127.0.0.1" || e.Time.IsZero() || e.Error != "" {
			t.Errorf("%s: entry is %+v, want action %s", c.route, e, action)
		}
		if text := fmt.Sprintf("%+v %s", e, e.Changes); strings.Contains(text, secret) {
			t.Errorf("%s: the entry has the secret: %s", c.route, text)
		}
	}
	for _, route := range routes {
		name := route.Method + " " + strings.Replace(route.Path, "/accounts/{account}", "{A}", 1)
		if route.Edit && !called[name] {
			t.Errorf("no row calls %s", name)
		}
	}
}

// A write of another package's store is recorded before it happens, and again
// when it is refused.
func TestRefusedEditOfAStore(t *testing.T) {
	b, _ := newWhole(t)
	if status, _, _ := b.do("DELETE", "{A}/storage/kv/namespaces/0123456789abcdef0123456789abcdef", "", ""); status != 404 {
		t.Fatalf("deleting what is not there: %d", status)
	}
	log := b.log()
	log = log[len(log)-2:]
	if log[0].Error != "" || !strings.Contains(log[1].Error, "namespace not found") || log[0].Action != log[1].Action {
		t.Errorf("log: %+v", log)
	}
}
