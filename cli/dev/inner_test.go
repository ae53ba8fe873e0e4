package dev

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/config"
)

const located = `
-- wrangler.jsonc --
{"name": "shop", "main": "index.js", "compatibility_date": "2026-11-01", "routes": [{"pattern": "shop.example/api/*", "zone_name": "shop.example"}]}
-- index.js --
let n = 0;
export default { fetch(request) {
	if (request.headers.get("Upgrade")) {
		const [client, server] = Object.values(new WebSocketPair());
		server.accept();
		server.send(request.headers.get("Origin"));
		return new Response(null, { status: 101, webSocket: client });
	}
	const url = new URL(request.url);
	const headers = new Headers({
		Location: url.origin + "/next", "Access-Control-Allow-Origin": url.origin, Link: "<https://other.example/>",
	});
	headers.append("Set-Cookie", "a=shop.example; Path=/; Domain=.shop.example; Secure");
	headers.append("Set-Cookie", "b=1; domain=shop.example");
	headers.append("Set-Cookie", "c=1; Domain=other.example");
	return new Response([request.url, request.headers.get("Host"), request.headers.get("Origin"), request.headers.get("Referer"), request.headers.get("CF-Connecting-IP")].join(" "), { headers });
} };
`

// A Worker with routes sees the host of the first one, whatever the path, and
// the client never does. (That wrangler dev does the same is a project of
// conformance/projects.)
func TestRequestsAreLocated(t *testing.T) {
	for _, tt := range []struct {
		name         string
		https        bool
		config, want string // what replaces the routes; what the Worker sees
	}{
		{"route", false, "", "http://shop.example"},
		{"TLS", true, "", "https://shop.example"},
		{"dev.host", false, `"dev": {"host": "shop.example"}`, "http://shop.example"},
		{"upstream_protocol", false, `"route": "*.shop.example/*", "dev": {"upstream_protocol": "https"}`, "https://shop.example"},
		{"any host", false, `"route": "*/api/*"`, ""},
		{"nothing", false, `"vars": {}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			project := located
			if tt.config != "" {
				head, rest, _ := strings.Cut(located, `"routes"`)
				_, rest, _ = strings.Cut(rest, "\n")
				project = head + tt.config + "}\n" + rest
			}
			r := start(t, project, func(o *Options) { o.HTTPS = tt.https })
			outer := r.url
			inner := tt.want
			if inner == "" {
				inner = outer
			}
			for _, path := range []string{"/api/x?y", "/other"} {
				req, err := http.NewRequest("GET", outer+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Origin", outer)
				req.Header.Set("Referer", outer+"/page")
				res, err := r.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body := make([]byte, 1000)
				n, _ := res.Body.Read(body)
				res.Body.Close()
				_, host, _ := strings.Cut(inner, "://")
				if want := inner + path + " " + host + " " + inner + " " + inner + "/page 127.0.0.1"; string(body[:n]) != want {
					t.Errorf("the Worker saw %s, want %s", body[:n], want)
				}
				h := res.Header
				cookies := "a=shop.example; Path=/; Domain=127.0.0.1; Secure|b=1; domain=127.0.0.1|c=1; Domain=other.example"
				if tt.want == "" {
					cookies = "a=shop.example; Path=/; Domain=.shop.example; Secure|b=1; domain=shop.example|c=1; Domain=other.example"
				}
				if h.Get("Location") != outer+"/next" || h.Get("Access-Control-Allow-Origin") != outer || h.Get("Link") != "<https://other.example/>" ||
					strings.Join(h["Set-Cookie"], "|") != cookies {
					t.Errorf("the client got %v", h)
				}
			}
			socket, _, err := websocket.Dial(t.Context(), outer, &websocket.DialOptions{HTTPClient: r.client, HTTPHeader: http.Header{"Origin": {outer}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, message, err := socket.Read(t.Context()); string(message) != inner {
				t.Errorf("a WebSocket saw %s, %v", message, err)
			}
			socket.CloseNow()
			if status, _, body := r.ask(r.client, "/x", "shop.localhost"); status != 200 || !strings.Contains(body, "://shop.localhost/x shop.localhost ") {
				t.Errorf("by its own name: %d %s", status, body)
			}
		})
	}
}

func TestRouteHost(t *testing.T) {
	for pattern, want := range map[string]string{
		"a.example": "a.example", "A.example/x": "a.example", "https://a.example/*": "a.example", "*.a.example/*": "a.example",
		"*a.example/*": "a.example", "*/x": "zone.example", "http://*/x": "zone.example",
	} {
		if got := routeHost(config.Route{Pattern: pattern, Zone: "zone.example"}); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}
