package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/crashtest"
)

// TestKillAfterEachAnswer runs the calls of a deploy against a server in a
// child process, kills it as soon as each has been answered, and proves that
// the next server goes on where the last one stopped.
func TestKillAfterEachAnswer(t *testing.T) {
	crashtest.Child(serve)
	const hash = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	b := &bench{t: t}
	var jwt, version string
	result := func(body string) map[string]any {
		var e struct{ Result map[string]any }
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatal(err)
		}
		return e.Result
	}
	upload := func(method, path, code string) string {
		typ, body := form(t, []string{
			`metadata json {"main_module":"index.js","assets":{"jwt":"` + jwt + `"},"bindings":[{"name":"S","type":"secret_text","text":"s"}]}`,
			"index.js application/javascript+module " + code,
		})
		status, _, answer := b.do(method, path, typ, body)
		if status != 200 {
			t.Fatalf("%s %s: %d %s", method, path, status, answer)
		}
		return answer
	}
	call := func(method, path, body string) string {
		status, _, answer := b.do(method, path, "", body)
		if status != 200 {
			t.Fatalf("%s %s: %d %s", method, path, status, answer)
		}
		return answer
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"session", func() {
			jwt = result(call("POST", "{W}/assets-upload-session", `{"manifest":{"/a.txt":{"hash":"`+hash+`","size":5}}}`))["jwt"].(string)
		}},
		{"file", func() {
			status, _, answer := b.do("POST", "{A}/workers/assets/upload/"+hash, "text/plain", "hello", "Authorization", "Bearer "+jwt)
			if status != 201 {
				t.Fatalf("asset: %d %s", status, answer)
			}
			jwt = result(answer)["jwt"].(string)
		}},
		{"first deploy", func() { version = result(upload("PUT", "{W}", "one"))["deployment_id"].(string) }},
		{"subdomain", func() { call("POST", "{W}/subdomain", `{"enabled":true}`) }},
		{"version", func() {
			if live := result(call("GET", "{W}/deployments", "")); !strings.Contains(fmt.Sprint(live), version) {
				t.Errorf("the first deploy is gone: %v", live)
			}
			version = result(upload("POST", "{W}/versions", "two"))["id"].(string)
		}},
		{"deployment", func() {
			call("POST", "{W}/deployments?force=true", `{"versions":[{"version_id":"`+version+`","percentage":100}]}`)
		}},
		{"secret", func() { call("PUT", "{W}/secrets", `{"name":"T","text":"t","type":"secret_text"}`) }},
		{"schedules", func() { call("PUT", "{W}/schedules", `[{"cron":"* * * * *"}]`) }},
		{"the end", func() {
			_, _, content := b.do("GET", "{W}/content/v2", "", "")
			for _, c := range []struct{ text, want string }{
				{content, "two"},
				{call("GET", "{W}/secrets", ""), `"T"`},
				{call("GET", "{W}/secrets", ""), `"S"`},
				{call("GET", "{W}/subdomain", ""), `"enabled":true`},
				{call("GET", "{W}/schedules", ""), "* * * * *"},
				{call("GET", "{A}/workers/services/api", ""), `"has_assets":true`},
			} {
				if !strings.Contains(c.text, c.want) {
					t.Errorf("after all those kills %s does not have %s", c.text, c.want)
				}
			}
		}},
	} {
		c := crashtest.Start(t, dir, b.token)
		for line := range c.Lines() {
			fields := strings.Fields(line)
			b.url, b.account, b.token = fields[0], fields[1], fields[2]
			t.Log(step.name)
			step.do()
			c.Kill()
		}
	}
}
