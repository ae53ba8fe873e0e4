// Package dev is `selvage dev`: it runs wrangler projects on this machine,
// rebuilds them when a file is saved, and shows what they write.
package dev

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/platform"
	wrangler "github.com/selvage-edge/selvage/project"
	"github.com/selvage-edge/selvage/project/manifest"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options of a development server.
type Options struct {
	// Projects are folders or configuration files. The first one answers on any
	// host that is not refused (see AllowHosts); each answers at <name>.localhost
	// and at its routes.
	Projects []string
	// Address is the host to listen on; default "localhost", which is both
	// loopback addresses.
	Address string
	// Port to listen on; 0 picks a free one.
	Port int
	// Data is the data directory. Default: .selvage beside the first project's
	// configuration.
	Data string
	// Env names the environment of the configurations.
	Env string
	// Vars are added to the first project's vars and win over them.
	Vars map[string]string
	// Origins maps private hostnames to servers.
	Origins map[string]*url.URL
	// Upstreams are S3 servers that keep R2 buckets instead of the data directory.
	Upstreams []config.Upstream
	// AllowHosts are names under which clients may ask, beside addresses, names
	// without a dot, localhost and all below it, Address, and the hosts of Origins
	// and of the projects' routes: "dev.example.com", ".example.com" for that and
	// all below it, "all" for any. Other hosts are refused.
	AllowHosts []string
	// Inspect is the address on which DevTools attach; empty for none.
	Inspect string
	// HTTPS serves TLS with a self-signed certificate.
	HTTPS bool
	// Observe prints every request, and every exception that a Worker does not
	// catch. Without it only console lines, failed requests and the exceptions
	// that end a handler are seen.
	Observe bool
	// TestScheduled answers /__scheduled by running the scheduled handler.
	TestScheduled bool
	// S3 is the address of R2's S3 API. Empty: it does not answer.
	S3 string
	// StuckAfter is how long a Worker may block its process; default 30 s.
	StuckAfter time.Duration
	// Configure changes the platform's options: how a program adds its own
	// Workers. May be nil.
	Configure func(*platform.Options)
	// Default names the Worker of Configure's that answers every host when
	// there are no projects.
	Default string

	Stdout, Stderr io.Writer
}

// server is a running development server.
type server struct {
	options  Options
	console  *console
	names    *hostNames
	projects []*project
	source   config.Value
	broken   atomic.Pointer[error] // why the first build of a project failed
	platform *platform.Platform

	resources atomic.Pointer[[]manifest.Resource] // of all projects
	origins   atomic.Pointer[map[string]origin]   // of the Workers that have one; see innerOrigin
}

// Run serves until ctx ends. It prints a line that starts with "Ready on" once
// it answers.
func Run(ctx context.Context, o Options) error {
	color := colors(o.Stdout)
	out := newPrinter(o.Stdout)
	defer out.flush()
	o.Stdout = out
	s := &server{options: o, console: &console{out: out, color: color}}
	var err error
	if s.names, err = hostNamesOf(o); err != nil {
		return err
	}
	if err := s.loadAll(); err != nil {
		return err
	}
	if s.options.Data == "" {
		s.options.Data = ".selvage"
		if len(s.projects) > 0 {
			s.options.Data = filepath.Join(s.projects[0].Manifest.Root, ".selvage")
		}
	}
	if err := prepareData(s.options.Data); err != nil {
		return err
	}
	listener, err := s.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	s3, err := s.listenS3()
	if err != nil {
		return err
	}
	if s3 != nil {
		defer s3.Close()
	}
	log := slog.New(telemetry.Thin(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	options := platform.Options{
		Data: s.options.Data, Source: &s.source, Logger: log,
		Dev: true, CreateMissing: true, Exceptions: o.Observe,
		Resources: func() []manifest.Resource { return *s.resources.Load() },
		Hosts:     hosts(listener), Origins: o.Origins, Upstreams: map[string][]config.Upstream{"r2": o.Upstreams}, StuckAfter: o.StuckAfter, Inspect: o.Inspect != "",
		Stages:      s.stages(),
		Lines:       s.console.line,
		Requests:    s.requests(),
		S3Requests:  s.s3Request,
		Invocations: s.invocation,
		MapStack:    s.mapStack,
		Mail:        &mail.Outbox{Dir: filepath.Join(s.options.Data, "email"), Print: func(text string) { s.console.print("", "", text) }},
		Progress:    o.Stderr,
	}
	if o.Configure != nil {
		o.Configure(&options)
	}
	if s.platform, err = platform.Open(ctx, options); err != nil {
		return err
	}
	closing := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.platform.Close(ctx); !errors.Is(err, platform.ErrCutOff) {
			return err
		}
		return nil // whoever stops does not wait for open WebSockets
	}
	if err := s.start(ctx, listener, s3, log); err != nil {
		return errors.Join(err, closing())
	}
	return closing()
}

// start builds, serves and reloads until ctx ends.
func (s *server) start(ctx context.Context, listener, s3 net.Listener, log *slog.Logger) error {
	secure, err := s.tls()
	if err != nil {
		return err
	}
	if s.options.Inspect != "" {
		stop, err := s.inspect(s.options.Inspect)
		if err != nil {
			return err
		}
		defer stop()
	}
	w, err := newWatcher(log, s.options.Data)
	if err != nil {
		return err
	}
	defer w.close()
	var failed error
	for _, p := range s.projects {
		failed = errors.Join(failed, s.build(ctx, p))
		p.watch(w)
	}
	if failed != nil {
		s.broken.Store(&failed)
	} else {
		s.publish()
	}
	served := make(chan error, 2)
	go func() { served <- s.platform.Serve(ctx, listener, secure) }()
	if s3 != nil {
		if err := s.announceS3(ctx, s3); err != nil {
			return err
		}
		go func() { served <- s.platform.ServeS3(ctx, s3, secure) }()
	}
	fmt.Fprintf(s.options.Stdout, "Ready on %s\n", s.url(listener))
	go w.run(ctx, func(paths map[string]bool) { s.reload(ctx, w, paths) })
	return <-served
}

// hosts are the names of this machine under which l is reached from here.
func hosts(l net.Listener) []string {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	var list []string
	for _, h := range []string{host, "localhost", "127.0.0.1", "::1"} {
		list = append(list, net.JoinHostPort(h, port))
	}
	return list
}

func (s *server) url(l net.Listener) string {
	scheme := "http"
	if s.options.HTTPS {
		scheme = "https"
	}
	host := s.options.Address
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return scheme + "://" + net.JoinHostPort(host, port)
}

// listen opens the port before anything is built, so that a second server on
// the same port fails at once.
func (s *server) listen() (net.Listener, error) {
	host := s.options.Address
	if host == "" {
		host = "localhost"
	}
	l, err := listenBoth(host, s.options.Port)
	if err != nil {
		return nil, fmt.Errorf("%w; end the program that uses the port or choose another with --port", err)
	}
	return l, nil
}

// tls is the configuration of --https, nil without.
func (s *server) tls() (*tls.Config, error) {
	if !s.options.HTTPS {
		return nil, nil
	}
	pair, err := certificate(s.options.Data)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// prepareData makes the data directory and keeps it out of version control.
func prepareData(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o600)
}

// loadAll reads the configurations of all projects and of those they call.
func (s *server) loadAll() error {
	load := func(path string) (*project, error) {
		p := &project{wrangler.Project{Path: path, Options: manifest.Options{Env: s.options.Env}, Output: s.options.Stderr}}
		if len(s.projects) == 0 {
			p.Options.Vars = s.options.Vars
		}
		warnings, err := p.Load()
		for _, w := range warnings {
			s.console.warning("", w.Error())
		}
		if err == nil && p.Manifest.Redirected {
			s.console.note("", "Using the redirected configuration "+p.Manifest.File)
		}
		return p, err
	}
	for _, path := range s.options.Projects {
		p, err := load(path)
		if err != nil {
			return err
		}
		for _, other := range s.projects {
			if other.Manifest.Name == p.Manifest.Name {
				return fmt.Errorf("%s and %s are both called %q; give one of them another name", other.Manifest.File, p.Manifest.File, p.Manifest.Name)
			}
		}
		s.projects = append(s.projects, p)
	}
	all, err := discover(s.projects, load)
	s.projects = all
	s.list()
	s.console.names = len(all) > 1
	return err
}

// list notes what the projects' configurations name.
func (s *server) list() {
	var all []manifest.Resource
	for _, p := range s.projects {
		all = append(all, p.Manifest.Resources()...)
	}
	s.resources.Store(&all)
}

// build makes a new version of a project and prints what is wrong with it.
func (s *server) build(ctx context.Context, p *project) error {
	warnings, err := p.Build(ctx)
	for _, w := range warnings {
		s.console.warning(p.Manifest.Name, w)
	}
	if err != nil && ctx.Err() == nil {
		s.console.problem(p.Manifest.Name, err)
	}
	return err
}

// publish makes the projects' newest versions the ones that run.
func (s *server) publish() {
	snapshot := &config.Snapshot{
		Account:       s.platform.Account(),
		Workers:       map[string]*config.Worker{},
		WorkersDomain: "localhost",
		Default:       s.options.Default,
	}
	if len(s.projects) > 0 {
		snapshot.Default = s.projects[0].Manifest.Name
	}
	origins := map[string]origin{}
	for _, p := range s.projects {
		if o := innerOrigin(p.Manifest); o.host != "" {
			origins[p.Manifest.Name] = o
		}
		// So that a fetch() of a project's host is answered here, as it is where
		// the project is deployed.
		snapshot.Routes = append(snapshot.Routes, p.Manifest.Routes...)
		snapshot.Workers[p.Manifest.Name] = &config.Worker{
			Name: p.Manifest.Name, Deployment: p.Version.ID, Subdomain: true,
			Triggers: p.Manifest.Triggers,
			Shares:   []config.Share{{Version: p.Version, Percentage: 100}},
		}
	}
	s.list()
	s.origins.Store(&origins)
	s.transfer(snapshot.Workers)
	s.source.Set(snapshot)
	s.broken.Store(nil)
}

// reload rebuilds what the changed files belong to. A project that cannot be
// built goes on running as it was.
func (s *server) reload(ctx context.Context, w *watcher, paths map[string]bool) {
	start := time.Now()
	var rebuilt []string
	ok := true
	for _, p := range s.projects {
		switch {
		case p.configChanged(paths):
			warnings, err := p.Load()
			for _, warning := range warnings {
				s.console.warning("", warning.Error())
			}
			if err != nil {
				s.console.problem("", err)
				ok = false
				continue
			}
		case !p.sourcesChanged(paths) && p.Version != nil:
			continue
		}
		if s.build(ctx, p) != nil {
			ok = false
		} else {
			rebuilt = append(rebuilt, p.Manifest.Name)
		}
		p.watch(w)
	}
	if len(rebuilt) == 0 || ctx.Err() != nil {
		return
	}
	for _, p := range s.projects {
		if p.Version == nil {
			return // nothing can run before each project was built once
		}
	}
	s.publish()
	for _, name := range rebuilt {
		if err := s.platform.Engine.Start(ctx, name); err != nil && ctx.Err() == nil {
			s.console.problem(name, err)
			ok = false
		}
	}
	if ok {
		for _, name := range rebuilt {
			s.console.note(name, "Reloaded in "+strconv.FormatInt(time.Since(start).Milliseconds(), 10)+"ms")
		}
	}
}

// invocation prints the exceptions of Workers in Go. Those of projects come as
// lines.
func (s *server) invocation(i telemetry.Invocation) {
	if !slices.ContainsFunc(s.projects, func(p *project) bool { return p.Manifest.Name == i.ScriptName }) {
		s.console.exceptions(i)
	}
}

// mapStack rewrites the positions of a stack to those of the sources.
func (s *server) mapStack(v *config.Version, stack string) string {
	for _, p := range s.projects {
		if p.Manifest.Name == v.Worker {
			return p.MapStack(v.ID, stack)
		}
	}
	return stack
}
