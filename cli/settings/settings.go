// Package settings reads selvage.toml, the configuration of a server.
//
// Every key has a default, so an empty file and no file are the same. A key
// that does not exist, a value of the wrong type and a value that cannot be
// used are errors that name file, line and key.
package settings

import (
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/ruleset"
)

// File is selvage.toml as it is written. [Parse] reads one, [File.Override]
// changes it and [File.Settings] makes sense of it.
type File struct {
	// Data is the data directory. Default ".selvage" in the working directory.
	Data string `toml:"data"`
	// WorkersDomain is the suffix under which Workers answer: api.localhost.
	// Default "localhost".
	WorkersDomain string `toml:"workers_domain"`
	// Zones are domains whose hostnames can be routed to Workers. They are added
	// to those that were made through the API; none is ever removed.
	Zones []string `toml:"zones"`
	// TrustedProxies are addresses and networks whose X-Forwarded-For is believed.
	TrustedProxies []string `toml:"trusted_proxies"`
	// DrainTimeout bounds how long requests may finish at shutdown. Default "30s".
	DrainTimeout string `toml:"drain_timeout"`
	// Origins maps private hostnames to servers, for Workers' fetch() and
	// connect(): "http://10.0.0.5:9000", "tcp://10.0.0.6:5432".
	Origins map[string]string `toml:"origins"`
	// URLNormalization is that of requests to hosts in no zone with one of its own.
	URLNormalization URLNormalization `toml:"url_normalization"`
	Edge             Edge             `toml:"edge"`
	HTTP             HTTP             `toml:"http"`
	HTTPS            HTTPS            `toml:"https"`
	Admin            Admin            `toml:"admin"`
	S3               S3               `toml:"s3"`
	Egress           Egress           `toml:"egress"`
	Email            Email            `toml:"email"`
	R2               R2               `toml:"r2"`
	Limits           Limits           `toml:"limits"`
	Quotas           Quotas           `toml:"quotas"`
	Log              Log              `toml:"log"`
	// Rules decide about requests before any Worker does.
	Rules ruleset.Rules `toml:"rules"`
	// Lists are what the expressions of rules call $name.
	Lists map[string]List `toml:"lists"`

	path  string
	lines map[string]int    // by dotted key
	from  map[string]string // keys that something other than the file has set
}

// Edge is the table [edge].
type Edge struct {
	// Compression sends responses with gzip, Brotli or Zstandard to clients that
	// take it, as Cloudflare does. Default true.
	Compression *bool `toml:"compression"`
}

// HTTP is the table [http].
type HTTP struct {
	// Listen is where Workers answer without TLS. Default [":8080"].
	Listen []string `toml:"listen"`
}

// HTTPS is the table [https].
type HTTPS struct {
	// Listen is where Workers answer with TLS. Default: nowhere.
	Listen []string `toml:"listen"`
	// Certificates are chosen by the name that the client asks for; the first is
	// the default.
	Certificates []Certificate `toml:"certificates"`
}

// Certificate names the PEM files of a certificate chain and its key.
type Certificate struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// Admin is the table [admin].
type Admin struct {
	// Listen is where the REST API, health and metrics answer. Default
	// "127.0.0.1:8081".
	Listen string `toml:"listen"`
	// Cert and Key make it HTTPS.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	// Insecure allows plain HTTP on an address that is not loopback, for use
	// behind something that adds TLS.
	Insecure bool `toml:"insecure"`
}

// S3 is the table [s3]: the S3 API of R2.
type S3 struct {
	// Listen is where it answers. Default: nowhere.
	Listen string `toml:"listen"`
	// Cert and Key make that HTTPS.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	// Hosts are names at which it answers where Workers do: all buckets at
	// <host>/<bucket>, and each at <bucket>.<host>. Default: none.
	Hosts []string `toml:"hosts"`
}

// URLNormalization is the table [url_normalization].
type URLNormalization struct {
	// Type is cloudflare (default) or rfc3986.
	Type string `toml:"type"`
	// Scope is incoming (default), both or none.
	Scope string `toml:"scope"`
}

// Egress is the table [egress].
type Egress struct {
	// AllowPrivate are addresses and networks that Workers may reach although
	// they are not public.
	AllowPrivate []string `toml:"allow_private"`
}

// Limits is the table [limits].
type Limits struct {
	// Body is the largest body of a request. Default "100MiB", which is
	// Cloudflare's; more is answered with 413.
	Body string `toml:"body"`
	// WallTime bounds a request from its first byte to its last. Default "0s",
	// which as on Cloudflare means no bound. WebSockets are not bounded.
	WallTime string `toml:"wall_time"`
	// CPU is how long a Worker may keep its process from answering, for versions
	// that set no limits.cpu_ms. Default "30s".
	CPU string `toml:"cpu"`
	// Connections that clients may have open at once. When they run out, the one
	// that has been idle longest is closed. Default 16384.
	Connections *int `toml:"connections"`
	// ConnectionsPerClient bounds those of one IPv4 address or IPv6 network of
	// 64 bits; trusted proxies are not bounded. Default 1024.
	ConnectionsPerClient *int `toml:"connections_per_client"`
	// BodyTimeout bounds the wait for more of a request's body; then the client
	// gets 408. Default "60s".
	BodyTimeout string `toml:"body_timeout"`
	// Memory bounds one Worker's process. Default "512MiB".
	Memory string `toml:"memory"`
	// Cells is how many processes one Worker's version may have. Default: the
	// number of processors.
	Cells *int `toml:"cells"`
	// CellsMemory is the resident memory of all of them, above which those stop
	// that have been idle longest. Default: three quarters of the machine's.
	CellsMemory string `toml:"cells_memory"`
	// CallMemory bounds what calls of all Workers to bindings take of the server's
	// own memory at once; one Worker has at most a quarter. Default "512MiB".
	CallMemory string `toml:"call_memory"`
	// UploadMemory bounds what requests to the REST API take; one token has at
	// most half. Default "512MiB".
	UploadMemory string `toml:"upload_memory"`
}

// Quotas is the table [quotas]: how many bytes may be stored. A key that is not
// there is Cloudflare's limit, or no bound where there is none.
type Quotas struct {
	// D1Database is the size of one database, D1 that of all. Default "10GiB" and
	// "1TiB".
	D1Database string `toml:"d1_database"`
	D1         string `toml:"d1"`
	// KV is the size of all keys, values and metadata, KVNamespace of those of one
	// namespace. Default: no bound.
	KV          string `toml:"kv"`
	KVNamespace string `toml:"kv_namespace"`
	// R2 is the size of the content of all objects. Default: no bound.
	R2 string `toml:"r2"`
	// DurableObject is the size of one object. Default "10GiB".
	DurableObject string `toml:"durable_object"`
	// WorkerDurableObjects is the size of all objects of one Worker. Default: no
	// bound.
	WorkerDurableObjects string `toml:"worker_durable_objects"`
	// DurableObjectHistory is the size of the earlier states of one object. Default
	// "1GiB".
	DurableObjectHistory string `toml:"durable_object_history"`
	// Queue is the size of the messages of one queue. Default 25 GB.
	Queue string `toml:"queue"`
	// AnalyticsEngine is the size of all data points. Default "10GiB".
	AnalyticsEngine string `toml:"analytics_engine"`
	// Workflows is what the instances of all Workflows hold. Default: none.
	Workflows string `toml:"workflows"`
	// Code is the size of all modules and static files, WorkerCode of those of all
	// versions of one Worker, each content counted once. Default: no bound.
	Code       string `toml:"code"`
	WorkerCode string `toml:"worker_code"`
}

// Log is the table [log].
type Log struct {
	// Level is debug, info (default), warn or error.
	Level string `toml:"level"`
	// Format is text (default) or json.
	Format string `toml:"format"`
	// Requests logs each request at level info.
	Requests bool `toml:"requests"`
	// Workers logs what Workers write with console.log. Default true.
	Workers *bool `toml:"workers"`
}

// Email is the table [email]: how the e-mail of Workers leaves the server.
type Email struct {
	// Relay is the host and port of an SMTP server that delivers it. Default:
	// none, and sending fails.
	Relay string `toml:"relay"`
	// TLS is "starttls", "tls" (from the first byte) or "none". Default
	// "starttls".
	TLS string `toml:"tls"`
	// Username logs in, with the password that is the content of PasswordFile.
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	// Domains are those that Workers may send from; "*" is any. Required.
	Domains []string `toml:"domains"`
	// Timeout bounds each message. Default "30s".
	Timeout string `toml:"timeout"`
}

// R2 is the table [r2].
type R2 struct {
	// Upstreams are S3 servers that keep buckets instead of this machine, by the
	// bucket's name here.
	Upstreams map[string]Upstream `toml:"upstreams"`
}

// Upstream is a table [r2.upstreams.NAME].
type Upstream struct {
	// Endpoint is the server: "https://s3.eu-central-1.amazonaws.com". Required.
	Endpoint string `toml:"endpoint"`
	// Bucket is the bucket's name there. Default: as here.
	Bucket string `toml:"bucket"`
	// Region is the one that signatures name. Default "us-east-1".
	Region string `toml:"region"`
	// PathStyle puts the bucket into the path instead of the host. Default true.
	PathStyle *bool `toml:"path_style"`
	// AccessKeyID and the secret sign the requests. The secret is the content of
	// SecretFile, or of the environment variable SecretEnv. Required.
	AccessKeyID string `toml:"access_key_id"`
	SecretFile  string `toml:"secret_file"`
	SecretEnv   string `toml:"secret_env"`
	// Timeout is how long the server may be silent. Default "30s".
	Timeout string `toml:"timeout"`
}

// Settings are what a File means. Values are checked and defaults filled in.
type Settings struct {
	Data           string
	WorkersDomain  string
	Zones          []string
	TrustedProxies []netip.Prefix
	DrainTimeout   time.Duration
	Origins        map[string]*url.URL

	HTTP, HTTPS  []string
	Certificates []Certificate

	Admin         string
	AdminCert     Certificate // zero without TLS
	AdminInsecure bool

	S3      string      // "": nowhere
	S3Cert  Certificate // zero without TLS
	S3Hosts []string

	AllowPrivate []netip.Prefix

	Relay *mail.Relay // nil: none

	Upstreams []config.Upstream // of R2 buckets, by name

	Normalization config.Normalization
	Compression   bool

	MaxConns, MaxConnsPerClient int
	BodyTimeout                 time.Duration

	// MaxCells zero is one for each processor.
	MaxCells int

	// MaxBody and MaxMemory are in bytes. MaxWall zero is no bound.
	MaxBody, MaxMemory int64
	// So are these. CellsMemory zero is what the machine has to give.
	CellsMemory, CallMemory, UploadMemory int64
	// Quotas are in bytes, by key; those without a bound are not there.
	Quotas          map[string]int64
	MaxWall, MaxCPU time.Duration

	// Rules are checked and compiled.
	Rules *ruleset.Set

	LogLevel    slog.Level
	LogJSON     bool
	LogRequests bool
	LogWorkers  bool
}

// Fixed names the keys whose values differ between two settings and cannot
// change while a server runs. Everything else can.
func (s *Settings) Fixed(next *Settings) []string {
	var keys []string
	check := func(key string, same bool) {
		if !same {
			keys = append(keys, key)
		}
	}
	check("data", s.Data == next.Data)
	check("workers_domain", s.WorkersDomain == next.WorkersDomain)
	check("trusted_proxies", slices.Equal(s.TrustedProxies, next.TrustedProxies))
	check("http.listen", slices.Equal(s.HTTP, next.HTTP))
	check("https.listen", slices.Equal(s.HTTPS, next.HTTPS))
	check("admin.listen", s.Admin == next.Admin)
	check("admin.cert", (s.AdminCert == Certificate{}) == (next.AdminCert == Certificate{}))
	check("s3.listen", s.S3 == next.S3)
	check("s3.cert", (s.S3Cert == Certificate{}) == (next.S3Cert == Certificate{}))
	check("s3.hosts", slices.Equal(s.S3Hosts, next.S3Hosts))
	check("egress.allow_private", slices.Equal(s.AllowPrivate, next.AllowPrivate))
	check("email", reflect.DeepEqual(s.Relay, next.Relay))
	check("r2.upstreams", reflect.DeepEqual(s.Upstreams, next.Upstreams))
	check("url_normalization", s.Normalization == next.Normalization)
	check("edge.compression", s.Compression == next.Compression)
	check("limits.connections", s.MaxConns == next.MaxConns)
	check("limits.connections_per_client", s.MaxConnsPerClient == next.MaxConnsPerClient)
	check("limits.body_timeout", s.BodyTimeout == next.BodyTimeout)
	check("limits.cpu", s.MaxCPU == next.MaxCPU)
	check("limits.memory", s.MaxMemory == next.MaxMemory)
	check("limits.cells", s.MaxCells == next.MaxCells)
	check("limits.cells_memory", s.CellsMemory == next.CellsMemory)
	check("limits.call_memory", s.CallMemory == next.CallMemory)
	check("limits.upload_memory", s.UploadMemory == next.UploadMemory)
	check("quotas", maps.Equal(s.Quotas, next.Quotas))
	check("log.format", s.LogJSON == next.LogJSON)
	return keys
}
