package dev

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const shop = `
-- wrangler.jsonc --
{"name": "shop", "main": "index.js", "compatibility_date": "2026-11-01", "routes": [
  "shop.example.invalid/v1/*", "*.wild.example.invalid/*", {"pattern": "own.example.invalid", "custom_domain": true}]}
-- index.js --
export default {
  fetch(request) {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("the Worker's " + request.url);
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.send("the Worker's socket");
    return new Response(null, { status: 101, webSocket: client });
  },
  scheduled() { console.log("fired"); },
};
`

// ask sends a request for a host to where dev listens.
func (r *running) ask(client *http.Client, path, host string, header ...string) (status int, proto, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Host = host
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, response.Proto, string(text)
}

// A page of the open web whose name was made to lead to this machine reads
// nothing; the names that the developer gave go on working. On every version of
// HTTP, for WebSockets and for dev's own endpoints.
func TestForeignHosts(t *testing.T) {
	r := start(t, shop, func(o *Options) {
		o.HTTPS = true
		o.AllowHosts = []string{"Tunnel.example", ".tunnels.example", "bücher.example"}
		o.Origins = map[string]*url.URL{"origin.example": {Scheme: "http", Host: "127.0.0.1:9"}}
	})
	insecure := &tls.Config{InsecureSkipVerify: true}
	two := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true}}
	t.Cleanup(two.CloseIdleConnections)

	for host, answered := range map[string]bool{
		"localhost": true, "LOCALHOST:1": true, "localhost.:8787": true, "shop.localhost": true, "any.localhost": true,
		"127.0.0.1": true, "127.0.0.1:8787": true, "[::1]:8787": true, "192.168.7.7": true, "laptop": true, "laptop:8787": true, "laptop.:8787": true,
		"shop.example.invalid": true, "a.wild.example.invalid": true, "own.example.invalid:8787": true,
		"tunnel.example": true, "tunnels.example": true, "a.b.tunnels.example": true, "xn--bcher-kva.example": true, "origin.example": true,

		"rebound.example": false, "rebound.example:8787": false, "localhost.example": false, "not.localhost.example": false,
		"127.0.0.1.rebound.example": false, "example.invalid": false, "x.shop.example.invalid": false, "wild.example.invalid": false,
		"x.tunnel.example": false, "nottunnels.example": false, "laptop.lan": false,
	} {
		for _, path := range []string{"/v1/x", "/cdn-cgi/handler/scheduled", "/cdn-cgi/local/scheduled", "/cdn-cgi/other"} {
			for proto, client := range map[string]*http.Client{"HTTP/1.1": r.client, "HTTP/2.0": two} {
				status, used, body := r.ask(client, path, host)
				if used != proto {
					t.Fatalf("%s was spoken, want %s", used, proto)
				}
				if answered && (status != 200 || path == "/v1/x" && !strings.HasPrefix(body, "the Worker's")) {
					t.Errorf("%s %s%s: %d %s", proto, host, path, status, body)
				}
				if !answered && (status != 403 || strings.Contains(body, "the Worker's") || !strings.Contains(body, "--allow-host "+hostOnly(host))) {
					t.Errorf("%s %s%s is answered: %d %s", proto, host, path, status, body)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		c, response, err := websocket.Dial(ctx, r.url+"/v1/x", &websocket.DialOptions{Host: host, HTTPClient: r.client})
		if answered != (err == nil) || !answered && response.StatusCode != 403 {
			t.Errorf("WebSocket for %s: %v", host, err)
		}
		if err == nil {
			if _, text, err := c.Read(ctx); err != nil || string(text) != "the Worker's socket" {
				t.Errorf("WebSocket for %s: %q %v", host, text, err)
			}
			c.CloseNow()
		}
		cancel()
	}
}

// A page of another site cannot have dev's own endpoints act, whatever host it
// asks.
func TestEndpointsAndOtherSites(t *testing.T) {
	r := start(t, shop, nil)
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, 200},
		{[]string{"Origin", r.url}, 200},
		{[]string{"Origin", "http://localhost:5173"}, 200},
		{[]string{"Origin", "https://shop.example.invalid"}, 200},
		{[]string{"Sec-Fetch-Site", "none"}, 200},
		{[]string{"Sec-Fetch-Site", "same-origin", "Origin", r.url}, 200},
		{[]string{"Origin", "https://evil.example"}, 403},
		{[]string{"Origin", "http://203.0.113.5"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if status, _, body := r.ask(r.client, scheduledPaths[0], "localhost", c.header...); status != c.want {
			t.Errorf("%v: %d %s", c.header, status, body)
		}
		if status, _, body := r.ask(r.client, "/v1/x", "localhost", c.header...); status != 200 {
			t.Errorf("the Worker does not see %v: %d %s", c.header, status, body)
		}
	}
}

// Build errors show sources.
func TestForeignHostsBeforeTheFirstBuild(t *testing.T) {
	r := start(t, `
-- wrangler.toml --
name = "broken"
main = "index.js"
compatibility_date = "2026-11-01"
-- index.js --
export default { secret-of-the-source
`, nil)
	if status, _, body := r.ask(r.client, "/", "localhost"); status != 503 || !strings.Contains(body, "index.js") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := r.ask(r.client, "/", "rebound.example"); status != 403 || strings.Contains(body, "index.js") {
		t.Errorf("%d %s", status, body)
	}
}

func TestAllHosts(t *testing.T) {
	r := start(t, shop, func(o *Options) { o.AllowHosts = []string{"all"} })
	if status, _, body := r.ask(r.client, "/", "whatever.example"); status != 200 || body != "the Worker's http://shop.example.invalid/" {
		t.Errorf("%d %s", status, body)
	}
}

func TestHostsThatAreNone(t *testing.T) {
	for _, name := range []string{"", ".", "https://a.example", "a.example:8080", "a.example/x", "*.example.com", "a b"} {
		if _, err := hostNamesOf(Options{AllowHosts: []string{name}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--allow-host %s: expected", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
