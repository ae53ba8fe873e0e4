package edge

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge/http1"
	"golang.org/x/net/idna"
)

// Pattern is a parsed route pattern.
//
// Source: https://developers.cloudflare.com/workers/configuration/routing/routes/#matching-behavior
type Pattern struct {
	// Scheme is "http", "https", or empty for both.
	Scheme string
	// Host in lower case and ASCII. With AnyHost it is the end of the host:
	// ".example.com" for "*.example.com", "example.com" for "*example.com", empty
	// for "*", which stands for every host of the route's zone.
	Host    string
	AnyHost bool
	// Path with its leading slash. With AnyPath it is how the path (and query)
	// begins. Without, path and query together must equal it.
	Path    string
	AnyPath bool
}

// ParsePattern parses a route pattern, or says what is wrong with it.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return p, fmt.Errorf("route pattern %q: scheme %q: use http://, https:// or none", s, scheme)
		}
		p.Scheme, rest = scheme, after
	}
	host, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	host, p.AnyHost = strings.CutPrefix(host, "*")
	p.Path, p.AnyPath = strings.CutSuffix(path, "*")
	dot := ""
	if p.AnyHost {
		host, dot = strings.TrimPrefix(host, "."), host[:len(host)-len(strings.TrimPrefix(host, "."))]
	}
	switch {
	case strings.Contains(host, "*"):
		return p, fmt.Errorf("route pattern %q: a wildcard in the host may only be its first character", s)
	case strings.Contains(p.Path, "*"):
		return p, fmt.Errorf("route pattern %q: a wildcard in the path may only be its last character", s)
	case strings.ContainsAny(p.Path, "?#"):
		return p, fmt.Errorf("route pattern %q: a pattern cannot hold a query; end it with * to match any", s)
	case !printable(p.Path):
		return p, fmt.Errorf("route pattern %q: the path holds a space or a control character", s)
	case host == "" && p.AnyHost && dot == "":
		return p, nil // "*/*": every host of the zone
	case host == "":
		return p, fmt.Errorf("route pattern %q: the host is missing", s)
	}
	ascii, err := asciiHost(host)
	if err != nil || strings.Contains(ascii, ":") {
		return p, fmt.Errorf("route pattern %q: %q is not a host name (ports do not belong in patterns)", s, host)
	}
	p.Host = dot + ascii
	return p, nil
}

// asciiHost is the form in which a host name arrives in a request.
func asciiHost(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	for i := range len(s) {
		if s[i] >= 0x80 {
			var err error
			if s, err = idna.Lookup.ToASCII(s); err != nil {
				return "", err
			}
			break
		}
	}
	if !http1.ValidHost(s) {
		return "", fmt.Errorf("host %q is not valid", s)
	}
	return s, nil
}

// matches takes the path with the query.
func (p *Pattern) matches(scheme, path string) bool {
	if p.Scheme != "" && p.Scheme != scheme {
		return false
	}
	if p.AnyPath {
		return strings.HasPrefix(path, p.Path)
	}
	return path == p.Path
}

// destination is where a request goes.
type destination struct {
	worker  string
	version string // full id for a preview URL, else empty
}

// table finds the target of a request. It is made of one snapshot and never
// changed, so that readers need no lock.
type table struct {
	custom   map[string]string
	exact    map[string][]route
	wildcard map[string][]route // by the end of the host
	ends     []int              // lengths of the keys of wildcard, longest first
	domain   string             // with its leading dot
	workers  map[string]*config.Worker
	fallback string
	zones    map[string]config.Zone
}

type route struct {
	Pattern
	worker string
	zone   string
}

// compile makes the table of s. Patterns that do not parse are left out; the
// control plane has refused them before.
func compile(s *config.Snapshot, log *slog.Logger) *table {
	t := &table{
		custom: map[string]string{}, exact: map[string][]route{}, wildcard: map[string][]route{},
		workers: s.Workers, fallback: s.Default, zones: s.Zones, domain: "." + strings.ToLower(cmp.Or(s.WorkersDomain, "localhost")),
	}
	for _, r := range s.Routes {
		if r.CustomDomain {
			host, err := asciiHost(r.Pattern)
			if err != nil {
				log.Warn("custom domain left out", "hostname", r.Pattern, "worker", r.Worker, "err", err)
				continue
			}
			t.custom[host] = r.Worker
			continue
		}
		p, err := ParsePattern(r.Pattern)
		if err != nil {
			log.Warn("route left out", "worker", r.Worker, "err", err)
			continue
		}
		zone, _ := asciiHost(r.Zone)
		hosts := t.exact
		if p.AnyHost {
			hosts = t.wildcard
		}
		hosts[p.Host] = append(hosts[p.Host], route{p, r.Worker, zone})
	}
	for _, list := range t.exact {
		slices.SortFunc(list, moreSpecific)
	}
	for end, list := range t.wildcard {
		slices.SortFunc(list, moreSpecific)
		t.ends = append(t.ends, len(end))
	}
	slices.Sort(t.ends)
	t.ends = slices.Compact(t.ends)
	slices.Reverse(t.ends)
	return t
}

// moreSpecific orders the routes of one host: the longer path first, then the
// path without wildcard, then the one with a scheme.
func moreSpecific(a, b route) int {
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(len(b.Path), len(a.Path)),
		cmp.Compare(flag(a.AnyPath), flag(b.AnyPath)),
		cmp.Compare(len(b.Scheme), len(a.Scheme)),
		cmp.Compare(a.Pattern.Path, b.Pattern.Path),
	)
}

// find returns the target of a request, and false when no Worker is meant.
// host is canonical (see canonical), path comes with the query.
//
// The more specific pattern wins: a custom domain, then an exact host, then the
// longest matching end of the host; among those, the longest path.
func (t *table) find(scheme, host, path string) (destination, bool) {
	if w, ok := t.custom[host]; ok {
		return destination{worker: w}, true
	}
	if rt := t.match(scheme, host, path); rt != nil {
		return destination{worker: rt.worker}, rt.worker != "" // empty: excluded
	}
	if to, ok := t.subdomain(host); ok {
		return to, true
	}
	return destination{worker: t.fallback}, t.fallback != ""
}

func (t *table) match(scheme, host, path string) *route {
	list := t.exact[host]
	for i := range list {
		if list[i].matches(scheme, path) {
			return &list[i]
		}
	}
	for _, n := range t.ends {
		if n > len(host) {
			continue
		}
		list := t.wildcard[host[len(host)-n:]]
		for i := range list {
			if list[i].matches(scheme, path) && list[i].within(host) {
				return &list[i]
			}
		}
	}
	return nil
}

// within keeps "*example.com/*" from matching otherexample.com: what the
// wildcard stands for lies in the route's zone. Without a known zone it is
// taken to be the host that follows the wildcard.
func (r *route) within(host string) bool {
	zone := r.zone
	if zone == "" {
		if r.Host == "" {
			return false
		}
		if r.Host[0] == '.' || r.Host[0] == '-' || r.Host[0] == '_' {
			return true
		}
		zone = r.Host
	}
	before, ok := strings.CutSuffix(host, zone)
	return ok && (before == "" || before[len(before)-1] == '.')
}

// subdomain finds <worker>.<workers domain> and, for versions,
// <first 8 of id>-<worker>.<workers domain> and <alias>-<worker>.<workers domain>.
//
// Source: https://developers.cloudflare.com/workers/configuration/previews/
func (t *table) subdomain(host string) (destination, bool) {
	label, ok := strings.CutSuffix(host, t.domain)
	if !ok || label == "" {
		return destination{}, false
	}
	if w, ok := t.workers[label]; ok && w.Subdomain {
		return destination{worker: label}, true
	}
	// Names hold dashes, too: each one may be where the Worker's name begins.
	for i := range len(label) {
		if label[i] != '-' {
			continue
		}
		w, ok := t.workers[label[i+1:]]
		if !ok || !w.PreviewURLs {
			continue
		}
		if v := preview(w, label[:i]); v != nil {
			return destination{w.Name, v.ID}, true
		}
	}
	return destination{}, false
}

// preview finds the version of w that a preview URL means: the one whose id
// begins with name, or the newest that was uploaded with name as its alias.
func preview(w *config.Worker, name string) (found *config.Version) {
	versions := slices.Clone(w.Previews)
	for _, share := range w.Shares {
		versions = append(versions, share.Version)
	}
	for _, v := range versions {
		if len(name) == 8 && strings.HasPrefix(v.ID, name) {
			return v
		}
		if name != "" && v.Annotations["workers/alias"] == name && (found == nil || v.Number > found.Number) {
			found = v
		}
	}
	return found
}

// normalization is that of the longest zone that host is in.
func (t *table) normalization(host string) (config.Normalization, bool) {
	if len(t.zones) == 0 {
		return config.Normalization{}, false
	}
	for rest := host; rest != ""; _, rest, _ = strings.Cut(rest, ".") {
		if z, ok := t.zones[rest]; ok {
			return z.Normalization, true
		}
	}
	return config.Normalization{}, false
}

// serves reports whether any path of host belongs to a Worker, the default
// Worker aside.
func (t *table) serves(host string) bool {
	if _, ok := t.custom[host]; ok {
		return true
	}
	if _, ok := t.subdomain(host); ok {
		return true
	}
	runs := func(r route) bool { return r.worker != "" && r.within(host) }
	if slices.ContainsFunc(t.exact[host], runs) {
		return true
	}
	for _, n := range t.ends {
		if n <= len(host) && slices.ContainsFunc(t.wildcard[host[len(host)-n:]], runs) {
			return true
		}
	}
	return false
}

// IsThisMachine reports whether nobody else can have made the Host of a request
// lead here: it is an address, localhost, or a name below it.
func IsThisMachine(host string) bool {
	host = canonical(host)
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// canonical brings the Host of a request into the form that tables use: lower
// case, without port and trailing dot. The host is valid.
func canonical(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
