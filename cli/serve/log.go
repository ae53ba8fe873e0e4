package serve

import (
	"context"
	"log/slog"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/s3"
	"github.com/selvage-edge/selvage/telemetry"
)

func (s *server) logger(c *settings.Settings) *slog.Logger {
	o := &slog.HandlerOptions{Level: &s.level}
	if c.LogJSON {
		return slog.New(telemetry.Thin(slog.NewJSONHandler(s.options.Stderr, o)))
	}
	return slog.New(telemetry.Thin(slog.NewTextHandler(s.options.Stderr, o)))
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}

// line logs what a Worker or its cell writes.
func (s *server) line(l telemetry.Line) {
	if !s.settings.Load().LogWorkers {
		return
	}
	level := levels[l.Level] // info for the others
	s.log.Log(context.Background(), level, l.Message, "worker", l.Worker, "version", l.Version, "ray", l.Ray, "runtime", l.Runtime)
}

// call logs a call of a Worker to a binding; a failure always, unless it is
// that of a server on the network.
func (s *server) call(c telemetry.Call) {
	level, message := slog.LevelDebug, "binding called"
	if c.Status >= 500 && c.Type != "fetch" {
		level, message = slog.LevelWarn, "call of a binding failed"
	}
	if s.level.Level() > level {
		return
	}
	s.log.Log(context.Background(), level, message, "ray", c.Ray, "worker", c.Worker, "binding", c.Binding, "type", c.Type,
		"status", c.Status, "took", c.Duration.String())
}

// request logs a finished request. Failures have been logged by the edge.
func (s *server) request(r edge.Record) {
	if !s.settings.Load().LogRequests {
		return
	}
	s.log.Info("request", "ray", r.Request.Ray, "client", r.Request.ClientIP, "method", r.Method, "host", r.Host, "path", r.Path,
		"worker", r.Worker, "status", r.Status, "bytes", r.Bytes, "took", r.Duration.String(), "aborted", r.Aborted)
}

// s3Request logs a finished request to the S3 API. Failures of ours have been logged
// there.
func (s *server) s3Request(r s3.Record) {
	if !s.settings.Load().LogRequests {
		return
	}
	s.log.Info("S3 request", "ray", r.Ray, "client", r.Client, "key", r.Key, "operation", r.Operation, "bucket", r.Bucket, "method", r.Method, "host", r.Host,
		"path", r.Path, "status", r.Status, "code", r.Code, "received", r.Received, "sent", r.Sent, "took", r.Duration.String(), "aborted", r.Aborted)
}

// cgroups takes what the kernel bounds cells with, and says what is in force.
func (s *server) cgroups(c *settings.Settings) *cgroup.Tree {
	tree, err := cgroup.Take()
	if err != nil {
		s.log.Info("memory of cells is watched, not bounded by the kernel", "limit", c.MaxMemory, "why", err)
		return nil
	}
	s.log.Info("memory of cells is bounded by the kernel", "limit", c.MaxMemory, "cgroup", tree.Dir())
	return tree
}
