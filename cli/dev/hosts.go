package dev

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// hostNames are the names, beside those that always mean this machine, under
// which clients may ask for dev. A page of the open web can give its own name
// this machine's address (DNS rebinding), and would be let read what is served
// here; its requests still carry its name.
type hostNames struct {
	all   bool            // whatever the name is
	exact map[string]bool // in lower case and ASCII
	below []string        // ".example.com": that name and all below it
}

// hostNamesOf collects what the developer named: Options.AllowHosts, the
// addresses to listen on and the origins.
func hostNamesOf(o Options) (*hostNames, error) {
	n := &hostNames{exact: map[string]bool{}}
	for _, text := range o.AllowHosts {
		if text == "all" {
			n.all = true
			continue
		}
		name, below := strings.CutPrefix(text, ".")
		ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
		if err != nil || ascii == "" || !http1.ValidHost(ascii) || strings.Contains(ascii, ":") {
			return nil, fmt.Errorf("--allow-host %s: expected a name such as dev.example.com, .example.com for all below it, or all", text)
		}
		if below {
			n.below = append(n.below, "."+ascii)
		} else {
			n.exact[ascii] = true
		}
	}
	n.exact[hostOnly(o.Address)] = true
	n.exact[hostOnly(o.Inspect)] = true
	for host := range o.Origins {
		n.exact[hostOnly(host)] = true
	}
	delete(n.exact, "")
	return n, nil
}

// hostOnly is a host without its port, in lower case.
func hostOnly(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// has reports whether the developer can have meant dev by host, which may have
// a port. A name without a dot is one of the local network: no page of the web
// has such a name, since none is given to top-level domains.
//
// Source: http://www.icann.org/en/news/announcements/announcement-30aug13-en.htm
func (n *hostNames) has(host string) bool {
	if n.all || edge.IsThisMachine(host) {
		return true
	}
	host = hostOnly(host)
	if n.exact[host] || !strings.Contains(host, ".") {
		return true
	}
	for _, end := range n.below {
		if host == end[1:] || strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}

// foreign refuses hosts that nobody here has named. What a Worker fetches from
// this machine comes from no browser and is answered.
//
// wrangler dev checks the host of /cdn-cgi/ only, and lets such a page read
// the Worker itself.
func (s *server) foreign(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if telemetry.RequestFrom(r.Context()).Depth > 0 || s.names.has(r.Host) || s.platform.Edge.Serves(r.Host) {
		return next.ServeHTTP(w, r)
	}
	name := hostOnly(r.Host)
	return &fault.Fault{
		Status: http.StatusForbidden, Title: "Host not allowed",
		Message: fmt.Sprintf("This development server does not answer for the host %q: a web page could have made that name lead here. "+
			"If it is yours, as that of a tunnel is, start selvage dev with --allow-host %[1]s", name),
	}
}

// ownPage reports whether a page of the given host is one of this machine. An
// address alone does not make it so: the web has pages at addresses, too.
func ownPage(host string) bool {
	if ip, err := netip.ParseAddr(strings.Trim(hostOnly(host), "[]")); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return edge.IsThisMachine(host)
}

// sameDeveloper refuses what a page of another site sends to an endpoint of
// dev's own: the page cannot read the answer, but the endpoint acts.
func (s *server) sameDeveloper(r *http.Request) error {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Host != r.Host && !ownPage(u.Host) && !s.platform.Edge.Serves(u.Host) {
			return fault.AccessDenied.With(fmt.Sprintf("A page of %s may not use this endpoint of the development server.", origin), nil)
		}
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return fault.AccessDenied.With("A page of another site may not use this endpoint of the development server.", nil)
	}
	return nil
}
