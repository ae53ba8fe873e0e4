package queue

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
)

// TestREST is a session with the REST API. Each step is a request and what its
// answer must be: a status and an expression for the body. What an expression
// captures is put in the place of {id}, {consumer} and {lease}.
func TestREST(t *testing.T) {
	f := newFixture(t)
	k := &Kind{store: f.Store}
	b, err := config.NewBinding("Q", "queue", map[string]string{"queue_name": "jobs"})
	f.ok(err)
	var source config.Source = &config.Value{}
	source.(*config.Value).Set(&config.Snapshot{Workers: map[string]*config.Worker{
		"sender": {Name: "sender", Shares: []config.Share{{Version: &config.Version{Bindings: []config.Binding{b}}}}}}})
	k.source.Store(&source)
	mux := http.NewServeMux()
	for _, r := range k.Routes() {
		if r.Scope != "queues" || r.Edit != (r.Method != "GET") {
			t.Errorf("%s %s: scope %q, edit %v", r.Method, r.Path, r.Scope, r.Edit)
		}
		mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, q *http.Request) {
			if err := r.Handle(w, q); err != nil {
				api.WriteError(w, err)
			}
		})
	}
	captured := map[string]string{}
	do := func(method, path, body string, status int, want string) {
		t.Helper()
		fill := func(s string) string {
			for name, value := range captured {
				s = strings.ReplaceAll(s, "{"+name+"}", value)
			}
			return s
		}
		r := httptest.NewRequest(method, "/accounts/a/queues"+fill(path), strings.NewReader(fill(body)))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		got, _ := io.ReadAll(w.Body)
		x := regexp.MustCompile(want)
		m := x.FindStringSubmatch(string(got))
		if w.Code != status || m == nil {
			t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, w.Code, got, status, want)
			return
		}
		for i, name := range x.SubexpNames() {
			if name != "" {
				captured[name] = m[i]
			}
		}
	}

	do("POST", "", `{"queue_name":"jobs"}`, 200, `"queue_id":"(?P<id>[0-9a-f]{32})","queue_name":"jobs",.*"producers":\[{"type":"worker","script":"sender"}\],"producers_total_count":1,"consumers":\[\],"consumers_total_count":0,"settings":{"delivery_delay":0,"delivery_paused":false,"message_retention_period":345600}`)
	do("POST", "", `{"queue_name":"jobs"}`, 409, `"code":11009`)
	do("POST", "", `{"queue_name":"a b"}`, 400, `"code":100128`)
	do("POST", "", `{"queue_name":"x","settings":{"message_retention_period":0}}`, 400, `"code":100128.*message_retention_period is 0; it must be 60 to 1209600`)
	do("POST", "", `{"queue_name":"jobs-2","settings":{"delivery_delay":7,"message_retention_period":60}}`, 200, `"delivery_delay":7,"delivery_paused":false,"message_retention_period":60`)
	do("GET", "", "", 200, `"jobs".*"jobs-2".*"total_count":2`)
	do("GET", "?page=2", "", 200, `"result":\[\]`)
	do("GET", "?page=1&name=jobs", "", 200, `"jobs".*"total_count":1,`)
	do("GET", "?name=jobs&name=jobs-2&name=none", "", 200, `"total_count":2`)
	do("GET", "/{id}", "", 200, `"jobs"`)
	do("GET", "/0", "", 404, `"code":10104`)
	do("PATCH", "/{id}", `{"queue_name":"jobs","settings":{"delivery_paused":true}}`, 200, `"delivery_paused":true,"message_retention_period":345600`)
	do("PATCH", "/{id}", `{"settings":{"delivery_delay":86401}}`, 400, `"code":100128`)
	do("PATCH", "/{id}", `{"queue_name":"jobs-2"}`, 409, `"code":11009`)
	do("PUT", "/{id}", `{"settings":{"delivery_delay":3}}`, 200, `"delivery_delay":3,"delivery_paused":false`)
	do("PUT", "/{id}", `{}`, 200, `"delivery_delay":0`)

	do("POST", "/{id}/consumers", `{"type":"worker"}`, 400, `"code":100127`)
	do("POST", "/{id}/consumers", `{"type":"worker","script_name":"w","environment_name":"","dead_letter_queue":"dead","settings":{"batch_size":2,"max_wait_time_ms":1000}}`, 200,
		`"consumer_id":"(?P<consumer>[0-9a-f]{32})","type":"worker","script":"w","dead_letter_queue":"dead","settings":{"batch_size":2,"max_wait_time_ms":1000},.*"script_name":"w","queue_name":"jobs"`)
	do("GET", "?name=dead", "", 200, `"total_count":1`)
	do("POST", "/{id}/consumers", `{"type":"http_pull"}`, 400, `"code":11004`)
	do("PUT", "/{id}/consumers/{consumer}", `{"type":"worker","script_name":"w","settings":{"batch_size":101}}`, 400, `"code":100127.*batch_size is 101`)
	do("PUT", "/{id}/consumers/{consumer}", `{"type":"http_pull","settings":{"visibility_timeout_ms":5000}}`, 200, `"type":"http_pull"`)
	do("PUT", "/{id}/consumers/0", `{"type":"http_pull"}`, 404, `Consumer does not exist`)
	do("GET", "/{id}/consumers", "", 200, `"result":\[{"consumer_id":"{0,1}[0-9a-f]{32}"`)
	do("GET", "/{id}/consumers/{consumer}", "", 200, `"visibility_timeout_ms":5000`)
	do("GET", "/{id}", "", 200, `"consumers_total_count":1`)

	do("POST", "/{id}/messages", `{"body":{"a": 1}}`, 200, `"metadata":{"metrics":{"backlog_count":1,"backlog_bytes":7,"oldest_message_timestamp_ms":1700000000000}}`)
	do("POST", "/{id}/messages", `{"body":"hi","content_type":"text"}`, 200, `"backlog_count":2`)
	do("POST", "/{id}/messages", `{"body":"AP8=","content_type":"bytes","delay_seconds":2}`, 200, `"backlog_count":3`)
	for body, want := range map[string]string{
		`{`:                                   `"code":10208`,
		`[]`:                                  `"code":10207`,
		`{}`:                                  `"code":10207`,
		`{"body":1,"content_type":"xml"}`:     `"code":10203`,
		`{"body":1,"content_type":"text"}`:    `"code":10207`,
		`{"body":"!","content_type":"bytes"}`: `"code":10207`,
		`{"body":1,"delay_seconds":-1}`:       `"code":10203`,
		`{"body":1,"delay_seconds":1.5}`:      `"code":10207`,
	} {
		do("POST", "/{id}/messages", body, 400, want)
	}
	do("POST", "/{id}/messages/batch", `{"messages":[]}`, 413, `"code":10206`)
	do("POST", "/{id}/messages/batch", `{"messages":[{"body":1}],"delay_seconds":86401}`, 400, `"code":10202`)
	do("POST", "/{id}/messages/batch", `{"messages":[{"body":1},{"body":2,"delay_seconds":0}],"delay_seconds":60}`, 200, `"backlog_count":5`)

	do("POST", "/{id}/messages/peek", `{"batch_size":0}`, 400, `"code":10207`)
	do("POST", "/{id}/messages/peek", `{"batch_size":1}`, 200,
		`"messages":\[{"id":"[0-9a-f]{32}","timestamp_ms":1700000000000,"attempts":0,"body":"eyJhIjoxfQ==","metadata":{"CF-Content-Type":"json"},"ref":"[^"]+"}\]`)
	do("POST", "/{id}/messages", `{"body":"spoilt","content_type":"text","delay_seconds":70}`, 200, `"backlog_count":6`)
	do("POST", "/{id}/messages/peek", `{"batch_size":10}`, 200, `"body":"spoilt","metadata":{"CF-Content-Type":"text"},"ref":"(?P<ref>[^"]+)"}\]`)
	do("POST", "/{id}/messages/purge", `{"messages":[]}`, 400, `"code":10207.*1 to 100`)
	do("POST", "/{id}/messages/purge", `{"messages":[{"ref":"{ref}"},{"ref":"x"}]}`, 200, `"purgedCount":1,"warnings":{"x":"ref is malformed"}`)
	do("POST", "/{id}/messages/pull", `{"batch_size":101}`, 400, `"code":10207`)
	do("POST", "/{id}/messages/pull", `{"batch_size":0}`, 400, `"code":10207`)
	do("POST", "/{id}/messages/pull", `{"visibility_timeout":43200001}`, 400, `"code":10207`)
	do("POST", "/{id}/messages/pull", `{"batch_size":1,"visibility_timeout":1000}`, 200,
		`"message_backlog_count":5,"messages":\[{"id":"[0-9a-f]{32}","timestamp_ms":1700000000000,"attempts":1,"body":"eyJhIjoxfQ==","metadata":{"CF-Content-Type":"json"},"lease_id":"(?P<lease>[^"]+)"}\]`)
	do("POST", "/{id}/messages/pull", `{}`, 200, `"attempts":1,"body":"hi",.*"body":"Mg=="`)
	do("POST", "/{id}/messages/pull", `{}`, 200, `"messages":\[\]`)
	f.pass(2 * time.Second)
	do("POST", "/{id}/messages/pull", `{}`, 200, `"attempts":2,"body":"eyJhIjoxfQ==",.*"attempts":1,"body":"AP8="`)
	do("POST", "/{id}/messages/ack", `{"acks":[{"lease_id":"{lease}"},{"lease_id":"x"}],"retries":[{"lease_id":"{lease}","delay_seconds":5}]}`, 200, `"ackCount":1,"retryCount":0,"warnings":{.*"x":"lease ID is malformed"`)
	do("POST", "/{id}/messages/ack", `{"retries":[{"lease_id":"x","delay_seconds":86401}]}`, 400, `"code":10203`)

	do("GET", "/{id}/purge", "", 200, `"result":{}`)
	do("POST", "/{id}/purge", `{}`, 400, `delete_messages_permanently must be true`)
	do("POST", "/{id}/purge", `{"delete_messages_permanently":true}`, 200, `"jobs"`)
	do("GET", "/{id}/purge", "", 200, `"result":{"completed":"true","started_at":"2023-11-14T22:13:22Z"}`)
	f.holds(f.queue("jobs"), 0, 0)
	do("DELETE", "/{id}/consumers/{consumer}", "", 200, ``)
	do("DELETE", "/{id}/consumers/{consumer}", "", 404, ``)
	do("POST", "/{id}/messages/pull", `{}`, 400, `"code":100127`)
	do("DELETE", "/{id}", "", 400, `"code":11005.*bound by the Worker sender`)
	source.(*config.Value).Set(&config.Snapshot{})
	do("DELETE", "/{id}", "", 200, ``)
	do("DELETE", "/{id}", "", 404, `"code":10104`)
}
