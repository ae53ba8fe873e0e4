package egress

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

const script = `
import { connect } from "cloudflare:sockets";

const ways = {
  async get(request, url) {
    const res = await fetch(url);
    return new Response(JSON.stringify({ status: res.status, body: await res.text(), redirected: res.redirected }));
  },
  async manual(request, url) {
    const res = await fetch(url, { redirect: "manual" });
    return new Response(JSON.stringify({ status: res.status, body: res.headers.get("location") }));
  },
  async post(request, url) {
    const { readable, writable } = new TransformStream();
    const done = request.body.pipeTo(writable);
    const res = await fetch(url, { method: "POST", body: readable });
    await done;
    return new Response(JSON.stringify({ status: res.status, body: await res.text() }));
  },
  async socket(request, address) {
    try {
      const socket = connect(address, { allowHalfOpen: true });
      const writer = socket.writable.getWriter();
      await writer.write(new TextEncoder().encode("hello"));
      await writer.close();
      return new Response(JSON.stringify({ status: 200, body: await new Response(socket.readable).text() }));
    } catch (e) {
      return new Response(JSON.stringify({ status: 0, body: e.message }));
    }
  },
  async websocket(request, url) {
    const res = await fetch(url, { headers: { Upgrade: "websocket" } });
    const ws = res.webSocket;
    if (!ws) return new Response(JSON.stringify({ status: res.status, body: await res.text() }));
    ws.accept();
    const message = new Promise((resolve) => ws.addEventListener("message", (e) => resolve(e.data)));
    ws.send("ping");
    return new Response(JSON.stringify({ status: res.status, body: await message }));
  },
  async headers(request) {
    return new Response(JSON.stringify({ status: 200, body: [request.url, request.cf.colo, request.cf.httpProtocol,
      request.headers.get("cf-connecting-ip"), request.headers.get("cf-ray").length, request.headers.get("cf-worker")].join(" ") }));
  },
  async loop(request) {
    const res = await fetch(request);
    return new Response(await res.text(), res);
  },
};

export default {
  fetch(request) {
    const url = new URL(request.url);
    return ways[url.pathname.slice(1)](request, url.searchParams.get("to"));
  },
};
`

// TestFromWorkers asks as a Worker does, through a real cell, and comes back
// through a real edge.
func TestFromWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts workerd")
	}
	log := slog.New(slog.DiscardHandler)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inside":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		case "/ws":
			echoOnce(w, r)
		default:
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Host, " ", r.URL, " ", r.Header.Get("CF-Worker"), " ", string(body))
		}
	}))
	defer origin.Close()
	secure := httptest.NewTLSServer(origin.Config.Handler)
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	go func() {
		for {
			c, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				all, _ := io.ReadAll(c)
				fmt.Fprintf(c, "got %s", all)
			}()
		}
	}()

	source := new(config.Value)
	source.Set(&config.Snapshot{Workers: map[string]*config.Worker{"api": {Name: "api", Subdomain: true}}})
	var ed *edge.Edge
	out, err := New(Options{
		Origins:  map[string]*url.URL{"users.internal": mustURL(origin.URL), "db.internal": mustURL("tcp://" + raw.Addr().String())},
		Local:    func(host string) http.Handler { return ed.Local(host) },
		Resolver: fixed(map[string]string{"example.com": "8.8.8.8", "private.example": "10.0.0.1", "wrong.example": "8.8.4.4"}),
		RootCAs:  roots, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	out.connect = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, secure.Listener.Addr().String())
	}
	worker := startCell(t, out.For(&config.Version{Worker: "api"}))
	ed = edge.New(edge.Options{Source: source, Logger: log, Target: func(w http.ResponseWriter, r *http.Request, _, _ string) error {
		record := telemetry.RequestFrom(r.Context())
		_, err := worker.Forward(w, r, hop.Call{Set: func(h http.Header) {
			h.Set(hop.ProtoHeader, record.Scheme)
			h.Set(hop.CFHeader, string(record.CF))
		}})
		return err
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go ed.Serve(context.Background(), l, nil)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := ed.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()

	type answer struct {
		Status int
		Body   string
	}
	for _, c := range []struct {
		name, way, to string
		status        int
		has           string
	}{
		{"a mapped origin", "get", "http://users.internal/x?y=1", 200, "users.internal /x?y=1 api "},
		{"https to a mapped origin", "get", "https://users.internal/", 200, "users.internal / api "},
		{"a streamed body", "post", "http://users.internal/", 200, "users.internal / api streamed"},
		{"https, verified", "get", "https://example.com/", 200, "example.com / api "},
		{"https, for another name", "get", "https://wrong.example/", 526, "error code: 526"},
		{"a redirect inside", "get", "https://example.com/inside", 403, "169.254.169.254 is not a public address"},
		{"a redirect not followed", "manual", "https://example.com/inside", 302, "http://169.254.169.254/latest"},
		{"a private name", "get", "http://private.example/", 403, "--origin private.example="},
		{"a decimal address", "get", "http://2130706433/", 403, "127.0.0.1 is not a public address"},
		{"a hexadecimal address", "get", "http://0x7f.1/", 403, "127.0.0.1 is not a public address"},
		{"a mapped IPv6 address", "get", "http://[::ffff:127.0.0.1]/", 403, "not a public address"},
		{"no such name", "get", "http://nowhere.example/", 530, "error code: 1016"},
		{"our own host", "get", "https://api.localhost/headers", 200, "https://api.localhost/headers LOC HTTP/1.1 2a06:98c0:3600::103 20 api"},
		{"a socket", "socket", "db.internal:5432", 200, "got hello"},
		{"a socket to a private address", "socket", "private.example:5432", 0, "cannot connect"},
		{"a WebSocket", "websocket", "http://users.internal/ws", 101, "echo ping"},
		{"the request itself", "headers", "", 200, "/headers?to= LOC HTTP/1.1 127.0.0.1 20 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/"+c.way+"?to="+url.QueryEscape(c.to), io.MultiReader(strings.NewReader("streamed")))
			req.Host = "api.localhost"
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			data, _ := io.ReadAll(res.Body)
			var got answer
			if err := json.Unmarshal(data, &got); err != nil || got.Status != c.status || !strings.Contains(got.Body, c.has) {
				t.Errorf("%d %s, want %d with %q", res.StatusCode, data, c.status, c.has)
			}
		})
	}

	t.Run("a loop", func(t *testing.T) {
		req, _ := http.NewRequest("GET", "http://"+l.Addr().String()+"/loop", nil)
		req.Host = "api.localhost"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if data, _ := io.ReadAll(res.Body); res.StatusCode != 500 || !strings.Contains(string(data), "1019") {
			t.Errorf("%d %s", res.StatusCode, data)
		}
	})
	http.DefaultClient.CloseIdleConnections()
}

// startCell runs script in workerd, with outbound as its network, and returns
// the hop to it.
func startCell(t *testing.T, outbound http.Handler) *hop.Hop {
	t.Helper()
	binary, err := workerd.Binary(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := net.Listen("unix", filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	network := &http.Server{Handler: outbound}
	go network.Serve(out)
	in, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "in")})
	if err != nil {
		t.Fatal(err)
	}
	in.SetUnlinkOnClose(false)
	f, err := in.File()
	if err != nil {
		t.Fatal(err)
	}
	headers := workerd.HTTPOptions{ForwardedProto: hop.ProtoHeader, CfBlob: hop.CFHeader}
	cell, err := workerd.Start(t.Context(), workerd.Options{
		Binary: binary,
		Config: &workerd.Config{
			Services: []workerd.Service{
				{Name: "user", Worker: &workerd.Worker{
					Modules:           []workerd.Module{{Name: "index.js", Kind: workerd.ESModule, Data: []byte(script)}},
					CompatibilityDate: "2026-01-01", GlobalOutbound: "network",
				}},
				{Name: "network", External: &workerd.External{Address: "unix:" + filepath.Join(dir, "out"), HTTP: headers}},
			},
			Sockets: []workerd.Socket{{Name: "in", HTTP: headers, Service: workerd.ServiceDesignator{Name: "user"}}},
		},
		Sockets: map[string]*os.File{"in": f},
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	f.Close()
	h := hop.New(hop.Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "in"))
	}})
	t.Cleanup(func() {
		h.Close()
		cell.Kill()
		<-cell.Done()
		network.Close()
	})
	return h
}

// echoOnce is a WebSocket server that answers one message.
func echoOnce(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	if _, message, err := c.Read(r.Context()); err == nil {
		c.Write(r.Context(), websocket.MessageText, append([]byte("echo "), message...))
		c.Read(r.Context()) // until the Worker is done
	}
}
