package platform

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/ruleset"
)

// BenchmarkRules is what the phases cost a request of the edge: without them,
// with none configured, and with a hundred rules of which none matches.
func BenchmarkRules(b *testing.B) {
	var many ruleset.Rules
	for i := range 100 {
		many.Firewall = append(many.Firewall, ruleset.FirewallRule{Action: "block", Rule: ruleset.Rule{
			Expression: fmt.Sprintf(`http.host eq "shop%d.example.com" and starts_with(http.request.uri.path, "/admin") and not ip.src in {192.0.2.0/24}`, i)}})
	}
	set, problems := ruleset.Compile(many, nil)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	o := Options{NoCompression: true}
	for _, c := range []struct {
		name   string
		stages []edge.Stage
	}{{"absent", nil}, {"none", pipeline(o, newPhases(nil, nil))}, {"hundred", pipeline(o, newPhases(set, nil))}} {
		b.Run(c.name, func(b *testing.B) {
			v := new(config.Value)
			v.Set(&config.Snapshot{Default: "web", Workers: map[string]*config.Worker{"web": {Name: "web"}}})
			e := edge.New(edge.Options{Source: v, Stages: c.stages, Logger: slog.New(slog.DiscardHandler), Target: func(w http.ResponseWriter, _ *http.Request, _, _ string) error {
				w.WriteHeader(http.StatusNoContent)
				return nil
			}})
			r := httptest.NewRequest("GET", "/hello?name=a", nil)
			r.Header.Set("User-Agent", "bench")
			b.ReportAllocs()
			for b.Loop() {
				e.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
