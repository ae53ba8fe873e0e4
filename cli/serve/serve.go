// Package serve is `selvage serve`: a platform with listeners, an admin
// address, logs, a reload at SIGHUP and a graceful end.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options of a server.
type Options struct {
	// Settings say what it does. Required.
	Settings *settings.Settings
	// Load reads the settings again, at each Reload. May be nil.
	Load func() (*settings.Settings, error)
	// Reload asks for the settings to be read again: SIGHUP. May be nil.
	Reload <-chan os.Signal
	// Configure changes the platform's options: how a program adds its own
	// Workers. May be nil.
	Configure func(*platform.Options)

	Stdout, Stderr io.Writer
}

// server is a running server. Its settings are those in force.
type server struct {
	options  Options
	log      *slog.Logger
	level    slog.LevelVar
	metrics  *telemetry.Metrics
	settings atomic.Pointer[settings.Settings]
	limits   *edge.Limits
	certs    certificates
	admin    adminServer
	platform *platform.Platform
}

// Run serves until ctx ends, and then lets requests finish. It prints a line
// that starts with "Ready on http" once it answers.
func Run(ctx context.Context, o Options) error {
	s := &server{options: o, metrics: telemetry.NewMetrics(), limits: &edge.Limits{}}
	s.settings.Store(o.Settings)
	s.log = s.logger(o.Settings)
	slog.SetDefault(s.log)
	useCertificates, err := s.certs.load(o.Settings)
	if err != nil {
		return err
	}
	useCertificates()
	s.apply(o.Settings)
	listeners, err := s.listen(o.Settings)
	if err != nil {
		return err
	}
	defer listeners.close()
	if err := s.open(ctx, listeners); err != nil {
		return err
	}
	if err := s.addZones(ctx, o.Settings.Zones); err != nil {
		return errors.Join(err, s.close())
	}
	ended := make(chan error, len(listeners.edge)+2)
	for _, l := range listeners.edge {
		go func() { ended <- s.platform.Serve(ctx, l.Listener, l.tls) }()
	}
	if l := listeners.s3; l != nil {
		go func() { ended <- s.platform.ServeS3(ctx, l.Listener, l.tls) }()
		s.log.Info("S3 API", "url", l.url())
	}
	go func() { ended <- s.admin.serve(listeners.admin) }()
	s.admin.ready.Store(true)
	fmt.Fprintf(o.Stdout, "Ready on %s\n", listeners.url())
	s.log.Info("control plane", "url", listeners.adminURL()+"/client/v4", "account", s.platform.Account())

	for err == nil {
		select {
		case <-ctx.Done():
			s.log.Info("stopping", "limit", s.settings.Load().DrainTimeout.String())
			return s.close()
		case err = <-ended: // a listener broke
			if err == nil {
				<-ctx.Done()
				return s.close()
			}
		case <-o.Reload:
			s.reload(ctx)
		}
	}
	return errors.Join(err, s.close())
}

func (s *server) open(ctx context.Context, l *listeners) (err error) {
	c := s.settings.Load()
	scheme, port := l.reached(c)
	options := platform.Options{
		Data: c.Data, WorkersDomain: c.WorkersDomain, Scheme: scheme, Port: port,
		Crons: true, Spare: true, Origins: c.Origins, AllowPrivate: c.AllowPrivate, Trusted: c.TrustedProxies, Normalization: c.Normalization,
		MaxConns: c.MaxConns, MaxConnsPerClient: c.MaxConnsPerClient, BodyTimeout: c.BodyTimeout,
		Rules: c.Rules, Stages: []edge.Stage{s.limits}, NoCompression: !c.Compression,
		StuckAfter: c.MaxCPU, MaxMemory: c.MaxMemory, CellsMemory: c.CellsMemory, MaxCells: c.MaxCells, CallMemory: c.CallMemory, UploadMemory: c.UploadMemory, Quotas: c.Quotas, Upstreams: map[string][]config.Upstream{"r2": c.Upstreams}, Cgroups: s.cgroups(c),
		S3Hosts: c.S3Hosts, S3Requests: s.s3Request,
		Lines: s.line, Requests: s.request, Calls: s.call, Metrics: s.metrics,
		Progress: s.options.Stderr, Logger: s.log,
	}
	if c.Relay != nil {
		options.Mail = c.Relay
	}
	if s.options.Configure != nil {
		s.options.Configure(&options)
	}
	if s.platform, err = platform.Open(ctx, options); err != nil {
		return err
	}
	s.admin.open(s)
	return nil
}

// close stops accepting, lets requests and Workers finish, and writes
// everything to disk.
func (s *server) close() error {
	s.admin.ready.Store(false)
	limit := s.settings.Load().DrainTimeout
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The API ends first: a deployment is whole or has not begun. A client that
	// reads slowly does not take the requests' time.
	apiCtx, apiCancel := context.WithTimeout(ctx, limit/4)
	defer apiCancel()
	err := s.admin.close(apiCtx)
	closed := s.platform.Close(ctx)
	if errors.Is(closed, platform.ErrCutOff) { // as was asked for: not a failure
		s.log.Warn(closed.Error(), "limit", limit.String())
		closed = nil
	}
	return errors.Join(err, closed)
}

// apply brings into force what can change while a server runs.
func (s *server) apply(c *settings.Settings) {
	s.level.Set(c.LogLevel)
	s.limits.SetBody(c.MaxBody)
	s.limits.SetWall(c.MaxWall)
	s.settings.Store(c)
}

// reload reads the settings again. Settings that cannot be used change nothing.
func (s *server) reload(ctx context.Context) {
	if s.options.Load == nil {
		return
	}
	before := s.settings.Load()
	var useCertificates func()
	next, err := s.options.Load()
	if err == nil {
		useCertificates, err = s.certs.load(next)
	}
	if err == nil {
		err = s.addZones(ctx, next.Zones)
	}
	if err == nil {
		err = s.platform.SetOrigins(next.Origins)
	}
	if err != nil {
		s.log.Error("configuration not reloaded; the server goes on with the old one", "err", err)
		return
	}
	fixed := before.Fixed(next)
	useCertificates()
	s.platform.SetRules(next.Rules)
	s.apply(next)
	if len(fixed) > 0 {
		s.log.Warn("configuration reloaded; some changes need a restart", "keys", fixed)
		return
	}
	s.log.Info("configuration reloaded")
}
