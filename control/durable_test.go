package control

import (
	"strings"
	"testing"
)

// Bindings lead to classes that there are, with Cloudflare's words for those
// that are not. What is refused changes nothing.
func TestBindingsOfClasses(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js","migrations":{"new_tag":"v1","steps":[{"new_sqlite_classes":["Room"]}]},
		"bindings":[{"name":"R","type":"durable_object_namespace","class_name":"Room"}]}`, "export default {}")
	for _, c := range []struct{ path, bindings, migrations, want string }{
		{"{A}/workers/scripts/guest", `{"class_name":"Room","script_name":"api"}`, "null", ""},
		{"{A}/workers/scripts/guest", `{"class_name":"Room","script_name":"inn"}`, "null",
			`{"code":10061,"message":"Cannot create binding for class in script 'inn' that does not exist."}`},
		{"{A}/workers/scripts/guest", `{"class_name":"Hall","script_name":"api"}`, "null",
			`{"code":10061,"message":"Cannot create binding for class 'Hall' in script 'api' because it is not currently configured to implement Durable Objects. Ensure a --new-class migration has been applied to it."}`},
		{"{A}/workers/scripts/guest", `{"class_name":"Hall","script_name":"guest"}`, "null",
			`{"code":10061,"message":"Cannot create binding for class 'Hall' because it is not currently configured to implement Durable Objects. Ensure a --new-class migration has been applied to it."}`},
		{"{W}", `{"class_name":"Room"}`, `{"old_tag":"v1","new_tag":"v2","deleted_classes":["Room"]}`,
			`{"code":10061,"message":"Cannot apply --delete-class migration to class 'Room' without also removing the binding that references it."}`},
		{"{W}", `{"class_name":"Room","script_name":"api"}`, "null", ""},
	} {
		typ, body := form(t, []string{
			`metadata json {"main_module":"index.js","migrations":` + c.migrations + `,"bindings":[{"name":"R","type":"durable_object_namespace",` + c.bindings[1:] + `]}`,
			"index.js application/javascript+module export default {}"})
		before := b.state.Current()
		status, _, answer := b.do("PUT", c.path, typ, body)
		if (c.want == "") != (status == 200) || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.bindings, status, answer, c.want)
		}
		if status != 200 && b.state.Current() != before {
			t.Errorf("%s %s: refused, and something changed", c.path, c.bindings)
		}
	}
}
