package edge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

// The record of a request is found as long as it is answered.
func TestOpen(t *testing.T) {
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "web"})
	var e *Edge
	e, addr := start(t, Options{Source: v}, nil, func(w http.ResponseWriter, r *http.Request) error {
		record := telemetry.RequestFrom(r.Context())
		fmt.Fprintln(w, record.Ray, e.Open(record.Ray) == record, e.Open("") == nil, e.Open("0123456789abcdef") == nil)
		return nil
	})
	_, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	ray, found, _ := strings.Cut(body, " ")
	if found != "true true true\n" {
		t.Errorf("%s", body)
	}
	if !poll.Within(poll.Patience, func() bool { return e.Open(ray) == nil }) {
		t.Error("a request is open after its end")
	}
}

// What left Workers here too often is refused when it comes back, through
// whatever other servers.
func TestLoopsThroughOthers(t *testing.T) {
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "web"})
	_, addr := start(t, Options{Source: v}, nil, func(w http.ResponseWriter, r *http.Request) error {
		fmt.Fprint(w, telemetry.RequestFrom(r.Context()).Loops)
		return nil
	})
	for header, want := range map[string]string{
		"cloudflare; loops=99":           "0",
		"selvage; loops=16":              "16",
		"other, selvage; loops=17":       "error code: 1019",
		"selvage; loops=18, cloudflare":  "error code: 1019",
		strings.Repeat("selvage, ", 17):  "error code: 1019",
		strings.Repeat("selvage,", 2):    "2",
		"selvage; loops=1, selvage; x=y": "2",
	} {
		_, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: a.example\r\nCDN-Loop: "+header+"\r\nConnection: close\r\n\r\n")
		if !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s", header, body, want)
		}
	}
}
