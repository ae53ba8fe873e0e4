package control

import (
	"strings"
	"testing"
)

// What an upload asks for beside its code and bindings: it runs, it is refused
// by its name, or the Worker does without and whoever uploads it is told.
func TestFeatures(t *testing.T) {
	const run, refuse, warn = "", "refused: ", "warned: "
	for _, c := range []struct{ metadata, want string }{
		{`"containers":[{"class_name":"C"}]`, refuse + "Containers (containers)"},
		{`"containers":[]`, run},
		{`"tail_consumers":[{"service":"logs"}]`, refuse + "Tail Workers (tail_consumers)"},
		{`"tail_consumers":null`, run},
		{`"streaming_tail_consumers":[{"service":"logs"}]`, refuse + "Streaming Tail Workers (streaming_tail_consumers)"},
		{`"logpush":true`, refuse + "Workers Logpush (logpush)"},
		{`"logpush":false`, run},
		{`"capnp_schema":"schema.capnp"`, refuse + "Cap'n Proto schemas (capnp_schema)"},
		{`"exports":{"C":{"type":"durable-object"}}`, refuse + "declarative exports (exports)"},
		{`"exports":{}`, run},
		{`"cache_options":{"enabled":true}`, warn + "caching in front of Workers (cache_options)"},
		{`"cache_options":{"enabled":false}`, run},
		// Of these nothing is missed.
		{`"placement":{"mode":"smart"}`, run},
		{`"code_update_strategy":{"mode":"deferred","max_delay":300}`, run},
		{`"package_dependencies":[{"name":"hono","version":"4"}]`, run},
		{`"observability":{"enabled":true,"logs":{"invocation_logs":true}}`, run},
		// Nor of what nobody knows: Cloudflare ignores it as well.
		{`"no_such_key":{"a":1}`, run},
	} {
		typ, body := form(t, []string{`metadata json {"main_module":"index.js",` + c.metadata + `}`, "index.js application/javascript+module x"})
		u, err := parseUpload(typ, strings.NewReader(body))
		var got string
		switch {
		case err != nil:
			got = refuse + err.Error()
		case len(u.warnings) > 0:
			got = warn + strings.Join(u.warnings, "; ")
		}
		prefix, name, _ := strings.Cut(c.want, ": ")
		if !strings.HasPrefix(got, prefix) || !strings.Contains(got, name) || (got == "") != (c.want == "") {
			t.Errorf("%s: got %q, want %q", c.metadata, got, c.want)
		}
	}
}

func TestPythonIsRefusedByName(t *testing.T) {
	typ, body := form(t, []string{`metadata json {"main_module":"index.py","compatibility_flags":["python_workers"]}`, "index.py text/x-python x"})
	if _, err := parseUpload(typ, strings.NewReader(body)); err == nil || !strings.Contains(err.Error(), "Python Workers are not supported") {
		t.Errorf("got %v", err)
	}
}

// The settings of a Worker say the same as its uploads, and the calls that a
// deployment makes for what belongs to other products name them.
func TestFeaturesElsewhere(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js"}`, "export default {}")
	for _, c := range []struct{ method, path, body, want string }{
		{"PATCH", "{W}/script-settings", `{"tail_consumers":[{"service":"logs"}]}`, "Tail Workers (tail_consumers)"},
		{"PATCH", "{W}/script-settings", `{"logpush":true}`, "Workers Logpush (logpush)"},
		{"PATCH", "{W}/settings", `{"tail_consumers":[{"service":"logs"}]}`, "Tail Workers (tail_consumers)"},
		{"GET", "{A}/pipelines/v1/streams", "", "Pipelines does not run"},
		{"PUT", "{A}/triggers/api", "{}", "Event triggers does not run"},
		{"POST", "{A}/email/routing/rules/plan", "{}", "Email Routing does not run"},
		{"POST", "{A}/containers/applications", "{}", "Containers does not run"},
		{"POST", "{A}/cloudchamber/applications", "{}", "Containers does not run"},
	} {
		status, _, answer := b.do(c.method, c.path, "application/json", c.body)
		if status < 400 || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s %s: %d %s, want %q", c.method, c.path, c.body, status, answer, c.want)
		}
	}
}
