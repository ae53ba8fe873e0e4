// Package egress is the way out: every fetch() and connect() of a Worker goes
// through it.
//
// A request is answered by the first of
//
//  1. an origin that the operator mapped to its host (Options.Origins),
//  2. ourselves, when the host is served here (Options.Local),
//  3. the host itself, on any port, if its address is public and not one of this
//     machine's own. At this machine's addresses fetch() reaches only the edge, and
//     connect() nothing, as Cloudflare's own addresses are closed to connect().
//
// An address is judged after its name was resolved, and exactly this address is
// dialled. So a name that changes its address does not get around it. A redirect
// does not either: workerd follows it by a request that comes through here again. TLS certificates are always verified.
//
// A subrequest that fails is answered with the status Cloudflare uses and the
// reason as text; see failure.go. Requests do not say which request of the
// Worker they belong to, so the limit on subrequests cannot be kept here.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/fetch/ and
// https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/telemetry"
)

// Resolver looks up names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say where Workers may go.
type Options struct {
	// Origins maps "host" or "host:port", in lower case, to a server of the
	// operator's: http:// or https:// with an optional base path for fetch(),
	// tcp://host:port for connect(). The Host header stays what the Worker
	// asked for, and the server's address may be private.
	Origins map[string]*url.URL
	// Local returns the handler of a "host:port" that is served here, else nil. It gets
	// the request with the scheme in URL.Scheme. May be nil.
	Local func(host string) http.Handler
	// Edge returns the handler of what this machine's own addresses answer on a
	// port of the edge, else nil. It gets requests as those of Local do. May be nil.
	Edge func(port string) http.Handler
	// AllowPrivate are addresses that Workers may reach although they are not
	// public, or are this machine's own.
	AllowPrivate []netip.Prefix
	// Caller finds a request that is being answered by its Ray ID, else nil: whose
	// client, and whose loops, a subrequest continues. May be nil.
	Caller func(ray string) *telemetry.Request
	// Zone gives the value of the CF-Worker header for a Worker; by default it
	// is the Worker's name.
	Zone func(worker string) string
	// Resolver looks up names. Default net.DefaultResolver.
	Resolver Resolver
	// RootCAs verify the certificates of https. Default: the system's.
	RootCAs *x509.CertPool
	// DialTimeout bounds looking up and connecting, over all addresses of a
	// name. Default 15 s.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for a response. Default 100 s (then 524).
	HeaderTimeout time.Duration
	// Logger gets refusals by policy. Default slog.Default().
	Logger *slog.Logger
}

// Egress makes the outbound handlers of cells. It is safe for concurrent use.
type Egress struct {
	options Options
	mapped  atomic.Pointer[map[string]*url.URL]
	public  *hop.Hop // addresses judged
	origins *hop.Hop // named by the operator
	// connect dials an address that was judged. Tests stand in for the internet.
	connect func(ctx context.Context, network, addr string) (net.Conn, error)
	// interfaces gives the addresses of this machine.
	interfaces func() ([]net.Addr, error)
}

// New makes an Egress. It fails on an origin that cannot be used.
func New(o Options) (*Egress, error) {
	if o.Zone == nil {
		o.Zone = func(worker string) string { return worker }
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 15 * time.Second
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 100 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	e := &Egress{options: o, connect: new(net.Dialer).DialContext, interfaces: net.InterfaceAddrs}
	if err := e.SetOrigins(o.Origins); err != nil {
		return nil, err
	}
	settings := hop.Options{
		Dial:          e.dial,
		DialTimeout:   o.DialTimeout,
		TLS:           &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		HTTP2:         true,
		MaxIdle:       32,
		MaxIdleTotal:  512,
		HeaderTimeout: o.HeaderTimeout,
	}
	e.public = hop.New(settings)
	settings.Dial, settings.MaxIdle = nil, 256
	e.origins = hop.New(settings)
	return e, nil
}

// SetOrigins replaces Options.Origins for the requests that come after. It
// changes nothing when an origin cannot be used.
func (e *Egress) SetOrigins(origins map[string]*url.URL) error {
	for host, u := range origins {
		switch {
		case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("origin %s=%s: use a URL such as http://127.0.0.1:9001", host, u)
		case u.Scheme != "http" && u.Scheme != "https" && (u.Scheme != "tcp" || u.Port() == ""):
			return fmt.Errorf("origin %s=%s: use http://, https:// or tcp://host:port", host, u)
		case host != strings.ToLower(host) || strings.ContainsAny(host, "/* "):
			return fmt.Errorf("origin %s: the name must be a host in lower case, with or without a port", host)
		}
	}
	e.mapped.Store(&origins)
	return nil
}

// Close closes idle connections.
func (e *Egress) Close() {
	e.public.Close()
	e.origins.Close()
}

// For returns what answers the outbound requests of the version's cell:
// HTTP/1.1 with the scheme in hop.ProtoHeader, and CONNECT for sockets.
func (e *Egress) For(v *config.Version) http.Handler {
	return &outbound{e, v.Worker, e.options.Zone(v.Worker)}
}

type outbound struct {
	*Egress
	worker, zone string
}

func (o *outbound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		o.socket(w, r)
		return
	}
	if err := o.fetch(w, r); err != nil {
		o.fail(w, r, err)
	}
}

func (o *outbound) fetch(w http.ResponseWriter, r *http.Request) error {
	scheme := "http"
	if r.Header.Get(hop.ProtoHeader) == "https" {
		scheme = "https"
	}
	for k := range r.Header {
		if strings.HasPrefix(k, "Selvage-") {
			delete(r.Header, k)
		}
	}
	host, port, err := splitHost(r.Host, map[string]string{"http": "80", "https": "443"}[scheme])
	if err != nil {
		return err
	}
	r.Header["Cf-Worker"] = []string{o.zone}
	loops, caller := hop.Loops(r.Header), o.caller(r.Header)
	if caller != nil {
		loops = max(loops, caller.Loops)
	}
	hop.AddLoop(r.Header, loops+1)
	call := hop.Call{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	if u := o.origin(host, port); u != nil && u.Scheme != "tcp" {
		identify(r.Header, scheme)
		if caller != nil {
			r.Header["Cf-Connecting-Ip"] = []string{caller.ClientIP.String()}
		}
		call.Scheme, call.Host = u.Scheme, u.Host
		out := *r
		out.URL = under(u, r.URL)
		_, err := o.origins.Forward(w, &out, call)
		return err
	}
	if o.options.Local != nil {
		if h := o.options.Local(call.Host); h != nil {
			serveHere(w, r, scheme, h)
			return nil
		}
	}
	via := r.Header["Cf-Ew-Via"]
	identify(r.Header, scheme)
	_, err = o.public.Forward(w, r, call)
	var own *ownAddress
	if errors.As(err, &own) && o.options.Edge != nil {
		if h := o.options.Edge(port); h != nil {
			if via != nil { // which counts the Workers here, and only here
				r.Header["Cf-Ew-Via"] = via
			}
			serveHere(w, r, scheme, h)
			return nil
		}
	}
	return err
}

// serveHere has h answer a request with an absolute URL.
func serveHere(w http.ResponseWriter, r *http.Request, scheme string, h http.Handler) {
	out := *r
	u := *r.URL
	u.Scheme, u.Host = scheme, r.Host
	out.URL = &u
	h.ServeHTTP(w, &out)
}

// origin finds the operator's server for a host; an entry with a port goes
// before one without.
func (e *Egress) origin(host, port string) *url.URL {
	origins := *e.mapped.Load()
	if u := origins[net.JoinHostPort(host, port)]; u != nil {
		return u
	}
	return origins[host]
}

// under puts the path of u below that of base.
func under(base, u *url.URL) *url.URL {
	prefix := strings.TrimSuffix(base.EscapedPath(), "/")
	if prefix == "" {
		return u
	}
	out := *u
	target.Set(&out, prefix+target.Path(u))
	return &out
}

// splitHost takes a Host header apart, and refuses what is none. The host is
// in lower case, without brackets and trailing dot.
func splitHost(s, defaultPort string) (host, port string, err error) {
	bad := &failure{status: http.StatusBadRequest, reason: fmt.Sprintf("%.100q is not a host", s)}
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.User != nil {
		return "", "", bad
	}
	host, port = strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), cmp.Or(u.Port(), defaultPort)
	if _, err := netip.ParseAddr(host); err == nil {
		return host, port, nil
	}
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains("."+host+".", "..") {
		return "", "", bad
	}
	// 0x7f.1 and 2130706433 are addresses to some resolvers and names to others.
	// What workerd sends has been through a URL parser and is 127.0.0.1.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' && strings.Trim(last, "0123456789abcdefx") == "" {
		return "", "", bad
	}
	return host, port, nil
}

// socket serves connect(): bytes both ways, under the same policy as fetch.
func (o *outbound) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := o.open(r)
	if err != nil {
		o.fail(w, r, err)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		conn.Close()
		o.fail(w, r, err)
		return
	}
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		conn.Close()
		client.Close()
		return
	}
	early := io.LimitReader(buffered.Reader, int64(buffered.Reader.Buffered()))
	hop.Join(r.Context(), client, io.MultiReader(early, client), conn)
}

func (o *outbound) open(r *http.Request) (net.Conn, error) {
	host, port, err := splitHost(r.Host, "")
	if err != nil {
		return nil, err
	}
	if port == "" {
		return nil, &failure{status: http.StatusBadRequest, reason: fmt.Sprintf("connect to %s: the port is missing", host)}
	}
	ctx, cancel := context.WithTimeout(r.Context(), o.options.DialTimeout)
	defer cancel()
	if u := o.origin(host, port); u != nil && u.Scheme == "tcp" {
		return new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	}
	if port == "25" {
		return nil, &failure{status: http.StatusForbidden, reason: "connections to port 25 are not allowed: use a mail submission port or an e-mail API"}
	}
	return o.dial(ctx, "tcp", net.JoinHostPort(host, port))
}

// dial resolves addr's host, judges every address and connects to the first
// good one that answers.
func (e *Egress) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = e.options.Resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	good, err := e.judge(host, addrs)
	if err != nil {
		return nil, err
	}
	deadline, bounded := ctx.Deadline()
	var failed []error
	for i, a := range good {
		attempt, cancel := ctx, context.CancelFunc(func() {})
		if bounded { // leave time for the addresses after this one
			attempt, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(good)-i))
		}
		conn, err := e.connect(attempt, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

// judge returns those of a host's addresses that may be dialled, or why there
// are none. The machine's own are read each time: it takes less than a tenth of
// a millisecond, and none is missed that was added a moment ago.
func (e *Egress) judge(host string, addrs []netip.Addr) (good []netip.Addr, err error) {
	own, err := e.ownAddresses()
	if err != nil {
		return nil, err
	}
	var ours *ownAddress
	for _, a := range addrs {
		switch {
		case e.allowed(a):
			good = append(good, a.Unmap())
		case !public(a):
		case own[plain(a)]:
			ours = &ownAddress{host, a}
		default:
			good = append(good, a.Unmap())
		}
	}
	switch {
	case len(good) > 0:
		return good, nil
	case ours != nil:
		return nil, ours
	}
	return nil, refuse(host, addrs)
}

// ownAddresses are those of this machine's interfaces.
func (e *Egress) ownAddresses() (map[netip.Addr]bool, error) {
	list, err := e.interfaces()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, x := range list {
		if n, ok := x.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				own[a.Unmap()] = true
			}
		}
	}
	return own, nil
}

func (e *Egress) allowed(a netip.Addr) bool {
	for _, p := range e.options.AllowPrivate {
		if p.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}
