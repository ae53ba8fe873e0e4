package telemetry

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MaxMetricWorkers is how many Workers, and how many bindings of Workers, have
// series of their own; the others share those of the Worker "(other)", so that
// no number of deployments makes a scrape grow without bound.
const MaxMetricWorkers = 1000

// Metrics counts what happens, for Prometheus. A nil Metrics counts nothing.
// It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	faults   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	s3       *prometheus.CounterVec
	s3Time   *prometheus.HistogramVec
	s3Bytes  *prometheus.CounterVec
	events   *prometheus.CounterVec
	eventful *prometheus.HistogramVec
	calls    *prometheus.HistogramVec
	failed   *prometheus.CounterVec

	workers       sync.Map // name → *workerSeries
	known         atomic.Int64
	bindings      sync.Map // bindingKey → *bindingSeries
	knownBindings atomic.Int64
}

// workerSeries are the series of one Worker, looked up once.
type workerSeries struct {
	status   [6]prometheus.Counter // by the first digit of the status
	duration prometheus.Observer
	label    string
}

// bindingKey names a binding of a Worker.
type bindingKey struct{ worker, binding, kind string }

type bindingSeries struct {
	duration prometheus.Observer
	failed   prometheus.Counter
}

// NewMetrics returns metrics that already hold those of the process and of Go.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_requests_total", Help: "Requests answered, by Worker and class of status."}, []string{"worker", "status"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_request_errors_total", Help: "Requests answered with an error page, by Worker and Cloudflare's error number (0: plain HTTP)."}, []string{"worker", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "selvage_request_duration_seconds", Help: "From the header of a request to the end of its response, by Worker.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}}, []string{"worker"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_events_total", Help: "Events sent to Workers, by Worker, type and outcome of the handler; unreached: none ran, lost: nobody can tell."}, []string{"worker", "type", "outcome"}),
		eventful: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "selvage_event_duration_seconds", Help: "How long events were in a Worker's hands, by Worker and type.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 900}}, []string{"worker", "type"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "selvage_binding_duration_seconds", Help: "Calls of Workers to their bindings, by Worker, binding and type; fetch is the way out.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 2.5, 10}}, []string{"worker", "binding", "type"}),
		s3: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_s3_requests_total", Help: "Requests to R2's S3 API, by operation and class of status."}, []string{"operation", "status"}),
		s3Time: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "selvage_s3_duration_seconds", Help: "From the header of a request to the S3 API to the end of its response, by operation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600}}, []string{"operation"}),
		s3Bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_s3_bytes_total", Help: "Bytes of bodies at the S3 API, by direction: in or out."}, []string{"direction"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "selvage_binding_errors_total", Help: "Calls to bindings answered with a status of 500 and above."}, []string{"worker", "binding", "type"}),
	}
	m.registry.MustRegister(m.requests, m.faults, m.duration, m.events, m.eventful, m.calls, m.failed, m.s3, m.s3Time, m.s3Bytes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts a finished request. worker is empty for one that reached none;
// code is the number of the error page, negative without one.
func (m *Metrics) Request(worker string, status, code int, took time.Duration) {
	if m == nil {
		return
	}
	s := m.worker(worker)
	s.status[min(max(status/100, 0), 5)].Inc()
	s.duration.Observe(took.Seconds())
	if code >= 0 {
		m.faults.WithLabelValues(s.label, codeLabel(code)).Inc()
	}
}

// S3 counts a finished request to the S3 API. operation is empty for one that asked
// for none.
func (m *Metrics) S3(operation string, status int, took time.Duration, in, out int64) {
	if m == nil {
		return
	}
	m.s3.WithLabelValues(operation, strconv.Itoa(min(max(status/100, 0), 5))+"xx").Inc()
	m.s3Time.WithLabelValues(operation).Observe(took.Seconds())
	m.s3Bytes.WithLabelValues("in").Add(float64(in))
	m.s3Bytes.WithLabelValues("out").Add(float64(out))
}

// Event counts an event.
func (m *Metrics) Event(e Event) {
	if m == nil {
		return
	}
	worker := m.worker(e.Worker).label
	m.events.WithLabelValues(worker, e.Type, e.Outcome).Inc()
	m.eventful.WithLabelValues(worker, e.Type).Observe(e.Duration.Seconds())
}

// Call counts a call to a binding.
func (m *Metrics) Call(c Call) {
	if m == nil {
		return
	}
	s := m.binding(bindingKey{c.Worker, c.Binding, c.Type})
	s.duration.Observe(c.Duration.Seconds())
	if c.Status >= 500 {
		s.failed.Inc()
	}
}

// Gauge adds a value that is asked for at each scrape. labels are constant, in
// pairs of name and value.
func (m *Metrics) Gauge(name, help string, labels map[string]string, f func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
}

// Depth adds how many wait for a pool, asked for at each scrape.
func (m *Metrics) Depth(pool string, f func() int) {
	m.Gauge("selvage_queue_depth", "How many wait, by pool.", map[string]string{"pool": pool}, func() float64 { return float64(f()) })
}

// Counter adds a count that is asked for at each scrape.
func (m *Metrics) Counter(name, help string, f func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *Metrics) worker(name string) *workerSeries {
	if s, ok := m.workers.Load(name); ok {
		return s.(*workerSeries)
	}
	label := name
	if m.known.Load() >= MaxMetricWorkers {
		label = "(other)"
		if s, ok := m.workers.Load(label); ok {
			return s.(*workerSeries)
		}
	}
	s := &workerSeries{duration: m.duration.WithLabelValues(label), label: label}
	for i, class := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		s.status[i] = m.requests.WithLabelValues(label, class)
	}
	v, known := m.workers.LoadOrStore(label, s)
	if !known {
		m.known.Add(1)
	}
	return v.(*workerSeries)
}

func (m *Metrics) binding(key bindingKey) *bindingSeries {
	if s, ok := m.bindings.Load(key); ok {
		return s.(*bindingSeries)
	}
	if m.knownBindings.Load() >= MaxMetricWorkers {
		key.worker, key.binding = "(other)", "(other)"
		if s, ok := m.bindings.Load(key); ok {
			return s.(*bindingSeries)
		}
	}
	labels := []string{key.worker, key.binding, key.kind}
	v, known := m.bindings.LoadOrStore(key, &bindingSeries{m.calls.WithLabelValues(labels...), m.failed.WithLabelValues(labels...)})
	if !known {
		m.knownBindings.Add(1)
	}
	return v.(*bindingSeries)
}

// codeLabel keeps the label to Cloudflare's numbers.
func codeLabel(code int) string {
	if code >= 500 && code < 600 || code >= 1000 && code < 1200 {
		return strconv.Itoa(code)
	}
	return "0"
}
