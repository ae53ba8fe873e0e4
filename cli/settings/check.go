package settings

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Settings checks every value and fills in the defaults. The error is Problems.
func (f *File) Settings() (*Settings, error) {
	c := checker{file: f}
	s := &Settings{
		Data:              cmp.Or(f.Data, ".selvage"),
		WorkersDomain:     c.hostname("workers_domain", cmp.Or(f.WorkersDomain, "localhost")),
		TrustedProxies:    c.prefixes("trusted_proxies", f.TrustedProxies),
		DrainTimeout:      c.duration("drain_timeout", f.DrainTimeout, 30*time.Second, time.Hour),
		Origins:           map[string]*url.URL{},
		HTTP:              c.addresses("http.listen", f.HTTP.Listen),
		HTTPS:             c.addresses("https.listen", f.HTTPS.Listen),
		Certificates:      f.HTTPS.Certificates,
		Admin:             c.address("admin.listen", cmp.Or(f.Admin.Listen, "127.0.0.1:8081")),
		AdminCert:         Certificate{f.Admin.Cert, f.Admin.Key},
		AdminInsecure:     f.Admin.Insecure,
		S3:                f.S3.Listen,
		S3Cert:            Certificate{f.S3.Cert, f.S3.Key},
		AllowPrivate:      c.prefixes("egress.allow_private", f.Egress.AllowPrivate),
		Compression:       f.Edge.Compression == nil || *f.Edge.Compression,
		MaxBody:           c.size("limits.body", f.Limits.Body, 100<<20, 1),
		MaxConns:          c.count("limits.connections", f.Limits.Connections, 16384),
		MaxConnsPerClient: c.count("limits.connections_per_client", f.Limits.ConnectionsPerClient, 1024),
		BodyTimeout:       c.duration("limits.body_timeout", f.Limits.BodyTimeout, time.Minute, time.Hour),
		MaxWall:           c.duration("limits.wall_time", f.Limits.WallTime, 0, 24*time.Hour),
		MaxCPU:            c.duration("limits.cpu", f.Limits.CPU, 30*time.Second, time.Hour),
		// A cell that serves nothing has about 60 MB resident, shared pages included.
		MaxMemory:    c.size("limits.memory", f.Limits.Memory, 512<<20, 128<<20),
		MaxCells:     c.count("limits.cells", f.Limits.Cells, 0),
		CellsMemory:  c.size("limits.cells_memory", f.Limits.CellsMemory, 0, 128<<20),
		CallMemory:   c.size("limits.call_memory", f.Limits.CallMemory, 512<<20, 64<<20),
		UploadMemory: c.size("limits.upload_memory", f.Limits.UploadMemory, 512<<20, 64<<20),
		LogRequests:  f.Log.Requests,
		LogWorkers:   f.Log.Workers == nil || *f.Log.Workers,
	}
	s.Quotas = map[string]int64{}
	for _, q := range []struct {
		key, text string
		fallback  int64
	}{
		{"d1_database", f.Quotas.D1Database, 10 << 30}, {"d1", f.Quotas.D1, 1 << 40}, {"kv", f.Quotas.KV, 0}, {"kv_namespace", f.Quotas.KVNamespace, 0}, {"r2", f.Quotas.R2, 0},
		{"durable_object", f.Quotas.DurableObject, 10 << 30}, {"worker_durable_objects", f.Quotas.WorkerDurableObjects, 0}, {"durable_object_history", f.Quotas.DurableObjectHistory, 1 << 30},
		{"queue", f.Quotas.Queue, 25_000_000_000},
		{"analytics_engine", f.Quotas.AnalyticsEngine, 10 << 30}, {"workflows", f.Quotas.Workflows, 0},
		{"code", f.Quotas.Code, 0}, {"worker_code", f.Quotas.WorkerCode, 0},
	} {
		if n := c.size("quotas."+q.key, q.text, q.fallback, 1<<20); n > 0 {
			s.Quotas[q.key] = n
		}
	}
	if s.BodyTimeout == 0 {
		c.errorf("limits.body_timeout", "it must not be zero: a client could hold a connection for ever")
	}
	if len(f.HTTP.Listen) == 0 && len(f.HTTPS.Listen) == 0 {
		s.HTTP = []string{":8080"}
	}
	if s.S3 != "" {
		c.address("s3.listen", s.S3)
	}
	for _, host := range f.S3.Hosts {
		s.S3Hosts = append(s.S3Hosts, c.hostname("s3.hosts", host))
	}
	for _, zone := range f.Zones {
		s.Zones = append(s.Zones, c.hostname("zones", zone))
	}
	for host, text := range f.Origins {
		key := "origins." + host
		u, err := url.Parse(text)
		switch {
		case host == "" || strings.ContainsAny(host, "/* "):
			c.errorf(key, "%q is not a host, with or without a port", host)
		case err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp":
			c.errorf(key, "%q is not an origin; use http://host:port, https://host:port or tcp://host:port", text)
		case u.Scheme == "tcp" && u.Port() == "":
			c.errorf(key, "%q has no port; use tcp://host:port", text)
		case u.RawQuery != "" || u.Fragment != "":
			c.errorf(key, "%q must not have a query", text)
		default:
			s.Origins[strings.ToLower(host)] = u
		}
	}
	s.Normalization = config.Normalization{
		Type:  cmp.Or(f.URLNormalization.Type, config.NormalizeCloudflare),
		Scope: cmp.Or(f.URLNormalization.Scope, config.NormalizeIncoming),
	}
	if err := (config.Normalization{Type: s.Normalization.Type}).Check(); err != nil {
		c.errorf("url_normalization.type", "%v", err)
	}
	if err := (config.Normalization{Scope: s.Normalization.Scope}).Check(); err != nil {
		c.errorf("url_normalization.scope", "%v", err)
	}
	s.Relay = c.relay()
	s.Upstreams = c.upstreams()
	s.Rules = c.rules()
	c.certificates(s)
	c.log(s)
	c.admin(s)
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, c.problems
	}
	return s, nil
}

type checker struct {
	file     *File
	problems Problems
}

func (c *checker) errorf(key, format string, args ...any) {
	c.problems = append(c.problems, c.file.problem(key, format, args...))
}

func (c *checker) hostname(key, name string) string {
	name = strings.ToLower(name)
	if err := checkHostname(name); err != nil {
		c.errorf(key, "%q is not a hostname: %v", name, err)
	}
	return name
}

func checkHostname(name string) error {
	if len(name) > 253 {
		return errors.New("it has more than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("the label %q must have 1 to 63 letters, digits and inner dashes", label)
		}
	}
	return nil
}

// count takes a number from 1 to 1,000,000.
func (c *checker) count(key string, n *int, other int) int {
	if n == nil {
		return other
	}
	if *n < 1 || *n > 1_000_000 {
		c.errorf(key, "%d is not a number from 1 to 1000000", *n)
	}
	return *n
}

func (c *checker) prefixes(key string, list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil || a.Zone() != "" {
				c.errorf(key, "%q is neither an address nor a network such as 10.0.0.0/8", text)
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes
}

func (c *checker) duration(key, text string, fallback, most time.Duration) time.Duration {
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		c.errorf(key, "%q is not a duration from 0s to %v, such as \"30s\"", text, most)
	}
	return d
}

var units = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func (c *checker) size(key, text string, fallback, least int64) int64 {
	if text == "" {
		return fallback
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		n *= u.bytes
		if err != nil || math.IsNaN(n) || n > 1<<50 {
			break
		}
		if int64(n) < least {
			c.errorf(key, "%q is too small; the least is %d bytes", text, least)
			return fallback
		}
		return int64(n)
	}
	c.errorf(key, "%q is not a size such as \"100MB\" or \"512MiB\"", text)
	return fallback
}

func (c *checker) addresses(key string, list []string) []string {
	for _, a := range list {
		c.address(key, a)
	}
	return list
}

func (c *checker) address(key, text string) string {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.errorf(key, "%q is not an address such as \":8080\" or \"127.0.0.1:8080\"", text)
	}
	return text
}

func (c *checker) certificates(s *Settings) {
	if len(s.HTTPS) > 0 && len(s.Certificates) == 0 {
		c.errorf("https.listen", "HTTPS needs a certificate; add certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] to [https]")
	}
	for _, x := range s.Certificates {
		if x.Cert == "" || x.Key == "" {
			c.errorf("https.certificates", "each certificate needs both cert and key, the paths of PEM files")
		}
	}
	if (s.AdminCert.Cert == "") != (s.AdminCert.Key == "") {
		c.errorf("admin.cert", "HTTPS needs both admin.cert and admin.key, the paths of PEM files")
	}
	if (s.S3Cert.Cert == "") != (s.S3Cert.Key == "") {
		c.errorf("s3.cert", "HTTPS needs both s3.cert and s3.key, the paths of PEM files")
	}
	if s.S3Cert.Cert != "" && s.S3 == "" {
		c.errorf("s3.cert", "it is for s3.listen, which is not set; s3.hosts have the certificates of [https]")
	}
}

func (c *checker) log(s *Settings) {
	levels := map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[c.file.Log.Level]
	if !ok {
		c.errorf("log.level", "%q is not one of debug, info, warn, error", c.file.Log.Level)
	}
	s.LogLevel = level
	switch c.file.Log.Format {
	case "", "text":
	case "json":
		s.LogJSON = true
	default:
		c.errorf("log.format", "%q is not one of text, json", c.file.Log.Format)
	}
}

// admin refuses to send API tokens over a network in clear.
func (c *checker) admin(s *Settings) {
	if s.AdminCert.Cert != "" || s.AdminInsecure || isLoopback(s.Admin) {
		return
	}
	c.errorf("admin.listen", "%s is reachable from other machines, and API tokens would cross the network in clear: "+
		"listen on 127.0.0.1, set admin.cert and admin.key, or say admin.insecure = true (--insecure-admin) if something in front adds TLS", s.Admin)
}

// isLoopback reports whether an address can be reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // reported elsewhere
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Relative makes the paths of the file relative to the folder it is in. Those
// that flags have set are left as they are.
func (f *File) Relative() {
	fix := func(key string, path *string) {
		if *path != "" && f.from[key] == "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(f.path), *path)
		}
	}
	fix("data", &f.Data)
	for i := range f.HTTPS.Certificates {
		fix("https.certificates", &f.HTTPS.Certificates[i].Cert)
		fix("https.certificates", &f.HTTPS.Certificates[i].Key)
	}
	fix("admin.cert", &f.Admin.Cert)
	fix("admin.key", &f.Admin.Key)
	fix("s3.cert", &f.S3.Cert)
	fix("s3.key", &f.S3.Key)
	fix("email.password_file", &f.Email.PasswordFile)
	fix("rules.bulk_redirects_file", &f.Rules.BulkRedirectsFile)
	for name, u := range f.R2.Upstreams {
		fix("r2.upstreams."+name+".secret_file", &u.SecretFile)
		f.R2.Upstreams[name] = u
	}
	for name, l := range f.Lists {
		fix("lists."+name+".file", &l.File)
		f.Lists[name] = l
	}
}
