package transform

import (
	"net/http"
	"slices"
	"testing"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/internal/edgetest"
	"github.com/selvage-edge/selvage/ruleset"
)

func TestRequest(t *testing.T) {
	stage := &Request{}
	stage.Rules.Set(edgetest.Compile(t, ruleset.Rules{RequestHeaders: []ruleset.HeaderRule{
		{Rule: ruleset.Rule{Expression: `true`}, Set: map[string]string{"x-static": "a"}, SetExpression: map[string]string{
			"X-Path": `concat(http.request.method, " ", http.request.uri.path)`, "X-Missing": `http.request.headers["x-none"][0]`,
			"X-Decoded": `url_decode(http.request.uri.query)`, "X-Id": `uuidv4(cf.random_seed)`, "X-Port": `to_string(cf.edge.server_port)`,
		}, Remove: []string{"X-Secret", "X-Forwarded-For"}},
		{Rule: ruleset.Rule{Expression: `any(http.request.headers["x-static"][*] eq "a")`}, Set: map[string]string{"X-Second": "sees the first"}},
	}}).RequestHeaders)
	s := edgetest.Start(t, stage)
	h := s.Asked("http://a.example/p?q%0d%0aX-Forged:%201", "X-Secret: s", "X-Decoded: mine", "X-Missing: kept").Header
	for name, want := range map[string]string{
		"X-Static": "a", "X-Path": "GET /p", "X-Missing": "kept", "X-Secret": "", "X-Second": "sees the first", "X-Forwarded-For": "",
		"X-Decoded": "mine", "X-Forged": "", "Cf-Connecting-Ip": "127.0.0.1",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(h.Get("X-Id")) != 36 || len(h.Get("X-Port")) < 4 {
		t.Errorf("%v", h)
	}
}

// blocks fails and answers.
type blocks struct{}

func (blocks) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	switch r.URL.Path {
	case "/blocked":
		return fault.AccessDenied.With("no", nil)
	case "/broken":
		return fault.OriginDown.With("no", nil)
	case "/own":
		edge.Refused(r, fault.AccessDenied)
		w.WriteHeader(451)
		return nil
	}
	return next.ServeHTTP(w, r)
}

func TestResponse(t *testing.T) {
	stage := &Response{}
	stage.Rules.Set(edgetest.Compile(t, ruleset.Rules{ResponseHeaders: []ruleset.HeaderRule{
		{Rule: ruleset.Rule{Expression: `true`}, Set: map[string]string{"Strict-Transport-Security": "max-age=1"}, Remove: []string{"X-Worker"}, SetExpression: map[string]string{
			"X-Code": `concat(to_string(http.response.code), " ", to_string(cf.response.1xxx_code), " ", cf.response.error_type, " ", http.response.content_type.media_type, " ", raw.http.response.headers["x-worker"][0])`,
			"X-Uri":  `http.request.uri`, "X-Last": `split(http.request.uri.path, "/", 3)[1]`,
		}},
		{Rule: ruleset.Rule{Expression: `http.response.code eq 404`}, Add: map[string]string{"X-More": "1"}},
		{Rule: ruleset.Rule{Expression: `http.response.code eq 404 and any(http.response.headers["x-more"][*] eq "1")`}, AddExpression: map[string]string{"X-More": `concat("2", "")`}},
		{Rule: ruleset.Rule{Expression: `any(http.request.body.form["op"][*] eq "read")`}, Set: map[string]string{"X-Op": "read"}},
	}}).ResponseHeaders)
	s := edgetest.Start(t, stage, blocks{})
	for _, c := range []struct {
		path, code string
		more       []string
	}{
		{"/a/b?c", "200 0  application/json echo", nil},
		{"/404", "404 0  application/json echo", []string{"1", "2"}},
		{"/blocked", "403 1020 waf text/plain", nil},
		{"/broken", "521 0 5xx text/plain", nil},
		{"/own", "451 1020 waf", nil},
	} {
		res, _ := s.Do("GET", "http://a.example"+c.path, "")
		h := res.Header
		if got := h.Get("X-Code"); got != c.code || h.Get("X-Worker") != "" || h.Get("Strict-Transport-Security") != "max-age=1" || h.Get("X-Uri") != c.path || !slices.Equal(h["X-More"], c.more) {
			t.Errorf("%s: %q %v", c.path, got, h)
		}
		if h.Get("Server") != "selvage" || h.Get("Cf-Ray") == "" {
			t.Errorf("%s: %v", c.path, h)
		}
	}
	res, text := s.Do("POST", "http://a.example/", "op=read", "Content-Type: application/x-www-form-urlencoded")
	if res.Header.Get("X-Op") != "read" || text == "" {
		t.Errorf("%v %s", res.Header, text)
	}
}
