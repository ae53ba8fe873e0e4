package api

import "net/http"

// Group makes the routes of one product.
type Group struct {
	// Scope is what a token must allow; see [Route].
	Scope string
	// Report turns an error of the product, or nil, into one of the API. Nil: the
	// product's errors are those of the API.
	Report func(error) error
}

// Read makes a route that changes nothing.
func (g Group) Read(method, path string, h func(http.ResponseWriter, *http.Request) error) Route {
	handle := h
	if g.Report != nil {
		handle = func(w http.ResponseWriter, r *http.Request) error { return g.Report(h(w, r)) }
	}
	return Route{Method: method, Path: path, Scope: g.Scope, Handle: handle}
}

// Edit makes a route that changes state.
func (g Group) Edit(method, path string, h func(http.ResponseWriter, *http.Request) error) Route {
	r := g.Read(method, path, h)
	r.Edit = true
	return r
}
