package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"time"

	"github.com/selvage-edge/selvage/engine"
)

// inspect serves the DevTools protocol on one address for all Workers. Cells
// come and go with every reload; what is attached to a Worker's address here
// reaches the cell that runs now.
//
// Source: https://chromedevtools.github.io/devtools-protocol/#endpoints
func (s *server) inspect(address string) (stop func() error, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for DevTools: %w; choose another address with --inspect", err)
	}
	own := l.Addr().String()
	mux := http.NewServeMux()
	list := func(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.inspectTargets(r.Host)) }
	mux.HandleFunc("GET /json", list)
	mux.HandleFunc("GET /json/list", list)
	mux.HandleFunc("GET /json/version", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]string{"Browser": "selvage/dev", "Protocol-Version": "1.3"})
	})
	mux.HandleFunc("GET /{worker}", s.inspectWorker)
	server := &http.Server{Handler: s.mayAttach(mux), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	s.console.note("", "DevTools can attach at "+own+": open chrome://inspect and add it under Configure")
	return server.Close, nil
}

// frontends are the pages that wrangler lets attach: Cloudflare's DevTools.
var frontends = regexp.MustCompile(`^(devtools\.devprod\.cloudflare\.dev|([a-z0-9]+-)?cloudflare-devtools\.devprod\.workers\.dev|([a-z0-9]+\.)?cloudflare-devtools\.pages\.dev)$`)

// mayAttach refuses what a web page could send: the protocol runs code and asks
// for no password. DNS rebinding shows in Host, other pages in Origin.
func (s *server) mayAttach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.names.has(r.Host):
			http.Error(w, fmt.Sprintf("DevTools may not attach under the host %q, which a web page could have made lead here; "+
				"if it is yours, start selvage dev with --allow-host %[1]s", hostOnly(r.Host)), http.StatusForbidden)
		case !devTools(r.Header.Get("Origin")):
			http.Error(w, "only DevTools may attach, not other pages", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// devTools reports whether an Origin is DevTools': it has none outside of a
// browser, is part of one, or is a page of Cloudflare's or of this machine.
func devTools(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	switch u.Scheme {
	case "devtools", "chrome-devtools":
		return true
	case "https":
		if frontends.MatchString(u.Host) {
			return true
		}
	case "http":
	default:
		return false
	}
	return ownPage(u.Host)
}

// inspectTargets lists the Workers in the form of the /json endpoint.
func (s *server) inspectTargets(host string) []map[string]string {
	targets := []map[string]string{}
	for _, p := range s.projects {
		name := p.Manifest.Name
		address := host + "/" + name
		targets = append(targets, map[string]string{
			"id": name, "title": "Worker " + name, "type": "node", "description": "workers",
			"url":                  "https://workers.dev",
			"webSocketDebuggerUrl": "ws://" + address,
			"devtoolsFrontendUrl":  "devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws=" + address,
		})
	}
	return targets
}

// inspectWorker connects DevTools to the Worker's cell, starting it if none runs.
func (s *server) inspectWorker(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("worker")
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	if err := s.platform.Engine.Start(ctx, name); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	var cell engine.CellInfo
	for _, c := range s.platform.Engine.Cells() {
		if c.Worker == name && c.State == "running" && c.Inspector != "" {
			cell = c
		}
	}
	if cell.Inspector == "" {
		http.Error(w, "no process of the Worker "+name+" runs", http.StatusNotFound)
		return
	}
	// The user's Worker is the service "user" of its cell.
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: cell.Inspector})
		p.Out.URL.Path = "/user"
		p.Out.Host = cell.Inspector
		p.Out.Header.Del("Origin")
	}}
	proxy.ServeHTTP(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // DevTools is gone if this fails
}
