package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/cli/settings"
)

// What the REST API has acknowledged answers the very next request, whichever
// way that comes, and without a start in its way.
func TestAcknowledgedIsDeployed(t *testing.T) {
	for _, c := range []struct{ tls, previews bool }{{false, false}, {false, true}, {true, false}} {
		t.Run(fmt.Sprintf("tls=%t,previews=%t", c.tls, c.previews), func(t *testing.T) {
			dir, previews := t.TempDir(), c.previews
			s := testSettings(filepath.Join(dir, "data"))
			if c.tls {
				s.HTTP, s.HTTPS = nil, []string{"127.0.0.1:0"}
				s.Certificates = []settings.Certificate{certificate(t, dir, "a", 1, "*.localhost")}
			}
			r := start(t, s, Options{})
			ways := r.ways(t, c.tls)
			source := func(n int) string {
				return fmt.Sprintf(`import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  say() { return "v%d " + this.env.PLAIN + this.env.S }
  fetch() { return new Response(this.say()) }
}`, n)
			}
			bindings := func(plain string) map[string]any {
				return map[string]any{"bindings": []any{
					map[string]any{"type": "secret_text", "name": "S", "text": "s"},
					map[string]any{"type": "plain_text", "name": "PLAIN", "text": plain},
				}}
			}
			r.deploy("web", source(1), bindings("p"))
			r.previews("web", previews)
			r.deploy("front", `export default { async fetch(r, env) { return r.url.endsWith("/rpc") ? new Response(await env.WEB.say()) : env.WEB.fetch(r) } }`,
				map[string]any{"bindings": []any{map[string]any{"type": "service", "name": "WEB", "service": "web"}}})
			var list struct {
				Deployments []struct {
					Versions []struct {
						ID string `json:"version_id"`
					}
				}
			}
			if err := r.api("GET", "/workers/scripts/web/deployments", "", nil, &list); err != nil {
				t.Fatal(err)
			}
			call := func(method, path, body string) error {
				return r.api(method, "/workers/scripts/web"+path, "application/json", strings.NewReader(body), nil)
			}
			back := fmt.Sprintf(`{"strategy":"percentage","versions":[{"version_id":%q,"percentage":100}]}`, list.Deployments[0].Versions[0].ID)
			for _, way := range ways {
				way.want(t, "v1 ps") // opens the connections that are kept
			}
			for first, step := range []struct {
				what, want string
				do         func() error
			}{
				{"deploy", "v2 qs", func() error { return r.upload("web", source(2), bindings("q")) }},
				{"secret", "v2 qt", func() error { return call("PUT", "/secrets", `{"name":"S","text":"t","type":"secret_text"}`) }},
				{"secrets", "v2 qu", func() error {
					return call("PATCH", "/secrets-bulk", `{"secrets":{"S":{"name":"S","text":"u","type":"secret_text"}}}`)
				}},
				{"settings", "v2 ru", func() error {
					return call("PATCH", "/settings", `{"bindings":[{"type":"plain_text","name":"PLAIN","text":"r"},{"type":"inherit","name":"S"}]}`)
				}},
				{"no secret", "v2 rundefined", func() error { return call("DELETE", "/secrets/S", "") }},
				{"rollback", "v1 ps", func() error { return call("POST", "/deployments?force=true", back) }},
			} {
				if err := step.do(); err != nil {
					t.Fatalf("%s: %v", step.what, err)
				}
				starts := r.starts()
				for i := range ways { // each is the first one once
					ways[(first+i)%len(ways)].want(t, step.want)
				}
				if now := r.starts(); now != starts {
					t.Errorf("%s: the first requests have started cells: %s in place of %s", step.what, now, starts)
				}
			}
		})
	}
}

// starts is how many cells the server has started, as the metrics tell it.
func (r *running) starts() string {
	_, text := r.get("/metrics", r.token)
	_, rest, _ := strings.Cut(text, "\nselvage_cell_starts_total ")
	count, _, _ := strings.Cut(rest, "\n")
	return count
}

// way is one in which a request reaches a Worker.
type way struct {
	name, url, proto string
	client           *http.Client
}

// ways are HTTP/1.1 and HTTP/2, new connections and such that stay open, and
// another Worker's binding.
func (r *running) ways(t *testing.T, secure bool) []way {
	client := func(change func(*http.Transport)) *http.Client {
		tr := &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			},
		}
		if change != nil {
			change(tr)
		}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	u, err := url.Parse(r.edge)
	if err != nil {
		t.Fatal(err)
	}
	at := func(host string) string { return u.Scheme + "://" + host + ".localhost:" + u.Port() }
	fresh := func(tr *http.Transport) { tr.DisableKeepAlives = true }
	h2 := func(tr *http.Transport) { tr.ForceAttemptHTTP2 = true }
	list := []way{
		{"kept", at("web"), "HTTP/1.1", client(nil)},
		{"fresh", at("web"), "HTTP/1.1", client(fresh)},
		{"binding", at("front"), "HTTP/1.1", client(nil)},
		{"RPC", at("front") + "/rpc", "HTTP/1.1", client(nil)},
	}
	if secure {
		list = append(list, way{"kept h2", at("web"), "HTTP/2.0", client(h2)})
	}
	return list
}

func (w way) want(t *testing.T, text string) {
	t.Helper()
	res, err := w.client.Get(w.url)
	if err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.Proto != w.proto || string(body) != text {
		t.Errorf("%s: %s %d %q %v, want %q", w.name, res.Proto, res.StatusCode, body, err, text)
	}
}

// A version that passed its trial and does not start any more, because what it
// needs is gone, is not deployed: the answer says why, and the one before goes on.
func TestRollbackThatCannotStart(t *testing.T) {
	for _, previews := range []bool{false, true} {
		t.Run(fmt.Sprintf("previews=%t", previews), func(t *testing.T) {
			r := start(t, testSettings(t.TempDir()), Options{})
			var namespace struct{ ID string }
			if err := r.api("POST", "/storage/kv/namespaces", "application/json", strings.NewReader(`{"title":"n"}`), &namespace); err != nil {
				t.Fatal(err)
			}
			r.deploy("web", answers("v1"), map[string]any{"bindings": []any{map[string]any{"type": "kv_namespace", "name": "KV", "namespace_id": namespace.ID}}})
			r.previews("web", previews)
			var before struct {
				Deployments []struct {
					ID       string
					Versions []struct {
						ID string `json:"version_id"`
					}
				}
			}
			deployments := func() string {
				before.Deployments = nil
				if err := r.api("GET", "/workers/scripts/web/deployments", "", nil, &before); err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(before)
			}
			deployments()
			first := before.Deployments[0].Versions[0].ID
			r.deploy("web", answers("v2"), nil)
			if err := r.api("DELETE", "/storage/kv/namespaces/"+namespace.ID, "", nil, nil); err != nil {
				t.Fatal(err)
			}
			was := deployments()
			err := r.api("POST", "/workers/scripts/web/deployments", "application/json",
				strings.NewReader(fmt.Sprintf(`{"strategy":"percentage","versions":[{"version_id":%q,"percentage":100}]}`, first)), nil)
			if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "there is no KV namespace with id") {
				t.Errorf("the rollback: %v", err)
			}
			if now := deployments(); now != was {
				t.Errorf("deployments were %s and are %s", was, now)
			}
			r.want("web", "/", 200, "v2")
			if running := r.cells("running"); running != 1 {
				t.Errorf("%d cells run", running)
			}
			if err := r.upload("web", answers("v3"), nil); err != nil {
				t.Error(err)
			}
			r.want("web", "/", 200, "v3")
		})
	}
}
