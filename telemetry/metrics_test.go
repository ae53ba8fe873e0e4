package telemetry

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	m.Request("api", 200, -1, 3*time.Millisecond)
	m.Request("api", 503, 1102, time.Second)
	m.Request("", 404, 1104, time.Millisecond)
	m.Request("api", 413, 0, time.Millisecond)
	m.Request("api", 0, 1_000_000, time.Millisecond) // a number that is nobody's is no label
	m.Call(Call{Worker: "api", Binding: "DB", Type: "d1", Status: 200, Duration: 2 * time.Millisecond})
	m.Call(Call{Worker: "api", Binding: "DB", Type: "d1", Status: 500, Duration: 2 * time.Millisecond})
	m.Event(Event{Worker: "api", Type: "queue", Outcome: "ok", Duration: 2 * time.Second})
	m.Event(Event{Worker: "api", Type: "queue", Outcome: "exception", Duration: time.Millisecond})
	m.Gauge("selvage_depth", "Depth.", map[string]string{"pool": "x"}, func() float64 { return 7 })
	text := scrape(m)
	for _, want := range []string{
		`selvage_requests_total{status="2xx",worker="api"} 1`,
		`selvage_requests_total{status="5xx",worker="api"} 1`,
		`selvage_requests_total{status="none",worker="api"} 1`,
		`selvage_request_errors_total{code="1102",worker="api"} 1`,
		`selvage_request_errors_total{code="0",worker="api"} 2`,
		`selvage_request_errors_total{code="1104",worker=""} 1`,
		`selvage_request_duration_seconds_bucket{worker="api",le="0.005"} 3`,
		`selvage_binding_duration_seconds_count{binding="DB",type="d1",worker="api"} 2`,
		`selvage_binding_errors_total{binding="DB",type="d1",worker="api"} 1`,
		`selvage_events_total{outcome="ok",type="queue",worker="api"} 1`,
		`selvage_events_total{outcome="exception",type="queue",worker="api"} 1`,
		`selvage_event_duration_seconds_bucket{type="queue",worker="api",le="2.5"} 2`,
		`selvage_depth{pool="x"} 7`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
}

// No number of Workers makes a scrape grow without bound.
func TestMetricsAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range MaxMetricWorkers + 100 {
		m.Request(fmt.Sprintf("w%d", i), 200, -1, time.Millisecond)
		m.Call(Call{Worker: fmt.Sprintf("w%d", i), Binding: "KV", Type: "kv_namespace"})
		m.Event(Event{Worker: fmt.Sprintf("w%d", i), Type: "queue", Outcome: "ok"})
	}
	text := scrape(m)
	if n := strings.Count(text, `selvage_request_duration_seconds_count{`); n != MaxMetricWorkers+1 {
		t.Errorf("%d Workers have series", n)
	}
	if n := strings.Count(text, `selvage_events_total{`); n != MaxMetricWorkers+1 {
		t.Errorf("the events of %d Workers have series", n)
	}
	if n := strings.Count(text, `selvage_binding_duration_seconds_count{`); n != MaxMetricWorkers+1 {
		t.Errorf("%d bindings have series", n)
	}
	if !strings.Contains(text, `selvage_requests_total{status="2xx",worker="(other)"} 100`) {
		t.Error("the others are not counted together")
	}
}

func TestNoMetrics(t *testing.T) {
	var m *Metrics
	m.Request("api", 200, -1, 0)
	m.Call(Call{})
	m.Event(Event{})
	m.Gauge("x", "", nil, nil)
	m.Counter("x", "", nil)
}

func BenchmarkRequestMetric(b *testing.B) {
	m := NewMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.Request("api", 200, -1, time.Millisecond)
	}
}
