package binding

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/keyed"
	"github.com/selvage-edge/selvage/telemetry"
)

// What a Kind may tell about itself, each implemented only where there is
// something to tell. Whoever wants to know asks every kind, so that nobody has
// to know one by its name. Of a product with several kinds one tells what
// concerns the product as a whole.

// Opener is a Kind that has something to open: its store. Until Open has
// returned, only Type, Validate, Imply and the methods of Referrer, Deployer,
// Secretive, Filer, Bounded and Absentee may be called. If it is an io.Closer it is
// closed after everything that uses it, in the reverse order of opening.
type Opener interface {
	Open(home Home) error
}

// Home is what the platform lends to each kind. All of it stays open until the
// kind has been closed.
type Home struct {
	// Dir is the data directory. A kind has at most one folder in it, which it
	// makes itself; see Filer.
	Dir string
	// Keyed is the node's keyed store; see keyed.Space for who has which rows.
	Keyed *keyed.DB
	// Blobs opens a blob store that belongs to the caller alone. It is part of
	// every backup, and keeps what it has while one is made.
	Blobs func(name string) (*blob.Store, error)
	// Memory bounds what calls of Workers take of this process's memory, together
	// and each. A kind takes what a call needs before it begins, under the
	// Worker's name, unless that is next to nothing.
	Memory *budget.Budget
	// Quota is what the settings say of how many bytes may be stored, by the name
	// of the key in [quotas]; 0 for the product's own default.
	Quota func(name string) int64
	// Dev: this is `selvage dev`, where products tell Workers what wrangler's local
	// simulator tells them.
	Dev bool
	// Account is the id of the account that owns everything.
	Account string
	// WorkersDomain is the domain below which hosts are made up, as those of Workers
	// are: "<worker>.<domain>". Port follows it in URLs: ":8443", or nothing.
	WorkersDomain, Port string
	// TakeHost calls take with the zone that a host is in, while nobody else can take
	// a host. zone is the id of that zone, if a client named one. The error is take's,
	// or tells the client why the host cannot be had: it is in no zone of this server,
	// or somebody has it.
	TakeHost func(ctx context.Context, host, zone string, take func(Zone) error) error
	// Upstreams are the servers that keep resources instead of this node, by the name
	// of the product's quota.
	Upstreams map[string][]config.Upstream
	// Inbox takes messages for other products' readers. It works once everything is
	// open.
	Inbox Inbox
	// Now is the clock.
	Now func() time.Time
	// Log receives what happens in the background.
	Log *slog.Logger
	// Mail takes e-mail to be sent. Nil where none is configured; every other
	// field is set, Port aside.
	Mail mail.Sender
}

// Zone is a domain of this server: its hosts can be given to Workers and products.
type Zone struct{ ID, Name string }

// Referrer is a Kind whose bindings lead to other Workers. A Worker that others
// refer to is not deleted by accident, is found by `selvage dev`, and listens
// for the calls of other cells.
type Referrer interface {
	// Refer says where a binding leads; nothing if its settings are wrong.
	Refer(b config.Binding) []Reference
}

// Reference is where a binding leads.
type Reference struct {
	// Peer is what it calls. Peer.Worker is empty for the Worker's own class.
	Peer
	// Class is the class of Peer.Worker, of Durable Objects or of a Workflow, that
	// it leads to; then no entrypoint is called.
	Class string
}

// Holder is a Kind whose resources need Workers by name: a queue its consumer. A
// Worker that is held is not deleted by accident.
type Holder interface {
	// Holds says why the Worker is needed; empty if it is not.
	Holds(worker string) (why string)
}

// Maker is a Kind whose resources can be made from their bindings' settings.
type Maker interface {
	// Make makes the resource that a binding names unless it exists. Where
	// Workers bring their resources along, as in `selvage dev`, it is called
	// before Mount and Bind.
	Make(ctx context.Context, b config.Binding) error
}

// Provisioner is a Kind whose resources the REST API can make as a project's
// configuration names them; see `selvage provision`.
type Provisioner interface {
	// Provision says what a binding, or a trigger, of the Worker names. It leaves
	// out what has no id or name yet: wrangler makes that.
	Provision(worker string, b config.Binding) ([]Provision, error)
}

// Provision is a resource and how the REST API makes it.
type Provision struct {
	// Name is for people: "queue jobs".
	Name string
	// Find is the path, below the account's, that answers 404 or with an empty list
	// unless the resource is there.
	Find string
	// Create is the path, below the account's, to which Body is posted, as JSON.
	Create string
	Body   map[string]string
}

// Deployer is a Kind that not every Worker may be deployed with.
type Deployer interface {
	// Deployable says why a version of that Worker is refused because of b.
	// Without that it would start; see Missing.
	Deployable(worker string, b config.Binding) error
}

// Secretive is a Kind whose settings are secret in part. The control plane
// stores those fields sealed, shows them to nobody, and carries the bindings
// over to the next version, because clients do not have them.
type Secretive interface {
	// SecretFields are the names of the fields.
	SecretFields() []string
}

// Filer is a Kind that keeps databases in the data directory.
type Filer interface {
	Files() Files
}

// Files are the SQLite files that a backup copies, each as of one moment. Names
// are relative to the data directory, with slashes.
type Files struct {
	// First are copied before any others: they name what the others hold.
	First []string
	// Folder is searched, at any depth, for files whose name ends in ".sqlite".
	Folder string
	// OwnCheckpoints is as in sqlite.Options, for all of them.
	OwnCheckpoints bool
}

// Bounded is a Kind of which the settings may bound what is stored. It asks
// Home.Quota for the bounds, and refuses what would exceed them.
type Bounded interface {
	Quotas() []Quota
}

// Quota is a bound on stored bytes, and where an operator sees what is used of
// it.
type Quota struct {
	// Key is its name in the table [quotas] of the settings.
	Key string
	// Name is what it bounds, for people: "largest D1 database".
	Name string
	// Folders of the data directory have the files that count, at any depth: those
	// whose names end in Suffix. Their sizes may differ a little from what is
	// counted when something is stored.
	Folders []string
	Suffix  string
	// Of is what of the files it bounds.
	Of Part
	// Ask, where the files do not tell, is the path of the local API that does. The
	// answer is {"name": …, "bytes": …}, of who has most.
	Ask string
}

// Part is a part of what is in folders.
type Part int

const (
	// All is all files together.
	All Part = iota
	// EachFile is the largest file.
	EachFile
	// EachFolder is the largest folder, with all that is below it.
	EachFolder
)

// Sweeper is a Kind whose store keeps things for a while that nothing uses any
// more: what an interrupted call left behind.
type Sweeper interface {
	// Sweep deletes them and returns their number. It is called once everything
	// is open and then every hour, and ends soon after ctx.
	Sweep(ctx context.Context) (deleted int, err error)
}

// Runner is a Kind that works as long as the platform runs: one that sends events
// to Workers.
type Runner interface {
	// Run is called once everything is open, on a goroutine of its own, and
	// returns soon after ctx has ended. What goes wrong it logs.
	// source has the Workers, and in their triggers who asks for which events.
	Run(ctx context.Context, events Events, source config.Source)
}

// Measurer is a Kind that has something to count.
type Measurer interface {
	// Measure adds to m what can be asked for at any time. m may be nil.
	Measure(m *telemetry.Metrics)
}

// Router is a Kind whose resources are managed through the REST API.
type Router interface {
	Routes() []api.Route
}

// LocalRouter is a Kind with operations for the command line on this machine,
// beyond Cloudflare's API. Their paths begin with "/local/".
type LocalRouter interface {
	LocalRoutes() []api.Route
}

// Fronter is a Kind that answers requests to a Worker ahead of its code.
type Fronter interface {
	// Front returns what answers for a version with static assets, and what of
	// their settings is ignored and why.
	Front(v *config.Version) (front Front, warnings []string, err error)
}

// Front answers a request or leaves it to next, which is nil if the version has
// no code.
type Front func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Attendant is a Kind whose events run a class of the Worker that the shim reaches
// by its name, and that has the shim call back while it does.
type Attendant interface {
	Kind
	// Class is the exported class that events may name because the Worker has the
	// binding; empty for none.
	Class(worker string, b config.Binding) string
	// Attend returns the shim's case for events of the kind's type, and what
	// answers its calls. The case is the default export of a module in JavaScript;
	// its third argument is the shim's env, in which "entrypoint <class>" is the
	// class and "calls <type>" leads to h.
	Attend() (module string, h http.Handler)
}

// Absentee is a Kind whose product does not run here.
type Absentee interface {
	// Absent names the product and the parts of Cloudflare's REST API, by what
	// follows the account in their paths, that belong to it.
	Absent() (product string, paths []string)
}

// Hosted answers for hosts of its own, without a Worker: a public bucket. A Kind
// may be one, and so may what is no Kind; package platform has the list.
type Hosted interface {
	// Hosted returns who has a host, or nil. The host is in lower case, without
	// port and without a dot at its end. It is asked for every request, so it must
	// not wait.
	Hosted(host string) *HostOwner
}

// HostOwner is who has a host. Nobody else gets it: no Worker as a custom domain,
// and no other Hosted.
type HostOwner struct {
	// Name is for people: "the R2 bucket photos".
	Name string
	// Serve answers all requests to the host. An error before anything was written
	// becomes the edge's error page; best it is a *fault.Fault.
	Serve func(w http.ResponseWriter, r *http.Request) error
	// Raw requests and responses are left as they are: the edge does not normalize
	// the URL, and neither compresses nor changes Accept-Encoding. It is for
	// requests that are signed.
	Raw bool
}

// ZoneHolder is a Hosted whose hosts are in zones. A zone that is held is not
// deleted by accident.
type ZoneHolder interface {
	// HoldsZone says why the zone with that id is needed; empty if it is not.
	HoldsZone(id string) (why string)
}

// Inbox is a Kind that takes messages which other products send: a queue is an inbox.
type Inbox interface {
	// Post stores messages in the inbox with that id, durably, all of them or none.
	// Each is JSON of at most 100 KB. The error is ErrNoInbox, or says that they may
	// be posted again later.
	Post(ctx context.Context, id string, messages [][]byte) error
	// InboxName is what people call the inbox with that id. The error is ErrNoInbox if
	// there is none.
	InboxName(id string) (string, error)
}

// ErrNoInbox: there is no inbox with that id, or there is none any more.
var ErrNoInbox = errors.New("there is no such queue")

// Analyst is a Kind with numbers that clients read through the GraphQL Analytics API.
type Analyst interface {
	Datasets() []Dataset
}

// Dataset is a field of an account in that API. Queries are not interpreted: whatever
// columns one asks for, it gets all rows that the filter selects.
//
// Source: https://developers.cloudflare.com/analytics/graphql-api/
type Dataset struct {
	// Name is the field's: "r2StorageAdaptiveGroups".
	Name string
	// Scope is what a token must allow to read it.
	Scope string
	// Rows marshals to a list in JSON. The filter is the query's variable of that name.
	Rows func(ctx context.Context, filter map[string]any) (any, error)
}
