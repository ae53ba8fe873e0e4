package control

import (
	"cmp"
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

// normalizationOf is what holds for a zone, in full.
func (s *server) normalizationOf(z state.Zone) config.Normalization {
	n := s.Normalization
	if z.Normalization != nil {
		n = *z.Normalization
	}
	return config.Normalization{Type: cmp.Or(n.Type, config.NormalizeCloudflare), Scope: cmp.Or(n.Scope, config.NormalizeIncoming)}
}

// getNormalization tells how the URLs of a zone's requests are normalized.
//
// Source: https://developers.cloudflare.com/api/resources/url_normalization/
func (s *server) getNormalization(w http.ResponseWriter, r *http.Request) error {
	var zone state.Zone
	err := s.view(r, func(tx *state.Tx) (err error) {
		zone, err = s.zone(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.normalizationOf(zone))
}

// putNormalization changes it. Both fields are needed.
func (s *server) putNormalization(w http.ResponseWriter, r *http.Request) error {
	var n config.Normalization
	if err := api.Decode(r, &n); err != nil {
		return err
	}
	if n.Type == "" || n.Scope == "" {
		return badRequest(10001, "type and scope are both needed")
	}
	if err := n.Check(); err != nil {
		return badRequest(10001, "%v", err)
	}
	return s.setNormalization(w, r, &n)
}

// deleteNormalization goes back to the server's.
func (s *server) deleteNormalization(w http.ResponseWriter, r *http.Request) error {
	return s.setNormalization(w, r, nil)
}

func (s *server) setNormalization(w http.ResponseWriter, r *http.Request, n *config.Normalization) error {
	var zone state.Zone
	err := s.update(r, func(tx *state.Tx) (err error) {
		if zone, err = s.zone(tx, r); err != nil {
			return err
		}
		zone.Normalization = n
		return tx.PutZone(zone)
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.normalizationOf(zone))
}
