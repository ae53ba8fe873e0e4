package selvage

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/telemetry"
)

// WaitUntil runs f beside the handler to whose request or event ctx belongs,
// and lets it go on after the response. Its context is not canceled when the
// client leaves; Close waits for it. An error or a panic of f is an exception
// of the Worker. Outside of a Worker in Go it panics.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil
func WaitUntil(ctx context.Context, f func(ctx context.Context) error) {
	i := program.InvocationFrom(ctx)
	if i == nil {
		panic("selvage: WaitUntil needs the context of a Worker's request or event")
	}
	i.WaitUntil(f)
}

// Log returns the Worker's log: what console.* is to JavaScript. Its lines show
// up in `selvage dev`, in the server's log and in tail events. Outside of a
// Worker in Go it is slog.Default().
func Log(ctx context.Context) *slog.Logger {
	if i := program.InvocationFrom(ctx); i != nil {
		return i.Logger()
	}
	return slog.Default()
}

// WorkerName is the name of the Worker that handles the request or event; empty
// outside of one.
func WorkerName(ctx context.Context) string {
	if i := program.InvocationFrom(ctx); i != nil {
		return i.Worker
	}
	return ""
}

// Version is the version of the Worker that handles the request or event, nil
// outside of one. Its ID is new each time the program starts and its Tag is the
// revision that the program was built from.
func Version(ctx context.Context) *config.Version {
	if i := program.InvocationFrom(ctx); i != nil {
		return i.Version
	}
	return nil
}

// Props is the JSON that the service binding carries by which the Worker was
// called; nil without.
func Props(ctx context.Context) json.RawMessage {
	if i := program.InvocationFrom(ctx); i != nil {
		return i.Props
	}
	return nil
}

// Ray is the Ray ID of the request, without the colo, or the id of the event;
// empty outside of both.
func Ray(ctx context.Context) string {
	if r := telemetry.RequestFrom(ctx); r != nil {
		return r.Ray
	}
	return ""
}

// CF is the JSON of request.cf; nil outside of a request.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties
func CF(ctx context.Context) json.RawMessage {
	if r := telemetry.RequestFrom(ctx); r != nil {
		return r.CF
	}
	return nil
}

// ClientIP is the address of the client, what CF-Connecting-IP says. It is the
// zero Addr outside of a request, or when a Worker in JavaScript did not pass
// that header on.
func ClientIP(ctx context.Context) netip.Addr {
	if r := telemetry.RequestFrom(ctx); r != nil {
		return r.ClientIP
	}
	return netip.Addr{}
}

// Scheme is "http" or "https", as the client used it.
func Scheme(ctx context.Context) string {
	if r := telemetry.RequestFrom(ctx); r != nil {
		return r.Scheme
	}
	return ""
}
