package durable_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
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

func TestClassOfAnotherScript(t *testing.T) {
	b := bound(`{"class_name":"Room","script_name":"other"}`)
	m, err := durable.Kind{}.Mount(b, site)
	if err != nil || m.Peer == nil || *m.Peer != (binding.Peer{Worker: "other"}) || m.Class != "Room" || m.Warning != "" {
		t.Errorf("%+v, %v", m, err)
	}
	if refs := (durable.Kind{}).Refer(b); !slices.Equal(refs, []binding.Reference{{Peer: binding.Peer{Worker: "other"}, Class: "Room"}}) {
		t.Errorf("refers to %+v", refs)
	}
}
