package kv

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/api"
)

// TestREST is a session with the REST API. Each step is a request and what its
// answer must be: a status and an expression for the body.
func TestREST(t *testing.T) {
	f := newFixture(t)
	mux := http.NewServeMux()
	for _, r := range f.store.Routes() {
		if r.Scope != "workers_kv" || r.Edit != (r.Method != "GET" && !strings.HasSuffix(r.Path, "/bulk/get")) {
			t.Errorf("%s %s: scope %q, edit %v", r.Method, r.Path, r.Scope, r.Edit)
		}
		mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, q *http.Request) {
			if err := r.Handle(w, q); err != nil {
				api.WriteError(w, err)
			}
		})
	}
	const all = "/accounts/a/storage/kv/namespaces"
	id := ""
	do := func(method, path, contentType, body string, status int, want string) {
		t.Helper()
		r := httptest.NewRequest(method, strings.ReplaceAll(path, "{ns}", all+"/"+id), strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		got, _ := io.ReadAll(w.Body)
		if w.Code != status || !regexp.MustCompile(want).Match(got) {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, w.Code, got, status, want)
		}
		if m := regexp.MustCompile(`"id":"([0-9a-f]{32})","title":"first"`).FindSubmatch(got); m != nil && id == "" {
			id = string(m[1])
		}
	}
	const text = "text/plain;charset=UTF-8" // clients send JSON as this

	do("POST", all, text, `{"title":"first"}`, 200, `"supports_url_encoding":true`)
	do("POST", all, text, `{"title":"first"}`, 400, `"code":10014`)
	do("POST", all, text, `{"title":""}`, 400, `"code":10001`)
	do("POST", all, text, `{`, 400, `"code":10001`)
	do("POST", all, text, `{"title":"third","id":"my-id"}`, 200, `"id":"my-id","title":"third"`)
	do("POST", all, text, `{"title":"fourth","id":"my-id"}`, 400, `"code":10014.*a namespace with this id`)
	do("POST", all, text, `{"title":"third","id":"my-other"}`, 400, `"code":10014.*and title`)
	do("POST", all, text, `{"title":"fourth","id":"<id>"}`, 400, `"code":10001`)
	do("DELETE", all+"/my-id", "", "", 200, ``)
	do("POST", all, text, `{"title":"second"}`, 200, ``)
	do("GET", all+"?per_page=1000&order=title&direction=desc", "", "", 200, `"second".*"first".*"total_count":2`)
	do("GET", all+"?per_page=1000&page=2", "", "", 200, `"result":\[\]`)
	do("GET", "{ns}", "", "", 200, `"title":"first"`)
	do("PUT", "{ns}", text, `{"title":"second"}`, 400, `"code":10014`)
	do("PUT", "{ns}", text, `{"title":"renamed"}`, 200, `"title":"renamed"`)
	do("GET", all+"/0/values/k", "", "", 404, `"code":10013`)

	do("PUT", "{ns}/values/a%2Fb?expiration_ttl=60", text, "value", 200, `"success":true`)
	do("GET", "{ns}/values/a%2Fb", "", "", 200, `^value$`)
	do("GET", "{ns}/values/a%252Fb", "", "", 404, `"code":10009,"message":"get: 'key not found'"`)
	do("PUT", "{ns}/values/k?expiration_ttl=5", text, "value", 400, `Invalid expiration_ttl of 5\. Expiration TTL must be at least 60\.`)
	do("PUT", "{ns}/values/"+strings.Repeat("k", 513), text, "", 414, `key length limit of 512`)
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	m.WriteField("value", "\x00binary")
	m.WriteField("metadata", `{"m": [1]}`)
	m.Close()
	do("PUT", "{ns}/values/form", m.FormDataContentType(), form.String(), 200, `"success":true`)
	do("PUT", "{ns}/values/form2", m.FormDataContentType(), "garbage", 400, `"code":10001`)
	do("GET", "{ns}/values/form", "", "", 200, "^\x00binary$")
	do("GET", "{ns}/metadata/form", "", "", 200, `"result":\{"m":\[1\]\}`)
	do("GET", "{ns}/metadata/a%2Fb", "", "", 200, `"result":null`)
	do("GET", "{ns}/keys?limit=1", "", "", 200, `"result":\[\{"name":"a/b","expiration":1800000060\}\].*"cursor":"AWEvYg","cursors":\{"after":"AWEvYg"\}`)
	do("GET", "{ns}/keys?cursor=AWEvYg", "", "", 200, `"result":\[\{"name":"form","metadata":\{"m":\[1\]\}\}\]`)
	do("GET", "{ns}/keys?limit=1001", "", "", 400, `limit must be a number from 1 to 1000`)

	do("PUT", "{ns}/bulk", text, `[{"key":"x","value":"MQ==","base64":true,"metadata":null},{"key":"y","value":"text","expiration_ttl":60,"metadata":"m"}]`, 200, `"successful_key_count":2,"unsuccessful_keys":\[\]`)
	do("PUT", "{ns}/bulk", text, `[{"key":"x","value":"!","base64":true}]`, 400, `not valid base64`)
	do("POST", "{ns}/bulk/get", text, `{"keys":["x","y","z"]}`, 200, `"values":\{"x":"1","y":"text","z":null\}`)
	do("POST", "{ns}/bulk/get", text, `{"keys":["x","y"],"type":"text","withMetadata":true}`, 200, `\{"x":\{"value":"1","metadata":null\},"y":\{"value":"text","metadata":"m","expiration":1800000060\}\}`)
	do("DELETE", "{ns}/bulk", text, `["x"]`, 200, `"successful_key_count":1`)
	do("POST", "{ns}/bulk/delete", text, `["y"]`, 200, `"successful_key_count":1`)
	do("DELETE", "{ns}/values/a%2Fb", "", "", 200, `"success":true`)
	do("GET", "{ns}/values/a%2Fb", "", "", 404, `10009`)
	do("DELETE", "{ns}", "", "", 200, `"success":true`)
	do("GET", "{ns}/keys", "", "", 404, fmt.Sprint(codeNamespaceNotFound))
}
