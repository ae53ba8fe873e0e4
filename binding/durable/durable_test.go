package durable_test

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/celltest"
)

var site = binding.Site{Version: &config.Version{
	Worker:  "chat",
	Classes: []config.Class{{Name: "Room", SQLite: true, Key: "chat-Room"}},
}}

func bound(raw string) config.Binding {
	return config.Binding{Name: "ROOM", Type: "durable_object_namespace", Raw: []byte(raw)}
}

func TestOwnClass(t *testing.T) {
	for _, raw := range []string{`{"class_name":"Room"}`, `{"class_name":"Room","script_name":"chat"}`} {
		m, err := durable.Kind{}.Mount(bound(raw), site)
		if err != nil || m.Value != (workerd.DurableValue{ClassName: "Room"}) || m.Warning != "" {
			t.Errorf("%s: %+v, %v", raw, m, err)
		}
	}
}

func TestUndeclaredClass(t *testing.T) {
	_, err := durable.Kind{}.Mount(bound(`{"class_name":"Lobby"}`), site)
	if err == nil || !strings.Contains(err.Error(), `[[migrations]] tag = "v1" new_sqlite_classes = ["Lobby"]`) {
		t.Errorf("the error does not name the migration to add: %v", err)
	}
	if (durable.Kind{}).Validate(bound(`{}`)) == nil {
		t.Error("a binding without class_name is accepted")
	}
}

func TestDeployable(t *testing.T) {
	for raw, want := range map[string]string{
		`{"class_name":"Room"}`:                       "",
		`{"class_name":"Room","script_name":"chat"}`:  "",
		`{"class_name":"Room","script_name":"other"}`: "binding ROOM: the Durable Object class Room of another Worker (other) cannot be bound on this version of Selvage yet; bind other as a service and let it reach its objects",
		`{}`: "binding ROOM: class_name must name an exported class",
	} {
		got := ""
		if err := (durable.Kind{}).Deployable("chat", bound(raw)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestOtherScriptThrowsWhenUsed(t *testing.T) {
	m, err := durable.Kind{}.Mount(bound(`{"class_name":"Room","script_name":"other"}`), site)
	if err != nil || !strings.Contains(m.Warning, "env.ROOM") {
		t.Fatalf("warning %q, %v", m.Warning, err)
	}
	const worker = `export default { fetch(request, env) {
  try { env.ROOM.idFromName("a"); } catch (e) { return new Response(e.message); }
} };`
	got := celltest.Run(t, worker, map[string]func(string) binding.Mount{"ROOM": func(string) binding.Mount { return m }}).Get("/")
	want := "env.ROOM is a binding to the Durable Object class Room of another Worker (other), which this version of Selvage does not run yet."
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
