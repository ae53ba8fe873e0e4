// Package selvage is the platform as a library: your own Cloudflare inside of
// a Go program, with Workers in JavaScript and in Go in one graph.
//
// A Worker in Go is a function that makes an http.Handler of its environment,
// a struct whose fields are its bindings:
//
//	type Env struct {
//		Sessions *kv.Namespace   `binding:"SESSIONS"`
//		DB       *d1.Database    `binding:"DB"`
//		Billing  selvage.Service `binding:"BILLING"`
//	}
//
//	func main() {
//		selvage.Main(selvage.Worker("api", newAPI, selvage.WithService("BILLING", "billing")))
//	}
//
//	func newAPI(env *Env) http.Handler { … }
//
// [Main] makes a program with the flags and commands of selvage itself, which
// is selvage.Main() without Workers. [New] puts the platform into a program of
// your own: its [Platform.Handler] goes into your mux, or [Platform.Serve]
// answers on your listener. Package selvagetest has it inside of a test.
//
// # A Worker in Go
//
// It answers at <name>.localhost (or below the workers domain) and at its
// routes, is called by other Workers through service bindings and by cron
// triggers, and has the bindings that Workers in JavaScript have: the same
// stores, limits and errors, without a process in between. Its handler may
// implement further events: [Scheduler], [Consumer], [Runner] and [Tailer].
//
// Differences to a Worker in JavaScript: it is not isolated from the program,
// has no limits on processor time and memory, and speaks fetch only; Workers in
// JavaScript cannot call its methods by RPC. A panic is a 500 with error 1101
// and an exception in tail events; the program goes on.
package selvage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/telemetry"
)

// Platform is a running Selvage. It is safe for concurrent use.
type Platform struct {
	p       *platform.Platform
	cleanup func()
}

// New opens the data directory and starts everything but listeners. Without
// Workers in JavaScript nothing is downloaded and no process started. ctx
// bounds the opening only. A Worker whose bindings are missing or of the wrong
// kind is an error that lists them all. Close the platform.
func New(ctx context.Context, options ...Option) (*Platform, error) {
	s, err := build(ctx, options)
	if err != nil {
		return nil, err
	}
	o := platform.Options{
		Data: s.data, Logger: s.logger, Source: &config.Value{}, Crons: true, CreateMissing: true,
		// The engine is fetched when the first Worker in JavaScript starts.
		Binary: func(ctx context.Context) (string, error) { return workerd.Binary(ctx, nil) },
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Data == "" {
		o.Data = ".selvage"
	}
	log := o.Logger
	o.Lines = func(l telemetry.Line) { logLine(log, l) }
	s.configure(&o)
	if v, ok := o.Source.(*config.Value); ok && v.Current().Default == "" && len(o.Builtins) > 0 {
		snapshot := *v.Current()
		snapshot.Default = o.Builtins[0].Worker.Name
		v.Set(&snapshot)
	}
	p, err := platform.Open(ctx, o)
	if err != nil {
		s.cleanup()
		return nil, err
	}
	return &Platform{p, s.cleanup}, nil
}

// logLine writes a line of a Worker's log.
func logLine(log *slog.Logger, l telemetry.Line) {
	level := slog.LevelInfo
	switch l.Level {
	case "error":
		level = slog.LevelError
	case "warn":
		level = slog.LevelWarn
	case "debug":
		level = slog.LevelDebug
	}
	if l.Runtime && level < slog.LevelError {
		level = slog.LevelDebug // workerd's own notes are for its developers
	}
	log.Log(context.Background(), level, l.Message, "worker", l.Worker)
}

// Handler is the edge, for a server or mux of yours: it finds the Worker by
// host and path, and the first Worker of New's options answers every host that
// no route claims.
func (p *Platform) Handler() http.Handler { return p.p.Edge }

// Serve answers requests on l, by HTTP/1.1 and HTTP/2 without TLS, until ctx
// ends, and then returns nil. Unlike a server of yours around Handler it checks
// requests byte by byte and bounds connections. It may be called for several
// listeners.
func (p *Platform) Serve(ctx context.Context, l net.Listener) error { return p.p.Serve(ctx, l, nil) }

// Close stops accepting requests, lets handlers, WaitUntil functions and
// Workers in JavaScript finish until ctx ends, and closes the stores.
func (p *Platform) Close(ctx context.Context) error {
	defer p.cleanup()
	return p.p.Close(ctx)
}

// Worker returns a Worker as a service binding would: requests reach it
// directly, not through the edge.
func (p *Platform) Worker(name string) Service {
	return service.New(func(w http.ResponseWriter, r *http.Request) error {
		return p.p.Engine.Call(w, r, binding.Peer{Worker: name})
	})
}

// Scheduled fires a cron trigger of a Worker and waits for its handler and what
// that waits for. An exception of the handler is an error.
func (p *Platform) Scheduled(ctx context.Context, worker, expression string, at time.Time) error {
	outcome, err := p.p.Engine.Send(ctx, worker, cron.Trigger{Cron: expression, Time: at}.Event())
	if err == nil && outcome.Outcome != "ok" {
		err = fmt.Errorf("scheduled handler of Worker %q: outcome %s", worker, outcome.Outcome)
	}
	return err
}

// KV returns the KV namespace with an id, made if it does not exist. The id is
// the binding's name where nothing else was said.
func (p *Platform) KV(id string) (*kv.Namespace, error) {
	var n *kv.Namespace
	err := p.resource("kv_namespace", map[string]string{"namespace_id": id}, &n)
	return n, err
}

// D1 returns the D1 database with an id, made if it does not exist. The id is
// the binding's name where nothing else was said.
func (p *Platform) D1(ctx context.Context, id string) (*d1.Database, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var db *d1.Database
	err := p.resource("d1", map[string]string{"id": id}, &db)
	return db, err
}

// Queue returns a producer of the queue with a name, made if it does not exist.
// The name is the binding's where nothing else was said.
func (p *Platform) Queue(name string) (*queue.Producer, error) {
	var q *queue.Producer
	err := p.resource("queue", map[string]string{"queue_name": name}, &q)
	return q, err
}

// R2 returns the R2 bucket with a name, made if it does not exist. The name is the
// binding's where nothing else was said.
func (p *Platform) R2(name string) (*r2.Bucket, error) {
	var b *r2.Bucket
	err := p.resource("r2_bucket", map[string]string{"bucket_name": name}, &b)
	return b, err
}

// resource sets the variable that to points to as a binding with these settings
// would.
func (p *Platform) resource(typ string, settings map[string]string, to any) error {
	b, err := config.NewBinding("of the program", typ, settings)
	if err != nil {
		return err
	}
	return p.p.Bind(nil, b, to)
}

// Workers tells what the Workers in Go are doing: requests in flight, the
// oldest of them, exceptions.
func (p *Platform) Workers() []program.Info { return p.p.Engine.Programs() }

// built is what options make.
type built struct {
	*settings
	builtins []platform.Builtin
	cleanups []func()
}

// build makes the Workers that options describe.
func build(ctx context.Context, options []Option) (_ *built, err error) {
	b := &built{settings: &settings{}}
	for _, o := range options {
		o(b.settings)
	}
	defer func() {
		if err != nil {
			b.cleanup()
		}
	}()
	var errs []error
	names := map[string]bool{}
	for _, make := range b.workers {
		w, err := make(ctx, b)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if names[w.Worker.Name] {
			errs = append(errs, fmt.Errorf("two Workers are called %q; give one of them another name", w.Worker.Name))
		}
		names[w.Worker.Name] = true
		b.builtins = append(b.builtins, w)
	}
	return b, errors.Join(errs...)
}

// configure adds the Workers to a platform's options.
func (b *built) configure(o *platform.Options) {
	o.Builtins = append(o.Builtins, b.builtins...)
	o.Crons = true // also in dev, which gives projects none
	mapStack := o.MapStack
	o.MapStack = func(v *config.Version, stack string) string {
		for _, w := range b.builtins {
			if w.Worker.Name == v.Worker && w.MapStack != nil {
				return w.MapStack(v.ID, stack)
			}
		}
		if mapStack != nil {
			return mapStack(v, stack)
		}
		return stack
	}
	for _, f := range b.configures {
		f(o)
	}
}

func (b *built) cleanup() {
	for _, f := range b.cleanups {
		f()
	}
}

// extract writes a folder of a file system to a temporary one.
func (b *built) extract(fsys fs.FS, dir string) (string, error) {
	sub, err := fs.Sub(fsys, filepath.ToSlash(filepath.Clean(dir)))
	if err != nil {
		return "", err
	}
	temporary, err := os.MkdirTemp("", "selvage-project-")
	if err != nil {
		return "", err
	}
	b.cleanups = append(b.cleanups, func() { os.RemoveAll(temporary) })
	return temporary, os.CopyFS(temporary, sub)
}
