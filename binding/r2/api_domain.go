package r2

import (
	"cmp"
	"net/http"

	"github.com/selvage-edge/selvage/api"
)

// domainReply is a custom domain as the API shows it. Its host is this server's, and
// so are its certificates, so there is nothing to wait for.
type domainReply struct {
	Domain   string       `json:"domain"`
	Enabled  bool         `json:"enabled"`
	Status   domainStatus `json:"status"`
	MinTLS   string       `json:"minTLS"`
	Ciphers  []string     `json:"ciphers,omitempty"`
	ZoneID   string       `json:"zoneId"`
	ZoneName string       `json:"zoneName"`
}

type domainStatus struct {
	Ownership string `json:"ownership"`
	SSL       string `json:"ssl"`
}

func domainOf(d Domain) domainReply {
	return domainReply{d.Host, d.Enabled, domainStatus{"active", "active"}, cmp.Or(d.MinTLS, "1.0"), d.Ciphers, d.Zone, d.ZoneName}
}

func (a rest) domains(w http.ResponseWriter, r *http.Request) error {
	list, err := a.s.Domains(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	replies := make([]domainReply, len(list))
	for i, d := range list {
		replies[i] = domainOf(d)
	}
	return api.Write(w, map[string]any{"domains": replies})
}

func (a rest) domain(w http.ResponseWriter, r *http.Request) error {
	set, err := a.s.settingsOf(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	i := set.domain(r.PathValue("domain"))
	if i < 0 {
		return ErrNoDomain
	}
	return api.Write(w, domainOf(set.Domains[i]))
}

func (a rest) addDomain(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Domain  string   `json:"domain"`
		ZoneID  string   `json:"zoneId"`
		Enabled bool     `json:"enabled"`
		MinTLS  string   `json:"minTLS"`
		Ciphers []string `json:"ciphers"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	d, err := a.s.AddDomain(r.Context(), r.PathValue("bucket"), Domain{Host: req.Domain, Zone: req.ZoneID, Enabled: req.Enabled, MinTLS: req.MinTLS, Ciphers: req.Ciphers})
	if err != nil {
		return err
	}
	return api.Write(w, domainOf(d))
}

func (a rest) changeDomain(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Enabled *bool    `json:"enabled"`
		MinTLS  *string  `json:"minTLS"`
		Ciphers []string `json:"ciphers"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	d, err := a.s.ChangeDomain(r.Context(), r.PathValue("bucket"), r.PathValue("domain"), func(d *Domain) {
		if req.Enabled != nil {
			d.Enabled = *req.Enabled
		}
		if req.MinTLS != nil {
			d.MinTLS = *req.MinTLS
		}
		if req.Ciphers != nil {
			d.Ciphers = req.Ciphers
		}
	})
	if err != nil {
		return err
	}
	return api.Write(w, domainOf(d))
}

func (a rest) removeDomain(w http.ResponseWriter, r *http.Request) error {
	if err := a.s.RemoveDomain(r.Context(), r.PathValue("bucket"), r.PathValue("domain")); err != nil {
		return err
	}
	return api.Write(w, map[string]string{"domain": r.PathValue("domain")})
}

// devURLReply is a development URL as the API shows it.
type devURLReply struct {
	BucketID string `json:"bucketId"`
	Domain   string `json:"domain"`
	Enabled  bool   `json:"enabled"`
}

func (a rest) devURL(w http.ResponseWriter, r *http.Request) error {
	d, host, err := a.s.DevURL(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	return api.Write(w, devURLReply{d.ID, host + a.port, d.Enabled})
}

func (a rest) enableDevURL(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Enabled bool `json:"enabled"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	d, host, err := a.s.EnableDevURL(r.Context(), r.PathValue("bucket"), req.Enabled)
	if err != nil {
		return err
	}
	return api.Write(w, devURLReply{d.ID, host + a.port, d.Enabled})
}
