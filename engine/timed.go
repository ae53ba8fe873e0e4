package engine

import (
	"net/http"
	"time"
)

// timed tells Options.Calls how long h takes.
func (e *Engine) timed(kind string, h http.Handler) http.Handler {
	if e.o.Calls == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, status := time.Now(), statusOf{ResponseWriter: w}
		defer func() { e.o.Calls(kind, status.code, time.Since(begin)) }()
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
