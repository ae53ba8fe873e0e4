package engine

import (
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// timed tells Options.Calls of each call of a Worker that h answers.
func (e *Engine) timed(p *plan, v *config.Version, name, kind string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mark.key(r)
		if e.o.Calls == nil {
			h.ServeHTTP(w, r)
			return
		}
		begin, status, ray := time.Now(), statusOf{ResponseWriter: w, code: http.StatusOK}, rayOf(r.Header)
		defer func() {
			e.o.Calls(telemetry.Call{
				Worker: v.Worker, Binding: name, Type: kind, Ray: ray, Status: status.code, Duration: time.Since(begin),
			})
		}()
		h.ServeHTTP(&status, r)
	})
}

// statusOf remembers the status of a response.
type statusOf struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (s *statusOf) Unwrap() http.ResponseWriter { return s.ResponseWriter }
