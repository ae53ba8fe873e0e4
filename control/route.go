package control

import (
	"errors"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// checkPattern says what is wrong with a route pattern and returns its host
// without a leading asterisk.
//
// Source: https://developers.cloudflare.com/workers/configuration/routing/routes/#matching-behavior
func checkPattern(pattern string) (host string, err error) {
	rest := pattern
	if scheme, after, ok := strings.Cut(pattern, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return "", badRequest(10022, "invalid route pattern %q: the scheme must be http or https", pattern)
		}
		rest = after
	}
	host, path, _ := strings.Cut(rest, "/")
	host = strings.ToLower(host)
	wild := strings.HasPrefix(host, "*")
	host = strings.TrimPrefix(strings.TrimPrefix(host, "*"), ".")
	switch {
	case strings.ContainsAny(pattern, "?#"):
		return "", badRequest(10022, "invalid route pattern %q: a pattern has no query string", pattern)
	case strings.Contains(strings.TrimSuffix(path, "*"), "*"):
		return "", badRequest(10022, "invalid route pattern %q: an asterisk stands only at the beginning of the host or the end of the path", pattern)
	case host == "" && wild:
		return "", nil // every host of the zone, which must then be named
	}
	if err := checkHostname(host); err != nil {
		return "", badRequest(10022, "invalid route pattern %q: the host is not valid: %v", pattern, err)
	}
	return host, nil
}

// makeRoute validates a route and finds its zone.
func makeRoute(tx *state.Tx, pattern, worker, zoneID, zoneName string) (state.Route, error) {
	host, err := checkPattern(pattern)
	if err != nil {
		return state.Route{}, err
	}
	zone, err := findZone(tx, host, zoneID, zoneName)
	if err != nil {
		return state.Route{}, err
	}
	if host != "" && !inZone(host, zone.Name) {
		return state.Route{}, badRequest(10022, "Route pattern must include zone name: %s (zone %s)", pattern, zone.Name)
	}
	return state.Route{Pattern: pattern, Worker: worker, Zone: zone.ID, ZoneName: zone.Name}, nil
}

// takePattern gives route the id of the route that has its pattern already. A
// pattern that leads to another Worker is not taken away from it.
func takePattern(tx *state.Tx, route *state.Route) error {
	old, err := tx.RouteByPattern(route.Pattern)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if old.ID == route.ID {
		return nil
	}
	if old.Worker != route.Worker {
		return api.Errorf(http.StatusConflict, 10020, "Can't deploy route %q that is assigned to the Worker %q; delete it there first", route.Pattern, old.Worker)
	}
	route.ID = old.ID
	return nil
}

func routeJSON(r state.Route) map[string]any {
	return map[string]any{"id": r.ID, "pattern": r.Pattern, "script": r.Worker, "zone_id": r.Zone, "zone_name": r.ZoneName, "request_limit_fail_open": false}
}

func (s *server) routesOf(tx *state.Tx, keep func(state.Route) bool) ([]map[string]any, error) {
	list := []map[string]any{}
	routes, err := tx.Routes()
	for _, x := range routes {
		if keep(x) {
			list = append(list, routeJSON(x))
		}
	}
	return list, err
}

// listRoutes answers with the routes that the filter keeps.
func (s *server) listRoutes(w http.ResponseWriter, r *http.Request, filter func(tx *state.Tx) (keep func(state.Route) bool, err error)) error {
	var list []map[string]any
	err := s.view(r, func(tx *state.Tx) error {
		keep, err := filter(tx)
		if err != nil {
			return err
		}
		list, err = s.routesOf(tx, keep)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

func (s *server) listScriptRoutes(w http.ResponseWriter, r *http.Request) error {
	return s.listRoutes(w, r, func(tx *state.Tx) (func(state.Route) bool, error) {
		worker, err := s.worker(tx, r)
		return func(x state.Route) bool { return x.Worker == worker.Name }, err
	})
}

// putScriptRoutes replaces all routes of a Worker, in every zone.
func (s *server) putScriptRoutes(w http.ResponseWriter, r *http.Request) error {
	var body []struct {
		Pattern  string `json:"pattern"`
		ZoneID   string `json:"zone_id"`
		ZoneName string `json:"zone_name"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	var list []map[string]any
	err := s.update(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, x := range body {
			route, err := makeRoute(tx, x.Pattern, worker.Name, x.ZoneID, x.ZoneName)
			if err != nil {
				return err
			}
			if err := takePattern(tx, &route); err != nil {
				return err
			}
			if err := tx.PutRoute(&route); err != nil {
				return err
			}
			wanted[route.ID] = true
		}
		routes, err := tx.Routes()
		if err != nil {
			return err
		}
		for _, old := range routes {
			if old.Worker != worker.Name || wanted[old.ID] {
				continue
			}
			if err := tx.DeleteRoute(old); err != nil {
				return err
			}
		}
		list, err = s.routesOf(tx, func(x state.Route) bool { return x.Worker == worker.Name })
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

func (s *server) listZoneRoutes(w http.ResponseWriter, r *http.Request) error {
	return s.listRoutes(w, r, func(tx *state.Tx) (func(state.Route) bool, error) {
		zone, err := s.zone(tx, r)
		return func(x state.Route) bool { return x.Zone == zone.ID }, err
	})
}

// zoneRoute returns the route that the path names.
func (s *server) zoneRoute(tx *state.Tx, r *http.Request) (state.Route, error) {
	route, err := tx.Route(r.PathValue("route"))
	if err == nil && route.Zone != r.PathValue("zone") {
		err = state.ErrNotFound
	}
	return route, orNotFound(err, api.Errorf(http.StatusNotFound, 10009, "this zone has no route with the id %s", r.PathValue("route")))
}

func (s *server) getZoneRoute(w http.ResponseWriter, r *http.Request) error {
	return s.view(r, func(tx *state.Tx) error {
		route, err := s.zoneRoute(tx, r)
		if err != nil {
			return err
		}
		return api.Write(w, routeJSON(route))
	})
}

// postZoneRoute adds a route. Without a script no Worker runs for the pattern.
func (s *server) postZoneRoute(w http.ResponseWriter, r *http.Request) error {
	return s.writeZoneRoute(w, r, "")
}

func (s *server) putZoneRoute(w http.ResponseWriter, r *http.Request) error {
	return s.writeZoneRoute(w, r, r.PathValue("route"))
}

func (s *server) writeZoneRoute(w http.ResponseWriter, r *http.Request, id string) error {
	var body struct {
		Pattern string `json:"pattern"`
		Script  string `json:"script"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	var route state.Route
	err := s.update(r, func(tx *state.Tx) error {
		zone, err := s.zone(tx, r)
		if err != nil {
			return err
		}
		if id != "" {
			if _, err := s.zoneRoute(tx, r); err != nil {
				return err
			}
		}
		if body.Script != "" {
			if _, err := tx.Worker(body.Script); err != nil {
				return orNotFound(err, notFound(body.Script))
			}
		}
		if route, err = makeRoute(tx, body.Pattern, body.Script, zone.ID, ""); err != nil {
			return err
		}
		if old, err := tx.RouteByPattern(body.Pattern); err == nil && old.ID != id {
			return api.Errorf(http.StatusConflict, 10020, "A route with the same pattern already exists: %s leads to the Worker %q", old.Pattern, old.Worker)
		}
		route.ID = id
		return tx.PutRoute(&route)
	})
	if err != nil {
		return err
	}
	return api.Write(w, routeJSON(route))
}

func (s *server) deleteZoneRoute(w http.ResponseWriter, r *http.Request) error {
	err := s.update(r, func(tx *state.Tx) error {
		route, err := s.zoneRoute(tx, r)
		if err != nil {
			return err
		}
		return tx.DeleteRoute(route)
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"id": r.PathValue("route")})
}
