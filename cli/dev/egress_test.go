package dev

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

const caller = `
-- wrangler.jsonc --
{"name": "caller", "main": "index.js", "compatibility_date": "2026-11-01"}
-- index.js --
const forged = { "CF-Connecting-IP": "6.6.6.6", "CF-Connecting-IPv6": "::6", "CF-Pseudo-IPv4": "6.6.6.6", "CF-IPCountry": "XX",
  "CF-Visitor": '{"scheme":"gopher"}', "CF-Worker": "other", "CF-EW-Via": "6", "CF-Ray": "6666666666666666-XXX",
  "CDN-Loop": "fastly, selvage; loops=1", "Selvage-Proto": "gopher",
  "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.7", "True-Client-IP": "6.6.6.8", "CF-Access-Client-Id": "mine" };
export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/fresh": return fetch("http://origin.example/");
      case "/forged": return fetch("http://origin.example/", { headers: forged });
      case "/passed": return fetch(new Request("http://origin.example/", request));
      case "/around": return fetch("http://origin.example/around");
      case "/socket": {
        const { webSocket } = await fetch("http://origin.example/", { headers: { ...forged, Upgrade: "websocket" } });
        webSocket.accept();
        const seen = await new Promise((resolve) => webSocket.addEventListener("message", (e) => resolve(e.data)));
        webSocket.close();
        return new Response(seen);
      }
    }
  },
  async scheduled() { console.log("origin saw", await (await fetch("http://origin.example/", { headers: forged })).text(), "."); },
};
`

// What an origin may believe is said by the server, whatever the Worker says;
// what Cloudflare lets a Worker say arrives.
func TestHeadersOfSubrequests(t *testing.T) {
	var dev atomic.Pointer[string]
	var rounds atomic.Int32
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ := json.Marshal(r.Header) // strings only
		switch {
		case r.URL.Path == "/around": // a proxy that leads back to the Worker
			rounds.Add(1)
			back, err := http.NewRequestWithContext(r.Context(), http.MethodGet, *dev.Load()+"/around", nil)
			if err != nil {
				t.Error(err)
				return
			}
			back.Header["Cdn-Loop"] = append([]string{"other"}, r.Header["Cdn-Loop"]...)
			response, err := http.DefaultClient.Do(back)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			w.WriteHeader(response.StatusCode)
			io.Copy(w, response.Body) // a client that has left is seen there
		case r.Header.Get("Upgrade") != "":
			if c, err := websocket.Accept(w, r, nil); err == nil {
				c.Write(r.Context(), websocket.MessageText, seen)
				c.Read(r.Context()) // until the Worker is done
				c.CloseNow()
			}
		default:
			w.Write(seen)
		}
	}))
	t.Cleanup(origin.Close)
	target, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, caller, func(o *Options) { o.Origins = map[string]*url.URL{"origin.example": target} })
	dev.Store(&r.url)

	seen := func(path string) http.Header {
		t.Helper()
		status, _, body := r.ask(r.client, path, "localhost", "CF-Connecting-IP", "5.5.5.5", "X-Forwarded-For", "5.5.5.5", "CF-IPCountry", "YY")
		h := http.Header{}
		if err := json.Unmarshal([]byte(body), &h); err != nil || status != 200 {
			t.Fatalf("%s: %d %s %v", path, status, body, err)
		}
		return h
	}
	const ray = "a Ray ID of ours"
	oneRay := regexp.MustCompile(`^[0-9a-f]{16}(-LOC)?$`)
	expect := func(path string, h http.Header, want map[string]string) {
		t.Helper()
		for name, value := range want {
			got := strings.Join(h[http.CanonicalHeaderKey(name)], "|")
			if value == ray && oneRay.MatchString(got) {
				continue
			}
			if got != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
	}
	said := map[string]string{
		"CF-Connecting-IP": "127.0.0.1", "CF-Connecting-IPv6": "", "CF-Pseudo-IPv4": "", "CF-IPCountry": "", "CF-EW-Via": "",
		"CF-Visitor": `{"scheme":"http"}`, "CF-Worker": "caller", "CF-Ray": ray, "Selvage-Proto": "",
	}
	fresh := seen("/fresh")
	expect("/fresh", fresh, said)
	expect("/fresh", fresh, map[string]string{"CDN-Loop": "selvage; loops=1", "X-Forwarded-For": "", "X-Real-IP": ""})
	passed := seen("/passed")
	expect("/passed", passed, said)
	expect("/passed", passed, map[string]string{"CDN-Loop": "selvage; loops=1", "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"})
	theirs := map[string]string{
		"CDN-Loop":        "fastly, selvage; loops=1, selvage; loops=2",
		"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.7", "True-Client-IP": "6.6.6.8", "CF-Access-Client-Id": "mine",
	}
	for _, path := range []string{"/forged", "/socket"} {
		h := seen(path)
		expect(path, h, said)
		expect(path, h, theirs)
	}

	// Without a request there is no client.
	r.expect(scheduledPaths[0], 200, "ok")
	r.printed("origin saw")
	_, line, _ := strings.Cut(r.screen.String(), "origin saw ")
	line, _, _ = strings.Cut(line, "} .")
	h := http.Header{}
	if err := json.Unmarshal([]byte(line+"}"), &h); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	said["CF-Connecting-IP"] = ""
	expect("scheduled", h, said)
	expect("scheduled", h, theirs)

	// Nor does a request go around without end.
	if status, _, body := r.ask(r.client, "/around", "localhost"); status != 500 || !strings.Contains(body, "1019") || rounds.Load() != 17 {
		t.Errorf("after %d rounds: %d %s", rounds.Load(), status, body)
	}
}
