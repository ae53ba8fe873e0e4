package r2

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Domain is a host at which everybody may read the objects of a bucket.
//
// Source: https://developers.cloudflare.com/r2/buckets/public-buckets/#custom-domains
type Domain struct {
	// Host is in lower case, in a zone of this server.
	Host string `json:"host"`
	// Enabled: the host answers. If not, it only belongs to the bucket.
	Enabled bool `json:"enabled"`
	// MinTLS and Ciphers are recorded and change nothing: the server's listeners have
	// settings of their own.
	MinTLS  string   `json:"minTLS,omitempty"`
	Ciphers []string `json:"ciphers,omitempty"`
	// Zone and ZoneName are the zone that the host is in.
	Zone     string `json:"zone"`
	ZoneName string `json:"zoneName"`
}

// MaxDomains is the number of custom domains of a bucket.
const MaxDomains = 100

// ErrNoDomain: a bucket has no such custom domain.
var ErrNoDomain = &Error{http.StatusNotFound, 10063, "The specified custom domain does not exist."}

var minTLS = []string{"", "1.0", "1.1", "1.2", "1.3"}

func (d *Domain) check() error {
	if !slices.Contains(minTLS, d.MinTLS) {
		return invalid("The minimum TLS version %q is not valid: use %s.", d.MinTLS, strings.Join(minTLS[1:], ", "))
	}
	return nil
}

// Domains are the custom domains of a bucket, sorted by host.
func (s *Store) Domains(ctx context.Context, bucket string) ([]Domain, error) {
	set, err := s.settingsOf(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return set.Domains, nil
}

// AddDomain makes the objects of a bucket public at a host, which must be in a zone
// of the server and belong to nobody. d.Zone may be empty; ZoneName is not used.
func (s *Store) AddDomain(ctx context.Context, bucket string, d Domain) (Domain, error) {
	d.Host = strings.ToLower(d.Host)
	if err := d.check(); err != nil {
		return d, err
	}
	set, err := s.settingsOf(ctx, bucket)
	if err != nil {
		return d, err
	}
	switch {
	case slices.ContainsFunc(set.Domains, func(o Domain) bool { return o.Host == d.Host }):
		return d, &Error{http.StatusConflict, ErrInvalidArgument.Code, "The domain " + d.Host + " is connected to this bucket already."}
	case len(set.Domains) >= MaxDomains:
		return d, invalid("The bucket has %d custom domains; no more are allowed.", MaxDomains)
	}
	err = s.takeHost(ctx, d.Host, d.Zone, func(z binding.Zone) error {
		d.Zone, d.ZoneName = z.ID, z.Name
		return s.change(ctx, bucket, func(_ *Bucket, set *settings) error {
			set.Domains = append(slices.Clone(set.Domains), d)
			slices.SortFunc(set.Domains, func(a, b Domain) int { return strings.Compare(a.Host, b.Host) })
			return nil
		})
	})
	return d, err
}

// ChangeDomain replaces what a custom domain is by what edit makes of it; its host
// and zone stay.
func (s *Store) ChangeDomain(ctx context.Context, bucket, host string, edit func(*Domain)) (d Domain, err error) {
	err = s.change(ctx, bucket, func(_ *Bucket, set *settings) error {
		i := set.domain(host)
		if i < 0 {
			return ErrNoDomain
		}
		d = set.Domains[i]
		edit(&d)
		d.Host, d.Zone, d.ZoneName = set.Domains[i].Host, set.Domains[i].Zone, set.Domains[i].ZoneName
		if err := d.check(); err != nil {
			return err
		}
		set.Domains = slices.Clone(set.Domains)
		set.Domains[i] = d
		return nil
	})
	return d, err
}

// RemoveDomain gives a host up.
func (s *Store) RemoveDomain(ctx context.Context, bucket, host string) error {
	return s.change(ctx, bucket, func(_ *Bucket, set *settings) error {
		i := set.domain(host)
		if i < 0 {
			return ErrNoDomain
		}
		set.Domains = slices.Delete(slices.Clone(set.Domains), i, i+1)
		return nil
	})
}

func (set *settings) domain(host string) int {
	return slices.IndexFunc(set.Domains, func(d Domain) bool { return d.Host == strings.ToLower(host) })
}

// DevURL is a host below the workers domain at which everybody may read the objects
// of a bucket, while it is enabled.
//
// Source: https://developers.cloudflare.com/r2/buckets/public-buckets/#public-development-url
type DevURL struct {
	// ID is of the bucket: 32 hexadecimal digits.
	ID string `json:"id"`
	// Enabled: the host answers.
	Enabled bool `json:"enabled"`
}

// DevURL is the development URL of a bucket, and the host of it.
func (s *Store) DevURL(ctx context.Context, bucket string) (d DevURL, host string, err error) {
	set, err := s.settingsOf(ctx, bucket)
	if err == nil && set.DevURL.ID == "" {
		return s.EnableDevURL(ctx, bucket, false) // gives it an ID
	}
	if err != nil {
		return d, "", err
	}
	return set.DevURL, s.devHost(set.DevURL), nil
}

// EnableDevURL enables or disables the development URL of a bucket.
func (s *Store) EnableDevURL(ctx context.Context, bucket string, enabled bool) (d DevURL, host string, err error) {
	err = s.change(ctx, bucket, func(_ *Bucket, set *settings) error {
		if set.DevURL.ID == "" {
			var id [16]byte
			rand.Read(id[:])
			set.DevURL.ID = hex.EncodeToString(id[:])
		}
		set.DevURL.Enabled = enabled
		d = set.DevURL
		return nil
	})
	return d, s.devHost(d), err
}

func (s *Store) devHost(d DevURL) string { return "pub-" + d.ID + "." + s.workersDomain }

// host is a host that belongs to a bucket.
type host struct {
	binding.HostOwner
	b *Bucket
}

// hostsOf are the hosts that belong to a bucket, and who answers there.
func (b *Bucket) hostsOf(set *settings) map[string]*host {
	hosts := map[string]*host{}
	owner := func(enabled bool) *host {
		return &host{binding.HostOwner{Name: "the R2 bucket " + b.name, Serve: public{b, enabled}.serve}, b}
	}
	for _, d := range set.Domains {
		hosts[d.Host] = owner(d.Enabled)
	}
	if set.DevURL.Enabled {
		hosts[b.store.devHost(set.DevURL)] = owner(true)
	}
	return hosts
}

// rehost changes which hosts belong to a bucket. It is called with the registry
// locked.
func (s *Store) rehost(b *Bucket, before, after *settings) {
	lost, got := b.hostsOf(before), b.hostsOf(after)
	if len(lost)+len(got) == 0 {
		return
	}
	hosts := maps.Clone(*s.hosts.Load())
	maps.DeleteFunc(hosts, func(name string, _ *host) bool { return lost[name] != nil })
	maps.Copy(hosts, got)
	s.hosts.Store(&hosts)
}

// loadHosts finds the hosts of all buckets.
func (s *Store) loadHosts() error {
	s.hosts.Store(&map[string]*host{})
	public := map[uint64]bool{}
	prefix := row(rowSettings)
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		if number, set, err := decodeSettings(k, v); err == nil && (len(set.Domains) > 0 || set.DevURL.Enabled) {
			public[number] = true
		}
		return true
	})
	if err != nil || len(public) == 0 {
		return err
	}
	infos, err := s.Buckets(context.Background())
	if err != nil {
		return err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	for _, info := range infos {
		r, err := s.readBucket(info.Name)
		if err != nil {
			return err
		}
		if !public[r.Number] {
			continue
		}
		b, err := s.bucket(info.Name)
		if errors.Is(err, ErrUnavailable) {
			continue // there is nothing to serve
		}
		if err != nil {
			return err
		}
		s.rehost(b, new(settings), b.settings.Load())
	}
	return nil
}
