package dev

import (
	"net/http"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/project/manifest"
	"github.com/selvage-edge/selvage/telemetry"
)

// origin is the scheme and host of a URL. An empty scheme is whatever a request
// came with.
type origin struct{ scheme, host string }

// innerOrigin is where the Worker of a project shall believe to be asked: at
// dev.host, or at the host of its first route. The zero value: where it is asked.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/#local-development-settings
func innerOrigin(m *manifest.Manifest) origin {
	host := m.Dev.Host
	if host == "" && len(m.Routes) > 0 {
		host = routeHost(m.Routes[0])
	}
	if host == "" {
		return origin{}
	}
	return origin{m.Dev.UpstreamProtocol, host}
}

// routeHost is a host at which a route answers, empty if that may be any.
func routeHost(r config.Route) string {
	for _, pattern := range []string{r.Pattern, r.Zone} {
		_, rest, ok := strings.Cut(pattern, "://")
		if !ok {
			rest = pattern
		}
		host, _, _ := strings.Cut(rest, "/")
		host = strings.ReplaceAll(strings.ReplaceAll(host, "*.", ""), "*", "")
		if host != "" {
			return strings.ToLower(host)
		}
	}
	return ""
}

// located lets a Worker that is asked at an address of this machine see the
// request as it will see it where it is deployed: request.url and every header
// that names the host, Origin and Referer first of all. In what it answers,
// Location, Set-Cookie and all others lead back to this machine.
func (s *server) located(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	t, origins := telemetry.RequestFrom(r.Context()), *s.origins.Load()
	if len(origins) == 0 || t.Depth > 0 || s.platform.Edge.Serves(r.Host) {
		return next.ServeHTTP(w, r)
	}
	worker, _ := s.platform.Edge.Find(t.Scheme, r.Host, "/")
	inner, ok := origins[worker]
	if !ok {
		return next.ServeHTTP(w, r)
	}
	outer := origin{t.Scheme, r.Host}
	if inner.scheme == "" {
		inner.scheme = outer.scheme
	}
	rewrite(r.Header, outer, inner)
	edge.Rename(r, inner.host)
	t.Scheme = inner.scheme
	return next.ServeHTTP(&relocated{ResponseWriter: w, from: inner, to: outer}, r)
}

// relocated is a response whose header is rewritten when it begins.
type relocated struct {
	http.ResponseWriter
	from, to origin
	begun    bool
}

// Unwrap is for http.ResponseController.
func (w *relocated) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *relocated) WriteHeader(status int) {
	if !w.begun {
		w.begun = status >= 200 || status == http.StatusSwitchingProtocols
		rewrite(w.Header(), w.from, w.to)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *relocated) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *relocated) Flush() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	http.NewResponseController(w.ResponseWriter).Flush()
}

// rewrite changes one origin to another in all headers but those that tell of
// the client, as wrangler dev does; of a cookie only its Domain. Values are
// replaced, not changed: they may belong to more than one response.
func rewrite(h http.Header, from, to origin) {
	for name, values := range h {
		if strings.HasPrefix(name, "Cf-") || name == "X-Forwarded-For" || name == "X-Real-Ip" {
			continue
		}
		for i, v := range values {
			changed := v
			if name == "Set-Cookie" {
				changed = rewriteCookie(v, hostOnly(from.host), hostOnly(to.host))
			} else if strings.Contains(v, from.host) {
				changed = strings.ReplaceAll(v, from.scheme+"://"+from.host, to.scheme+"://"+to.host)
				changed = strings.ReplaceAll(changed, from.host, to.host)
			}
			if changed != v {
				values = slices.Clone(values)
				values[i] = changed
				h[name] = values
			}
		}
	}
}

func rewriteCookie(cookie, from, to string) string {
	parts := strings.Split(cookie, ";")
	for i, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.TrimSpace(name), "domain") && strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(value), "."), from) {
			parts[i+1] = name + "=" + to
		}
	}
	return strings.Join(parts, ";")
}
