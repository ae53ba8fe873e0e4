package service

import (
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

var _ binding.GoKind = Kind{}

// Service is another Worker, written in JavaScript or in Go, for a Worker
// written in Go. It is an http.RoundTripper, hence the Transport of an
// http.Client; the host in the URL is whatever the other Worker should see.
// No network is in between: requests and responses stream through this process.
//
// A Worker that cannot answer gives an error in whose chain is a *fault.Fault.
// Service is safe for concurrent use.
type Service struct {
	call func(w http.ResponseWriter, r *http.Request) error
}

var _ http.RoundTripper = Service{}

// errUnbound is what the zero Service says.
var errUnbound = errors.New("the service is not bound: it belongs into a field, with a binding tag, of a Worker's environment")

// New makes a Service of a function that answers requests.
func New(call func(w http.ResponseWriter, r *http.Request) error) Service { return Service{call} }

// RoundTrip implements http.RoundTripper.
func (s Service) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.call == nil {
		return nil, errUnbound
	}
	return hop.Direct(s.call).RoundTrip(r.WithContext(telemetry.WithRequest(r.Context(), subrequest(r))))
}

// Client returns an http.Client that calls the Worker. As fetch() on a service
// binding with redirect "manual" it hands redirects to the caller.
func (s Service) Client() *http.Client {
	return &http.Client{Transport: s, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// subrequest is the record of a request that r's context makes: the one's it
// belongs to, with the scheme of the URL.
func subrequest(r *http.Request) *telemetry.Request {
	record := telemetry.Request{}
	if parent := telemetry.RequestFrom(r.Context()); parent != nil {
		record = *parent
	} else {
		record.Ray = telemetry.NewRay()
	}
	if record.Scheme = "http"; r.URL != nil && r.URL.Scheme == "https" {
		record.Scheme = "https"
	}
	return &record
}

// Bind implements binding.GoKind for a Service, an *http.Client or an
// http.RoundTripper. Entrypoints other than the default one are for
// JavaScript.
func (Kind) Bind(b config.Binding, at binding.Host, to any) error {
	s, err := decode(b)
	if err != nil {
		return err
	}
	peer := s.peer()
	service := New(func(w http.ResponseWriter, r *http.Request) error { return at.Call(w, r, peer) })
	switch p := to.(type) {
	case *Service:
		*p = service
	case **http.Client:
		*p = service.Client()
	case *http.RoundTripper:
		*p = service
	default:
		return &binding.TypeError{Types: "selvage.Service, *http.Client or http.RoundTripper"}
	}
	return nil
}
