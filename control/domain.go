package control

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/control/state"
)

// origin is a custom domain as clients write it.
type origin struct {
	Hostname string `json:"hostname"`
	ZoneID   string `json:"zone_id"`
	ZoneName string `json:"zone_name"`
}

func domainJSON(d state.Domain) map[string]any {
	return map[string]any{
		"id": d.ID, "hostname": d.Hostname, "service": d.Worker, "environment": "production",
		"zone_id": d.Zone, "zone_name": d.ZoneName, "enabled": true, "previews_enabled": false, "cert_id": "",
	}
}

// makeDomain validates a custom domain and finds its zone.
func (s *server) makeDomain(tx *state.Tx, o origin, worker string) (state.Domain, error) {
	hostname := strings.ToLower(o.Hostname)
	zone, err := zoneOf(tx, hostname, o.ZoneID, o.ZoneName)
	if err != nil {
		return state.Domain{}, err
	}
	if s.HostOwner != nil {
		if owner := s.HostOwner(hostname); owner != "" {
			return state.Domain{}, takenBy(hostname, owner)
		}
	}
	return state.Domain{Hostname: hostname, Worker: worker, Zone: zone.ID, ZoneName: zone.Name}, nil
}

// zoneOf finds the zone of a host that is to be somebody's, as findZone does.
func zoneOf(tx *state.Tx, hostname, id, name string) (state.Zone, error) {
	if err := checkHostname(hostname); err != nil {
		return state.Zone{}, badRequest(10081, "%q is not a valid hostname for a custom domain: %v", hostname, err)
	}
	zone, err := findZone(tx, hostname, id, name)
	if err == nil && !inZone(hostname, zone.Name) {
		err = badRequest(10081, "the custom domain %s is not in the zone %s", hostname, zone.Name)
	}
	return zone, err
}

func takenBy(hostname, owner string) error {
	return api.Errorf(http.StatusConflict, 100117, "the hostname %s already belongs to %s", hostname, owner)
}

// TakeHost is binding.Home.TakeHost for what is no Worker: take stores that the
// host has an owner, which hostOwner then names.
func TakeHost(ctx context.Context, st *state.Store, hostOwner func(host string) string, hostname, zone string, take func(binding.Zone) error) error {
	return st.Update(context.WithoutCancel(ctx), func(tx *state.Tx) error {
		z, err := zoneOf(tx, hostname, zone, "")
		if err != nil {
			return err
		}
		if d, err := tx.DomainByHostname(hostname); err == nil {
			return takenDomain(d)
		} else if !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if owner := hostOwner(hostname); owner != "" {
			return takenBy(hostname, owner)
		}
		return take(binding.Zone{ID: z.ID, Name: z.Name})
	})
}

// changes are what a list of origins would do to a Worker's custom domains.
type changes struct {
	added, updated, removed, conflicting []state.Domain
}

// compareDomains makes the changes that lead to the wanted origins. Domains
// that are not among them are removed when replace is set.
func (s *server) compareDomains(tx *state.Tx, worker string, wanted []origin, replace bool) (c changes, err error) {
	keep := map[string]bool{}
	for _, o := range wanted {
		d, err := s.makeDomain(tx, o, worker)
		if err != nil {
			return c, err
		}
		if keep[d.Hostname] {
			continue
		}
		keep[d.Hostname] = true
		old, err := tx.DomainByHostname(d.Hostname)
		switch {
		case errors.Is(err, state.ErrNotFound):
			c.added = append(c.added, d)
		case err != nil:
			return c, err
		case old.Worker != worker:
			c.conflicting = append(c.conflicting, old)
		default:
			d.ID = old.ID
			c.updated = append(c.updated, d)
		}
	}
	if !replace {
		return c, nil
	}
	all, err := tx.Domains()
	for _, d := range all {
		if d.Worker == worker && !keep[d.Hostname] {
			c.removed = append(c.removed, d)
		}
	}
	return c, err
}

// domainChangeset says what putting the origins would change.
func (s *server) domainChangeset(w http.ResponseWriter, r *http.Request) error {
	var wanted []origin
	if err := api.Decode(r, &wanted); err != nil {
		return err
	}
	var c changes
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		c, err = s.compareDomains(tx, worker.Name, wanted, r.URL.Query().Get("replace_state") == "true")
		return err
	})
	if err != nil {
		return err
	}
	show := func(list []state.Domain) []map[string]any {
		out := []map[string]any{}
		for _, d := range list {
			out = append(out, domainJSON(d))
		}
		return out
	}
	updated := show(c.updated)
	for _, d := range updated {
		d["modified"] = false
	}
	return api.Write(w, map[string]any{
		"added": show(c.added), "removed": show(c.removed), "updated": updated, "conflicting": show(c.conflicting),
	})
}

// putScriptDomains replaces all custom domains of a Worker.
func (s *server) putScriptDomains(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		OverrideExisting bool     `json:"override_existing_origin"`
		Origins          []origin `json:"origins"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	list := []map[string]any{}
	err := s.update(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		c, err := s.compareDomains(tx, worker.Name, body.Origins, true)
		if err != nil {
			return err
		}
		for _, d := range c.conflicting {
			if !body.OverrideExisting {
				return takenDomain(d)
			}
			if err := tx.DeleteDomain(d); err != nil { // touches the Worker that loses it
				return err
			}
			d.Worker = worker.Name
			c.added = append(c.added, d)
		}
		for _, d := range c.removed {
			if err := tx.DeleteDomain(d); err != nil {
				return err
			}
		}
		for _, d := range append(c.added, c.updated...) {
			if err := tx.PutDomain(&d); err != nil {
				return err
			}
			list = append(list, domainJSON(d))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

func takenDomain(d state.Domain) error {
	return api.Errorf(http.StatusConflict, 100117, "the hostname %s is already a custom domain of the Worker %q", d.Hostname, d.Worker)
}

func (s *server) listDomains(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		domains, err := tx.Domains()
		for _, d := range domains {
			if (q.Get("service") == "" || q.Get("service") == d.Worker) &&
				(q.Get("hostname") == "" || q.Get("hostname") == d.Hostname) &&
				(q.Get("zone_id") == "" || q.Get("zone_id") == d.Zone) &&
				(q.Get("zone_name") == "" || q.Get("zone_name") == d.ZoneName) {
				list = append(list, domainJSON(d))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	page, info := api.Paginate(r, list, 100)
	return api.WriteList(w, page, info)
}

// putDomain gives one hostname to a Worker.
func (s *server) putDomain(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		origin
		Service string `json:"service"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	var d state.Domain
	err := s.update(r, func(tx *state.Tx) error {
		if _, err := tx.Worker(body.Service); err != nil {
			return orNotFound(err, notFound(body.Service))
		}
		var err error
		if d, err = s.makeDomain(tx, body.origin, body.Service); err != nil {
			return err
		}
		old, err := tx.DomainByHostname(d.Hostname)
		if err == nil && old.Worker != d.Worker {
			return takenDomain(old)
		}
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		d.ID = old.ID
		return tx.PutDomain(&d)
	})
	if err != nil {
		return err
	}
	return api.Write(w, domainJSON(d))
}

func (s *server) domain(tx *state.Tx, r *http.Request) (state.Domain, error) {
	d, err := tx.Domain(r.PathValue("domain"))
	return d, orNotFound(err, api.Errorf(http.StatusNotFound, 100114, "there is no custom domain with the id %s", r.PathValue("domain")))
}

func (s *server) getDomain(w http.ResponseWriter, r *http.Request) error {
	return s.view(r, func(tx *state.Tx) error {
		d, err := s.domain(tx, r)
		if err != nil {
			return err
		}
		return api.Write(w, domainJSON(d))
	})
}

func (s *server) deleteDomain(w http.ResponseWriter, r *http.Request) error {
	err := s.update(r, func(tx *state.Tx) error {
		d, err := s.domain(tx, r)
		if err != nil {
			return err
		}
		return tx.DeleteDomain(d)
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"id": r.PathValue("domain")})
}
