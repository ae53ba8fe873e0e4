package service_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

func TestMount(t *testing.T) {
	for _, c := range []struct {
		raw     string
		peer    binding.Peer
		warning string
	}{
		{`{"service":"users"}`, binding.Peer{Worker: "users"}, ""},
		{`{"service":"users","entrypoint":"default","props":null}`, binding.Peer{Worker: "users"}, ""},
		{`{"service":"users","environment":"production"}`, binding.Peer{Worker: "users"}, ""},
		{`{"service":"users","entrypoint":"Admin","props":{ "tenant": "a" }}`, binding.Peer{Worker: "users", Entrypoint: "Admin", Props: `{"tenant":"a"}`}, ""},
		{`{"service":"users","environment":"staging"}`, binding.Peer{Worker: "users"}, `"users-staging"`},
	} {
		m, err := service.Kind{}.Mount(config.Binding{Name: "USERS", Raw: []byte(c.raw)}, binding.Site{Service: "binding:USERS"})
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		if !reflect.DeepEqual(m.Peer, &c.peer) || m.Value != (workerd.ServiceValue{Name: "binding:USERS"}) || m.Handler != nil {
			t.Errorf("%s: %+v, peer %+v", c.raw, m, m.Peer)
		}
		if (c.warning == "") != (m.Warning == "") || !strings.Contains(m.Warning, c.warning) {
			t.Errorf("%s: warning %q", c.raw, m.Warning)
		}
	}
}

func TestRefused(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`:                         "service must name a Worker",
		`{"service":"a","props":[]}`: "props must be a JSON object",
		`{"service":"a","props":1}`:  "props must be a JSON object",
	} {
		err := service.Kind{}.Validate(config.Binding{Name: "B", Raw: []byte(raw)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
