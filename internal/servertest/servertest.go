// Package servertest runs a whole server, with real cells, inside a test: for
// tests that speak to it as its clients do.
package servertest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/assets"
	"github.com/selvage-edge/selvage/auth"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/blob"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control"
	"github.com/selvage-edge/selvage/d1"
	"github.com/selvage-edge/selvage/durable"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/engine"
	"github.com/selvage-edge/selvage/keyed"
	"github.com/selvage-edge/selvage/kv"
	"github.com/selvage-edge/selvage/service"
	"github.com/selvage-edge/selvage/state"
	"github.com/selvage-edge/selvage/telemetry"
	"github.com/selvage-edge/selvage/unsupported"
	"github.com/selvage-edge/selvage/vars"
	"github.com/selvage-edge/selvage/workerd"
)

// Server is a running server.
type Server struct {
	// API is the base URL of the REST API, as in CLOUDFLARE_API_BASE_URL.
	API string
	// Edge is the host and port on which Workers answer.
	Edge string
	// Account is the account's id and Token one that may do everything.
	Account, Token string
}

// Start runs a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	code, err := blob.Open(filepath.Join(dir, "blob", "control"))
	fatal(err)
	values, err := blob.Open(filepath.Join(dir, "blob", "kv"))
	fatal(err)
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{})
	fatal(err)
	t.Cleanup(func() { db.Close() })
	keys, err := kv.Open(db, values, kv.Options{})
	fatal(err)
	t.Cleanup(func() { keys.Close() })
	databases, err := d1.Open(filepath.Join(dir, "d1"), d1.Options{})
	fatal(err)
	t.Cleanup(func() { databases.Close() })
	st, err := state.Open(t.Context(), state.Options{Dir: dir, Blobs: code})
	fatal(err)
	t.Cleanup(func() { st.Close() })
	users := auth.New(st, nil)
	token, err := users.Create(t.Context(), "laptop", nil, 0)
	fatal(err)

	kinds := slices.Concat(vars.Kinds(), []binding.Kind{
		kv.NewKind(keys), d1.NewKind(databases, false), assets.Kind{}, service.Kind{}, durable.Kind{},
	}, unsupported.Kinds())
	var tails telemetry.Hub
	e, err := engine.New(engine.Options{
		Binary:      func(ctx context.Context) (string, error) { return workerd.Binary(ctx, nil) },
		Dir:         dir,
		Source:      st,
		Kinds:       kinds,
		Invocations: tails.Publish,
	})
	fatal(err)
	t.Cleanup(func() { e.Close(context.Background()) })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	front := edge.New(edge.Options{Source: st, Target: e.Dispatch, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go front.Serve(ctx, listener, nil)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	fatal(err)

	h, err := control.New(t.Context(), control.Options{
		State: st, Auth: users, Port: ":" + port, Scheme: "http",
		Routes: [][]api.Route{keys.Routes(), databases.Routes()},
		Check: func(ctx context.Context, v *config.Version) (control.Report, error) {
			r, err := e.Check(ctx, v)
			return control.Report{StartupTime: r.StartTime, Handlers: r.Handlers}, err
		},
		Validate: func(b config.Binding) error {
			if reason := unsupported.Reason(b.Type); reason != "" {
				return fmt.Errorf("binding %s: %s", b.Name, reason)
			}
			return nil
		},
		Tail: func(worker string, f func(telemetry.Invocation)) func() {
			release, cancel := e.Observe(worker), tails.Subscribe(worker, f)
			return func() { cancel(); release() }
		},
	})
	fatal(err)
	admin := httptest.NewServer(h)
	t.Cleanup(admin.Close)
	return &Server{API: admin.URL + "/client/v4", Edge: listener.Addr().String(), Account: st.Account(), Token: token}
}
