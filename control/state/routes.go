package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Zone is a domain whose hostnames can be routed to Workers.
type Zone struct {
	// ID is 32 hexadecimal characters.
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Normalization is nil for the server's.
	Normalization *config.Normalization `json:"normalization,omitempty"`
}

// Route sends what matches a pattern to a Worker.
type Route struct {
	ID      string `json:"id"`
	Pattern string `json:"pattern"`
	// Worker may be empty: no Worker runs for the pattern.
	Worker string `json:"worker,omitempty"`
	// Zone is the zone's id and ZoneName its name.
	Zone     string `json:"zone"`
	ZoneName string `json:"zone_name"`
}

// Domain gives a whole hostname to a Worker.
type Domain struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname"`
	Worker   string `json:"worker"`
	Zone     string `json:"zone"`
	ZoneName string `json:"zone_name"`
}

// EnsureZones adds the zones that are not there yet, for instance those of the
// server's configuration file.
func (s *Store) EnsureZones(ctx context.Context, names ...string) error {
	return s.Update(ctx, func(tx *Tx) error {
		for _, name := range names {
			_, err := tx.ZoneByName(name)
			if errors.Is(err, ErrNotFound) {
				_, err = tx.AddZone(name)
			}
			if err != nil {
				return fmt.Errorf("zone %s: %w", name, err)
			}
		}
		return nil
	})
}

// Zones returns all zones by name.
func (tx *Tx) Zones() ([]Zone, error) {
	return records[Zone](tx, "SELECT data FROM zones ORDER BY name")
}

// Zone returns the zone with the id, or ErrNotFound.
func (tx *Tx) Zone(id string) (Zone, error) {
	return record[Zone](tx, "SELECT data FROM zones WHERE id = ?", id)
}

// ZoneByName returns the zone called name, or ErrNotFound.
func (tx *Tx) ZoneByName(name string) (Zone, error) {
	return record[Zone](tx, "SELECT data FROM zones WHERE name = ?", name)
}

// AddZone adds a zone, whose name must be new.
func (tx *Tx) AddZone(name string) (Zone, error) {
	z := Zone{ID: NewID(), Name: name, Created: tx.Now()}
	tx.note("zone", name, nil, z)
	return z, tx.exec("INSERT INTO zones (id, name, data) VALUES (?, ?, ?)", z.ID, z.Name, encode(z))
}

// PutZone writes the settings of a zone that is there.
func (tx *Tx) PutZone(z Zone) error {
	before, err := tx.Zone(z.ID)
	if err != nil {
		return err
	}
	tx.note("zone", z.Name, before, z)
	tx.routes = true
	return tx.exec("UPDATE zones SET data = ? WHERE id = ?", encode(z), z.ID)
}

// configZones are the zones with settings of their own.
func (tx *Tx) configZones() (map[string]config.Zone, error) {
	zones, err := tx.Zones()
	m := map[string]config.Zone{}
	for _, z := range zones {
		if z.Normalization != nil {
			m[z.Name] = config.Zone{Normalization: *z.Normalization}
		}
	}
	return m, err
}

// DeleteZone deletes a zone with its routes and domains.
func (tx *Tx) DeleteZone(id string) error {
	z, err := tx.Zone(id)
	if err != nil {
		return err
	}
	losing, err := tx.column("SELECT worker FROM routes WHERE zone = ?1 AND worker IS NOT NULL UNION SELECT worker FROM domains WHERE zone = ?1", id)
	if err != nil {
		return err
	}
	for _, worker := range losing {
		if err := tx.touch(worker); err != nil {
			return err
		}
	}
	tx.note("zone", z.Name, z, nil)
	tx.routes = true
	return tx.exec("DELETE FROM zones WHERE id = ?", id)
}

// Routes returns all routes by pattern.
func (tx *Tx) Routes() ([]Route, error) {
	return records[Route](tx, "SELECT data FROM routes ORDER BY pattern")
}

// Route returns the route with the id, or ErrNotFound.
func (tx *Tx) Route(id string) (Route, error) {
	return record[Route](tx, "SELECT data FROM routes WHERE id = ?", id)
}

// RouteByPattern returns the route with exactly this pattern, or ErrNotFound.
func (tx *Tx) RouteByPattern(pattern string) (Route, error) {
	return record[Route](tx, "SELECT data FROM routes WHERE pattern = ?", pattern)
}

// PutRoute writes r and gives it an id if it has none.
func (tx *Tx) PutRoute(r *Route) error {
	if r.ID == "" {
		r.ID = NewID()
	} else if before, err := tx.Route(r.ID); err == nil {
		if err := tx.touchRoute(before, before, nil); err != nil {
			return err
		}
	}
	if err := tx.touchRoute(*r, nil, *r); err != nil {
		return err
	}
	var worker any
	if r.Worker != "" {
		worker = r.Worker
	}
	return tx.exec(`INSERT INTO routes (id, pattern, worker, zone, data) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET pattern = excluded.pattern, worker = excluded.worker, zone = excluded.zone, data = excluded.data`,
		r.ID, r.Pattern, worker, r.Zone, encode(r))
}

// DeleteRoute deletes a route.
func (tx *Tx) DeleteRoute(r Route) error {
	if err := tx.touchRoute(r, r, nil); err != nil {
		return err
	}
	return tx.exec("DELETE FROM routes WHERE id = ?", r.ID)
}

// Domains returns all custom domains by hostname.
func (tx *Tx) Domains() ([]Domain, error) {
	return records[Domain](tx, "SELECT data FROM domains ORDER BY hostname")
}

// Domain returns the custom domain with the id, or ErrNotFound.
func (tx *Tx) Domain(id string) (Domain, error) {
	return record[Domain](tx, "SELECT data FROM domains WHERE id = ?", id)
}

// DomainByHostname returns the custom domain for a hostname, or ErrNotFound.
func (tx *Tx) DomainByHostname(hostname string) (Domain, error) {
	return record[Domain](tx, "SELECT data FROM domains WHERE hostname = ?", hostname)
}

// PutDomain writes d and gives it an id if it has none.
func (tx *Tx) PutDomain(d *Domain) error {
	if d.ID == "" {
		d.ID = NewID()
	}
	if err := tx.touchRouted(d.Worker); err != nil {
		return err
	}
	return tx.exec(`INSERT INTO domains (id, hostname, worker, zone, data) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, worker = excluded.worker, zone = excluded.zone, data = excluded.data`,
		d.ID, d.Hostname, d.Worker, d.Zone, encode(d))
}

// DeleteDomain deletes a custom domain.
func (tx *Tx) DeleteDomain(d Domain) error {
	if err := tx.touchRouted(d.Worker); err != nil {
		return err
	}
	return tx.exec("DELETE FROM domains WHERE id = ?", d.ID)
}

// touchRoute is touchRouted for a route that may belong to no Worker.
func (tx *Tx) touchRoute(r Route, before, after any) error {
	if r.Worker == "" {
		tx.note("route", r.Pattern, before, after)
	}
	return tx.touchRouted(r.Worker)
}

func (tx *Tx) touchRouted(worker string) error {
	tx.routes = true
	if worker == "" {
		return nil
	}
	return tx.touch(worker)
}

func (tx *Tx) configRoutes() ([]config.Route, error) {
	routes, err := tx.Routes()
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	domains, err := tx.Domains()
	if err != nil {
		return nil, fmt.Errorf("domains: %w", err)
	}
	list := make([]config.Route, 0, len(routes)+len(domains))
	for _, r := range routes {
		list = append(list, config.Route{Pattern: r.Pattern, Worker: r.Worker, Zone: r.ZoneName})
	}
	for _, d := range domains {
		list = append(list, config.Route{Pattern: d.Hostname, Worker: d.Worker, Zone: d.ZoneName, CustomDomain: true})
	}
	return list, nil
}
