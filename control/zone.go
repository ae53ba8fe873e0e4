package control

import (
	"errors"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/control/state"
)

func (s *server) zoneJSON(z state.Zone) map[string]any {
	return map[string]any{
		"id": z.ID, "name": z.Name, "status": "active", "paused": false, "type": "full", "name_servers": []string{},
		"created_on": stamp(z.Created), "modified_on": stamp(z.Created), "activated_on": stamp(z.Created),
		"account": map[string]any{"id": s.account, "name": accountName},
	}
}

func (s *server) listZones(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		zones, err := tx.Zones()
		for _, z := range zones {
			if name == "" || name == z.Name {
				list = append(list, s.zoneJSON(z))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if a := r.URL.Query().Get("account.id"); a != "" && a != s.account {
		list = list[:0]
	}
	page, info := api.Paginate(r, list, 20)
	return api.WriteList(w, page, info)
}

// postZone adds a zone. Nothing is asked of the DNS: point its hostnames here.
func (s *server) postZone(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name string `json:"name"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	name := strings.ToLower(body.Name)
	if err := checkHostname(name); err != nil {
		return badRequest(1105, "%q is not a valid zone name: %v", body.Name, err)
	}
	var zone state.Zone
	err := s.update(r, func(tx *state.Tx) error {
		_, err := tx.ZoneByName(name)
		if err == nil {
			return badRequest(1061, "%s already exists", name)
		}
		if !errors.Is(err, state.ErrNotFound) {
			return err
		}
		zone, err = tx.AddZone(name)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.zoneJSON(zone))
}

// zone returns the zone that the path names by its id.
func (s *server) zone(tx *state.Tx, r *http.Request) (state.Zone, error) {
	z, err := tx.Zone(r.PathValue("zone"))
	return z, orNotFound(err, api.Errorf(http.StatusNotFound, 7003, "Could not route to /zones/%s, perhaps your object identifier is invalid?", r.PathValue("zone")))
}

func (s *server) getZone(w http.ResponseWriter, r *http.Request) error {
	var zone state.Zone
	err := s.view(r, func(tx *state.Tx) (err error) {
		zone, err = s.zone(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.zoneJSON(zone))
}

// deleteZone deletes a zone with its routes and custom domains.
func (s *server) deleteZone(w http.ResponseWriter, r *http.Request) error {
	var zone state.Zone
	err := s.update(r, func(tx *state.Tx) (err error) {
		if zone, err = s.zone(tx, r); err != nil {
			return err
		}
		for _, k := range s.Kinds {
			if h, ok := k.(binding.ZoneHolder); ok {
				if why := h.HoldsZone(zone.ID); why != "" {
					return api.Errorf(http.StatusConflict, 1099, "the zone %s is needed: %s", zone.Name, why)
				}
			}
		}
		return tx.DeleteZone(zone.ID)
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"id": zone.ID})
}

// findZone finds the zone of a hostname: the one that is named by id or name,
// or else the longest zone that the hostname is in.
func findZone(tx *state.Tx, hostname, id, name string) (state.Zone, error) {
	switch {
	case id != "":
		z, err := tx.Zone(id)
		return z, orNotFound(err, noZone("with the id "+id))
	case name != "":
		z, err := tx.ZoneByName(strings.ToLower(name))
		return z, orNotFound(err, noZone(name))
	}
	for rest := hostname; rest != ""; {
		z, err := tx.ZoneByName(rest)
		if !errors.Is(err, state.ErrNotFound) {
			return z, err
		}
		_, rest, _ = strings.Cut(rest, ".")
	}
	return state.Zone{}, noZone("for " + hostname)
}

func noZone(what string) error {
	return badRequest(10083, "workers.api.error.zone_not_found: there is no zone %s on this server; list it under zones in selvage.toml or add it with POST /zones", what)
}

// inZone reports whether a hostname is a zone's or below it.
func inZone(hostname, zone string) bool {
	return hostname == zone || strings.HasSuffix(hostname, "."+zone)
}

// checkHostname says what is wrong with a hostname in lower case.
func checkHostname(name string) error {
	if len(name) == 0 || len(name) > 253 {
		return errors.New("it must have 1 to 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return errors.New("each label must have 1 to 63 characters")
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("labels are made of letters, digits and inner dashes; other scripts are written in punycode (xn--…)")
		}
	}
	return nil
}
