// Package config holds what the platform should be running: Workers, their
// versions and bindings, and the hostnames that reach them.
//
// Every value here is immutable once it is part of a [Snapshot]. The control
// plane (or `selvage dev`) makes snapshots; the edge and the engine read them
// through a [Source]. The two planes meet in this package and nowhere else.
//
// A binding is kept as a type name plus the JSON that was uploaded, so that
// this package knows no product; the binding's own package decodes it.
package config

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Snapshot is the whole desired state at one moment.
type Snapshot struct {
	// Account owns everything in the snapshot: 32 hexadecimal characters.
	Account string
	// Workers by name.
	Workers map[string]*Worker
	// Routes maps hostnames and patterns to Workers. Order has no meaning:
	// precedence follows Cloudflare's rules (most specific pattern first).
	Routes []Route
	// WorkersDomain is the suffix under which every Worker with Subdomain set
	// answers: Worker "api" at api.<WorkersDomain>. Default "localhost".
	WorkersDomain string
	// Default, when not empty, names the Worker that answers every host no
	// route claims (`selvage dev`: the first project).
	Default string
	// Zones are the domains with settings of their own, by name.
	Zones map[string]Zone
}

// Zone is a domain and what holds for the requests to its hosts.
type Zone struct {
	Normalization Normalization
}

// Normalization says how the URLs of requests are normalized before anything
// looks at them. The zero value is Cloudflare's default.
//
// Source: https://developers.cloudflare.com/rules/normalization/
type Normalization struct {
	// Type is NormalizeCloudflare (or empty) or NormalizeRFC3986.
	Type string `json:"type"`
	// Scope is NormalizeIncoming (or empty), NormalizeBoth or NormalizeNothing.
	// Both is the same as incoming: an origin is asked for what the Worker asks
	// for, which is the normalized URL.
	Scope string `json:"scope"`
}

// The words of a Normalization.
const (
	// NormalizeCloudflare merges slashes and takes backslashes for slashes, and
	// then does what NormalizeRFC3986 does.
	NormalizeCloudflare = "cloudflare"
	// NormalizeRFC3986 decodes unreserved characters, encodes what must be,
	// writes escapes in upper case and removes dot segments.
	NormalizeRFC3986 = "rfc3986"

	NormalizeIncoming = "incoming"
	NormalizeBoth     = "both"
	NormalizeNothing  = "none"
)

// Check says what is wrong with n.
func (n Normalization) Check() error {
	switch n.Type {
	case "", NormalizeCloudflare, NormalizeRFC3986:
	default:
		return fmt.Errorf("type %q: use %q or %q", n.Type, NormalizeCloudflare, NormalizeRFC3986)
	}
	switch n.Scope {
	case "", NormalizeIncoming, NormalizeBoth, NormalizeNothing:
	default:
		return fmt.Errorf("scope %q: use %q, %q or %q", n.Scope, NormalizeIncoming, NormalizeBoth, NormalizeNothing)
	}
	return nil
}

// Route sends the requests that match Pattern to a Worker.
//
// Source: https://developers.cloudflare.com/workers/configuration/routing/routes/
type Route struct {
	// Pattern is "host/path*" with an optional leading "*" in the host
	// ("*.example.com/*", "*example.com/*") and an optional scheme.
	Pattern string
	// Worker is the name of the target. Empty: the pattern is excluded, no
	// Worker runs.
	Worker string
	// CustomDomain says that Pattern is a bare hostname whose every path
	// belongs to Worker. Custom domains win over route patterns.
	CustomDomain bool
	// Zone is the name of the zone the route belongs to.
	Zone string
}

// Worker is a named program and the versions of it that take traffic now.
type Worker struct {
	Name string
	// Deployment is the current deployment's id (UUID).
	Deployment string
	// Shares are one or two versions whose percentages add up to 100.
	Shares []Share
	// Previews are further versions that can be asked for by their id but
	// take no share of the traffic.
	Previews []*Version
	// Subdomain: the Worker answers at <name>.<workers domain>.
	Subdomain bool
	// PreviewURLs: each version answers at <first 8 of id>-<name>.<workers domain>,
	// and the newest with the annotation workers/alias also at
	// <alias>-<name>.<workers domain>.
	PreviewURLs bool
	// Moved says where Durable Object classes have gone that this Worker had by
	// those names: bindings to them lead there.
	Moved map[string]Moved
	// Crons are cron expressions in Cloudflare's dialect, UTC.
	Crons []string
	// Triggers are what else the Worker asks to be sent events of, beside its
	// code: a binding's type says of which kind, the name of what. Where Workers
	// are deployed, clients set such things through the REST API instead.
	Triggers []Binding
}

// Share is the part of the traffic that goes to one version.
type Share struct {
	Version *Version
	// Percentage from 0 to 100, two decimals.
	Percentage float64
}

// Version is one immutable upload of a Worker: code, settings and bindings.
type Version struct {
	// ID is a UUID. In `selvage dev` each rebuild is a new version.
	ID string
	// Number counts the versions of one Worker from 1.
	Number int
	// Worker is the name of the Worker this is a version of.
	Worker string
	// Tag and Message are the uploader's annotations; both may be empty.
	Tag, Message string
	Created      time.Time
	// MainModule names the module whose exports are the Worker's handlers. It
	// is empty for an assets-only Worker.
	MainModule string
	// ServiceWorker: the main module is a classic script that calls
	// addEventListener rather than an ES module.
	ServiceWorker bool
	// Code gives the modules, main module first.
	Code Code
	// CompatibilityDate is YYYY-MM-DD.
	CompatibilityDate  string
	CompatibilityFlags []string
	Bindings           []Binding
	// Assets are the static files served with the Worker; nil without any.
	Assets *Assets
	// Site is set where a project on this machine has a Workers Site. An upload
	// has none: wrangler has put the files into the KV namespace by then.
	Site *Site
	// Classes are the Durable Object classes that live in this script after
	// all its migrations.
	Classes []Class
	// Lost are the names of classes that this version had and another Worker has
	// taken over since; see Worker.Moved.
	Lost []string
	// Limits bound what one request may use.
	Limits Limits
	// Annotations are what the uploader said of the version. Only workers/alias
	// has a meaning: see Worker.PreviewURLs.
	Annotations map[string]string
}

// Code gives the modules of a version. They are asked for when a cell starts
// and not kept, so that a thousand idle Workers cost next to nothing.
// Implementations are safe for concurrent use.
type Code interface {
	Modules(ctx context.Context) ([]Module, error)
}

// Modules is Code that is already in memory.
type Modules []Module

// Modules returns m.
func (m Modules) Modules(context.Context) ([]Module, error) { return m, nil }

// ModuleType says how a module is offered to the Worker's import statements.
type ModuleType string

// The module types, named by the content types of an upload.
const (
	ESModule       ModuleType = "application/javascript+module"
	CommonJSModule ModuleType = "application/javascript"
	WasmModule     ModuleType = "application/wasm"
	TextModule     ModuleType = "text/plain"
	DataModule     ModuleType = "application/octet-stream"
	JSONModule     ModuleType = "application/json"
	PythonModule   ModuleType = "text/x-python"
	SourceMap      ModuleType = "application/source-map"
)

// Module is one file of a Worker.
type Module struct {
	// Name is the specifier by which other modules import it.
	Name string
	Type ModuleType
	Data []byte
}

// ReservedModule reports whether a module of that name could stand in for one of
// the runtime's own, or of ours, which are imported by the same names.
func ReservedModule(name string) bool {
	name = strings.ToLower(path.Clean(name))
	for _, scheme := range []string{"selvage:", "cloudflare-internal:", "node-internal:", "workerd:"} {
		if strings.HasPrefix(name, scheme) {
			return true
		}
	}
	return false
}

// Moved is where a class has gone.
type Moved struct {
	Worker, Class string
	// Key is that of the class; a class of that name with another key is not it.
	Key string
}

// Class is a Durable Object class.
type Class struct {
	Name string
	// SQLite: the class was declared with new_sqlite_classes and has ctx.storage.sql.
	SQLite bool
	// Key names the class's storage for ever: it survives renames and new
	// versions. Losing it orphans the objects.
	Key string
}

// Limits bound one request, and the processes of a version. Zero means the
// platform's default.
type Limits struct {
	// CPU is the processor time a request may use. Cloudflare's default: 30 s.
	CPU time.Duration
	// Subrequests is how many requests and calls to bindings an invocation may
	// make. Default 10,000, as on Cloudflare.
	Subrequests int
	// Cells is how many processes the version may have, at most as many as
	// engine.Options.Cells, which is the default. Cloudflare has no such limit.
	Cells int
}

// Binding is one entry of a Worker's env as it was uploaded.
type Binding struct {
	// Name is the property of env.
	Name string
	// Type is Cloudflare's name for the kind: "kv_namespace", "d1", …
	Type string
	// Raw is the whole uploaded object, name and type included.
	Raw json.RawMessage
}

// NewBinding makes a Binding of settings, a struct or map that marshals to a
// JSON object; name and type are added to it.
func NewBinding(name, typ string, settings any) (Binding, error) {
	fields := map[string]json.RawMessage{}
	if settings != nil {
		data, err := json.Marshal(settings)
		if err != nil {
			return Binding{}, fmt.Errorf("binding %s: %w", name, err)
		}
		if err := json.Unmarshal(data, &fields); err != nil {
			return Binding{}, fmt.Errorf("binding %s: %w", name, err)
		}
	}
	fields["name"], _ = json.Marshal(name)
	fields["type"], _ = json.Marshal(typ)
	raw, err := json.Marshal(fields)
	if err != nil {
		return Binding{}, fmt.Errorf("binding %s: %w", name, err)
	}
	return Binding{Name: name, Type: typ, Raw: raw}, nil
}

// Decode unmarshals the binding's settings into v.
func (b Binding) Decode(v any) error {
	if err := json.Unmarshal(b.Raw, v); err != nil {
		return fmt.Errorf("binding %s (%s): %w", b.Name, b.Type, err)
	}
	return nil
}

// Site are the static files that the Worker reads through a binding.
//
// Source: https://developers.cloudflare.com/workers/configuration/sites/
type Site struct {
	// Binding is the name of a KV namespace's binding, whose namespace has the
	// files and nothing else.
	Binding string
	// Files are paths of files by their keys, which have a hash of the content.
	Files map[string]string
}

// Assets are the static files of a version and how they are served.
//
// Source: https://developers.cloudflare.com/workers/static-assets/
type Assets struct {
	// HTMLHandling is auto-trailing-slash (default), force-trailing-slash,
	// drop-trailing-slash or none.
	HTMLHandling string
	// NotFoundHandling is none (default), 404-page or single-page-application.
	NotFoundHandling string
	// RunWorkerFirst: the Worker sees every request before the assets do.
	RunWorkerFirst bool
	// RunWorkerFirstPaths are patterns ("/api/*", "!/api/docs/*") for which the
	// Worker sees the request first; empty means RunWorkerFirst decides.
	RunWorkerFirstPaths []string
	// BasePath is the path under which the files appear ("/docs/" shows the
	// file /a.txt at /docs/a.txt); empty means "/".
	BasePath string
	// Headers and Redirects are the texts of _headers and _redirects.
	Headers, Redirects string
	// Files finds and opens the files.
	Files AssetFiles
}

// AssetFiles is a set of static files. Implementations are safe for
// concurrent use.
type AssetFiles interface {
	// Lookup finds the file at an absolute, slash-separated, decoded path
	// ("/index.html"). There is no directory listing.
	Lookup(path string) (AssetFile, bool)
	// Open opens a file that Lookup returned.
	Open(f AssetFile) (io.ReadSeekCloser, error)
}

// AssetFile describes one static file.
type AssetFile struct {
	// Path is the path it was looked up by.
	Path string
	// ETag identifies the content, without quotes.
	ETag string
	// Digest is the same for the same bytes only, whoever has uploaded them. It is
	// empty for a file that may change.
	Digest string
	// Size in bytes.
	Size int64
	// ContentType is the full header value; empty means none is sent.
	ContentType string
}
