// Package manifest reads a Worker's configuration file: wrangler.toml,
// wrangler.json or wrangler.jsonc.
//
// Every key that wrangler documents is known. What runs here is used; what
// does not run yet is one warning that names it; a key nobody knows is a
// warning with the nearest known one; a value of the wrong kind is an error.
// All of them carry file, line, column and key.
//
// Named environments follow wrangler's rules: most keys are inherited from the
// top level, bindings and vars are not. Bindings come out in the JSON of the
// upload API, the one shape that bindings have everywhere in this module.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/
package manifest

import (
	"encoding/json"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Latest is the newest compatibility date the engine knows: that of the pinned
// workerd release. Later dates are lowered to it with a warning.
const Latest = "2026-11-17"

// Manifest is what one configuration file says about one Worker in one
// environment.
type Manifest struct {
	// Name of the Worker. For environment E it is "<name>-E", unless the
	// environment names itself. Without any name it is that of the directory.
	Name string
	// Env is the environment that was asked for; empty for the top level.
	Env string
	// File is the absolute path of the configuration file, Dir its directory.
	// Every other path is absolute, too, unless its comment says otherwise.
	File, Dir string
	// Main is the entry point; empty for a Worker of static files only.
	Main string
	// CompatibilityDate is YYYY-MM-DD, never later than Latest. Default: today.
	CompatibilityDate  string
	CompatibilityFlags []string

	// Bindings in the order of the file, then secrets. Names are unique.
	Bindings []config.Binding
	// Parts are the files behind text_blobs, data_blobs and wasm_modules, which
	// go along with the Worker's modules under the names the bindings give.
	Parts config.Modules
	// Secrets are the names among Bindings that came from a .dev.vars or .env file.
	Secrets []string

	// Assets is nil without static files.
	Assets *Assets
	// Databases are the D1 bindings with what migrations need to know.
	Databases []Database
	// Migrations are the Durable Object migrations as written; Classes is what
	// they lead to.
	Migrations []Migration
	Classes    []config.Class

	// Crons are the cron triggers.
	Crons []string
	// Routes are the routes and custom domains, already naming the Worker.
	Routes []config.Route
	// WorkersDev: the Worker answers under the workers domain. Default: true
	// unless there are routes.
	WorkersDev bool
	// PreviewURLs: each version answers at an address of its own. Default: as WorkersDev.
	PreviewURLs bool
	Limits      config.Limits
	// Observability is the JSON of the key of that name; nil without it.
	Observability json.RawMessage
	// TailConsumers are the Workers asked to receive this one's tail events.
	TailConsumers []TailConsumer
	// QueueConsumers are the queues whose messages this Worker wants.
	QueueConsumers []QueueConsumer

	Build Build
	Dev   Dev

	// Inputs are the files this manifest was read from and those that would
	// have been read had they existed: `selvage dev` reloads when one changes.
	Inputs []string
}

// Assets is the key of that name.
//
// Source: https://developers.cloudflare.com/workers/static-assets/binding/
type Assets struct {
	// Directory holds the files.
	Directory string
	// Binding is the property of env by which the Worker reaches them; may be empty.
	Binding string
	// HTMLHandling is auto-trailing-slash (default), force-trailing-slash,
	// drop-trailing-slash or none.
	HTMLHandling string
	// NotFoundHandling is none (default), 404-page or single-page-application.
	NotFoundHandling string
	// RunWorkerFirst and RunWorkerFirstPaths are as in [config.Assets].
	RunWorkerFirst      bool
	RunWorkerFirstPaths []string
}

// Database is a D1 binding as `selvage d1 migrations` sees it.
type Database struct {
	Binding string
	// Name is database_name; the binding's name without one.
	Name string
	// ID is the id in the binding: preview_database_id, database_id or, with
	// neither, the binding's name.
	ID string
	// MigrationsDir defaults to "migrations" beside the manifest.
	MigrationsDir string
	// MigrationsTable defaults to "d1_migrations".
	MigrationsTable string
	// MigrationsPattern selects files in MigrationsDir; empty for "*.sql".
	MigrationsPattern string
}

// TailConsumer is one entry of tail_consumers.
type TailConsumer struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
}

// QueueConsumer is one entry of queues.consumers. Zero and nil values mean the
// queue's defaults.
type QueueConsumer struct {
	Queue           string   `json:"queue"`
	Type            string   `json:"type"`
	MaxBatchSize    float64  `json:"max_batch_size"`
	MaxBatchTimeout float64  `json:"max_batch_timeout"` // seconds
	MaxRetries      *float64 `json:"max_retries"`
	DeadLetterQueue string   `json:"dead_letter_queue"`
	MaxConcurrency  *float64 `json:"max_concurrency"`
	RetryDelay      float64  `json:"retry_delay"` // seconds
}

// Build says how the Worker's modules are made.
type Build struct {
	// Command is run by the shell in Cwd before bundling; empty for none.
	Command string
	Cwd     string
	// WatchDirs are watched for Command. Default: "src" beside the manifest.
	WatchDirs []string

	// NoBundle: modules are taken as they are.
	NoBundle bool
	// FindAdditionalModules: files under BaseDir that match Rules are modules
	// even if nothing imports them by a constant name.
	FindAdditionalModules bool
	// BaseDir is base_dir, or the entry point's directory.
	BaseDir string
	// PreserveFileNames: side modules keep their names rather than getting a hash.
	PreserveFileNames bool
	Rules             []Rule
	Define            map[string]string
	Alias             map[string]string
	Minify            bool
	// KeepNames keeps the names of functions and classes. Default: true.
	KeepNames bool
	// TSConfig is the path of a tsconfig.json to use instead of the nearest one.
	TSConfig                string
	JSXFactory, JSXFragment string
	UploadSourceMaps        bool
}

// Rule says of which type the files are that match one of Globs.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/#bundling
type Rule struct {
	// Type is ESModule, CommonJS, CompiledWasm, Text, Data, PythonModule or
	// PythonRequirement.
	Type  string   `json:"type"`
	Globs []string `json:"globs"`
	// Fallthrough: later rules of the same Type apply, too.
	Fallthrough *bool `json:"fallthrough"`
}

// Dev is the key of that name. Zero values mean that it does not say.
type Dev struct {
	IP               string `json:"ip"`
	Port             int    `json:"port"`
	InspectorIP      string `json:"inspector_ip"`
	InspectorPort    int    `json:"inspector_port"`
	LocalProtocol    string `json:"local_protocol"`    // http or https
	UpstreamProtocol string `json:"upstream_protocol"` // http or https
	Host             string `json:"host"`
}

// Options are what a command line adds to a manifest. The zero value is fine.
type Options struct {
	// Env names the environment; empty for the top level.
	Env string
	// Vars are added to vars and win over everything of the same name.
	Vars map[string]string
	// Now tells the time for the default compatibility date. Default: time.Now.
	Now func() time.Time
}
