package control

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
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

// A class that is transferred or renamed keeps its objects, and what was bound to
// it is told where it is.
func TestTransferredClasses(t *testing.T) {
	b := newBench(t)
	put := func(script, metadata, want string) {
		t.Helper()
		typ, body := form(t, []string{"metadata json " + metadata, "index.js application/javascript+module export default {}"})
		before := b.state.Current()
		status, _, answer := b.do("PUT", "{A}/workers/scripts/"+script, typ, body)
		if (want == "") != (status == 200) || !strings.Contains(answer, want) {
			t.Fatalf("%s: %d %s, want %s", script, status, answer, want)
		}
		if status != 200 && b.state.Current() != before {
			t.Errorf("%s: refused, and something changed", script)
		}
	}
	const room = `{"name":"R","type":"durable_object_namespace","class_name":"Room"}`
	put("old", `{"main_module":"index.js","bindings":[`+room+`],"migrations":{"new_tag":"v1","new_sqlite_classes":["Room","Hall"]}}`, "")
	key := b.state.Current().Workers["old"].Shares[0].Version.Classes[0].Key
	transfer := func(from, script string) string {
		return `{"main_module":"index.js","migrations":{"new_tag":"v1","transferred_classes":[{"from":"` + from + `","from_script":"` + script + `","to":"Suite"}]}}`
	}
	put("new", transfer("Room", "none"), `{"code":10061,"message":"Cannot apply transfer-class migration from script 'none' that does not exist."}`)
	put("new", transfer("Room", "new"), `"code":10061`)
	put("new", transfer("Kitchen", "old"), `{"code":10071,"message":"Cannot apply transfer-class migration: script 'old' has no Durable Object class 'Kitchen'"}`)
	put("new", transfer("Room", "old"), "")
	now := b.state.Current().Workers
	was, is := now["old"], now["new"].Shares[0].Version.Classes
	if len(is) != 1 || is[0] != (config.Class{Name: "Suite", SQLite: true, Key: key}) {
		t.Errorf("new has %+v", is)
	}
	if c := was.Shares[0].Version.Classes; len(c) != 1 || c[0].Name != "Hall" || was.Shares[0].Version.Lost[0] != "Room" {
		t.Errorf("old has %+v, and lost %v", c, was.Shares[0].Version.Lost)
	}
	if m := was.Moved["Room"]; m != (config.Moved{Worker: "new", Class: "Suite", Key: key}) {
		t.Errorf("moved to %+v", m)
	}
	put("new", `{"main_module":"index.js","migrations":{"old_tag":"v1","new_tag":"v2","renamed_classes":[{"from":"Suite","to":"Attic"}]}}`, "")
	if m := b.state.Current().Workers["old"].Moved["Room"]; m.Class != "Attic" {
		t.Errorf("after another name: %+v", m)
	}
	put("old", `{"main_module":"index.js","bindings":[`+room+`]}`, `"code":10061`)
	put("old", `{"main_module":"index.js","bindings":[{"name":"R","type":"durable_object_namespace","class_name":"Attic","script_name":"new"}]}`, "")
}
