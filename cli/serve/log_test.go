package serve

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

// One Ray ID leads through the log: the request, both Workers' console lines,
// their calls to bindings and the exception that ended it.
func TestOneRay(t *testing.T) {
	s := testSettings(t.TempDir())
	s.LogRequests, s.LogLevel = true, levels["debug"]
	r := start(t, s, Options{})
	var namespace struct{ ID string }
	if err := r.api("POST", "/storage/kv/namespaces", "application/json", strings.NewReader(`{"title":"keys"}`), &namespace); err != nil {
		t.Fatal(err)
	}
	var database struct{ UUID string }
	if err := r.api("POST", "/d1/database", "application/json", strings.NewReader(`{"name":"rows"}`), &database); err != nil {
		t.Fatal(err)
	}
	r.deploy("back", `export default { async fetch(request, env) {
  console.log("in the back");
  await env.DB.prepare("SELECT 1").run();
  return new Response("ok");
} }`, map[string]any{"bindings": []any{map[string]any{"type": "d1", "name": "DB", "id": database.UUID}}})
	r.deploy("front", `export default { async fetch(request, env) {
  console.log("in the front");
  await env.KEYS.get("some key");
  await env.BACK.fetch("http://back/");
  throw new Error("boom");
} }`, map[string]any{"bindings": []any{
		map[string]any{"type": "kv_namespace", "name": "KEYS", "namespace_id": namespace.ID},
		map[string]any{"type": "service", "name": "BACK", "service": "back"},
	}})
	req, err := http.NewRequest("GET", r.edge+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "front.localhost"
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	ray, _, _ := strings.Cut(res.Header.Get("CF-Ray"), "-")

	want := []string{
		`msg="request failed".* worker=front `,
		`msg="in the front" worker=front `,
		`msg="binding called".* worker=front binding=KEYS `,
		`msg="in the back" worker=back `,
		`msg="binding called".* worker=back binding=DB `,
		`msg="Uncaught Error: boom\\n    at Object.fetch \(index.js:5:9\)" worker=front `,
	}
	var lines string
	poll.Until(t, "every line with the ray "+ray, func() bool {
		lines = ""
		for line := range strings.Lines(r.screen.String()) {
			if strings.Contains(line, "ray="+ray) {
				lines += line
			}
		}
		return !slices.ContainsFunc(want, func(w string) bool { return !regexp.MustCompile(w).MatchString(lines) })
	})
}
