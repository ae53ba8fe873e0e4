package egress

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// The client is told to the operator's own servers and to nobody else; nobody
// is told what the Worker says about it.
func TestWhoIsToldTheClient(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(r.Header) })
	const ray = "0123456789abcdef"
	w := start(t, Options{
		Resolver: fixed(map[string]string{"outside.example": "8.8.8.8"}),
		Origins:  map[string]*url.URL{"own.example": mustURL("http://" + s.Listener.Addr().String())},
		Caller: func(id string) *telemetry.Request {
			if id != ray {
				return nil
			}
			return &telemetry.Request{Ray: ray, ClientIP: netip.MustParseAddr("203.0.113.9"), Loops: 4}
		},
	}, s.Listener.Addr().String())
	for _, c := range []struct {
		host, ray    string
		client, kept string // what arrives as CF-Connecting-IP and CF-Ray
		loops        string
	}{
		{"own.example", ray + "-LOC", "203.0.113.9", ray + "-LOC", "loops=5"},
		{"own.example", ray, "203.0.113.9", ray, "loops=5"},
		{"own.example", "fedcba9876543210-LOC", "", "fedcba9876543210-LOC", "loops=1"}, // has been answered
		{"own.example", "", "", "", "loops=1"},
		{"own.example", "nonsense", "", "", "loops=1"},
		{"own.example", "0123456789abcdeg", "", "", "loops=1"},
		{"own.example", ray + "-loc", "203.0.113.9", "", "loops=5"},
		{"outside.example", ray + "-LOC", "", ray + "-LOC", "loops=5"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = c.host
		for name, value := range map[string]string{"CF-Connecting-IP": "6.6.6.6", "CF-IPCountry": "XX", "CF-EW-Via": "3", "CF-Ray": c.ray} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		rec := httptest.NewRecorder()
		w.For(&config.Version{Worker: "api"}).ServeHTTP(rec, r)
		h := http.Header{}
		if err := json.Unmarshal(rec.Body.Bytes(), &h); err != nil {
			t.Fatalf("%s: %d %s", c.host, rec.Code, rec.Body)
		}
		if h.Get("CF-Connecting-IP") != c.client || h.Get("CF-Ray") != c.kept || !strings.HasSuffix(h.Get("CDN-Loop"), c.loops) {
			t.Errorf("%s with the Ray ID %q: %v", c.host, c.ray, h)
		}
		if h.Get("CF-IPCountry")+h.Get("CF-EW-Via") != "" || h.Get("CF-Worker") != "api" || h.Get("CF-Visitor") != `{"scheme":"http"}` {
			t.Errorf("%s: %v", c.host, h)
		}
	}
}
