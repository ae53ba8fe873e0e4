package serve

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/selvage-edge/selvage/cli/settings"
)

// sendTarget asks a Worker for a target as it stands.
func (r *running) sendTarget(worker, target string) (int, string, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.edge, "http://"))
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, worker)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// sendTargetH2 asks over HTTP/2 without TLS.
func (r *running) sendTargetH2(worker, target string) (int, string, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.edge, "http://"))
	if err != nil {
		return 0, "", err
	}
	return sendTargetH2(conn, worker, target)
}

func sendTargetH2(conn net.Conn, worker, target string) (int, string, error) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: target}, {Name: ":authority", Value: worker}} {
		enc.WriteField(f)
	}
	io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	status, body := 0, ""
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return 0, "", err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(frame.PseudoValue("status"))
		case *http2.DataFrame:
			body += string(frame.Data())
		case *http2.RSTStreamFrame:
			return 0, "", fmt.Errorf("reset: %s", frame.ErrCode)
		}
		if h := frame.Header(); h.StreamID == 1 && h.Flags.Has(http2.FlagDataEndStream) {
			return status, body, nil
		}
	}
}

// A Worker sees the target that its route has seen, whatever a client sends,
// and what new URL() makes of it is the same. Another Worker that it fetches
// sees what it asked for.
func TestTargets(t *testing.T) {
	s := testSettings(t.TempDir())
	s.Zones = []string{"example.test"}
	s.HTTPS, s.Certificates = []string{free(t)}, []settings.Certificate{certificate(t, t.TempDir(), "a", 1, "example.test")}
	r := start(t, s, Options{})
	const script = `export default { async fetch(r) {
  const u = new URL(r.url);
  if (r.headers.get("cf-worker")) return new Response(r.url);
  let there = "";
  if (u.searchParams.has("fetch")) there = await (await fetch("http://echo.localhost" + u.pathname + "%?%zz")).text();
  return Response.json({ name: NAME, url: r.url, pathname: u.pathname, search: u.search, there });
} }`
	for _, name := range []string{"echo", "admin"} {
		r.deploy(name, strings.Replace(script, "NAME", `"`+name+`"`, 1), nil)
	}
	for pattern, worker := range map[string]string{"example.test/*": "echo", "example.test/admin*": "admin"} {
		r.zoneAPI("POST", "/workers/routes", fmt.Sprintf(`{"pattern":%q,"script":%q}`, pattern, worker), nil)
	}
	type answer struct{ Name, URL, Pathname, Search, There string }
	send, scheme := r.sendTarget, "http"
	ask := func(target string) (a answer, ok bool) {
		t.Helper()
		status, body, err := send("example.test", target)
		if err != nil || status != 200 {
			t.Errorf("%q: %d %s %v", target, status, body, err)
			return a, false
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatalf("%q: %s", target, body)
		}
		return a, true
	}
	targets := map[string]string{
		"/":                          "echo /",
		"/sale-100%":                 "echo /sale-100%",
		"/%E0%A4%A":                  "echo /%E0%A4%A",
		`/p?q=<b>"x"`:                "echo /p?q=%3Cb%3E%22x%22",
		"/caf\xc3\xa9?q=\xc3\xa9":    "echo /caf%C3%A9?q=%C3%A9",
		"/public/../admin/./x":       "admin /admin/x",
		`/a\b`:                       "echo /a/b",
		"//admin":                    "admin /admin",
		`/\admin`:                    "admin /admin",
		"/x/%2e%2e/admin":            "admin /admin",
		"/%61dmin":                   "admin /admin",
		"/%%36%31dmin":               "admin /admin",
		"http://example.test//admin": "admin /admin", // only HTTP/1 has such targets
		"/a#b":                       "echo /a",
	}
	table := func() {
		t.Helper()
		for target, want := range targets {
			if a, ok := ask(target); ok && a.Name+" "+strings.TrimPrefix(a.URL, scheme+"://example.test") != want {
				t.Errorf("%q: %s %s, want %s", target, a.Name, a.URL, want)
			}
		}
	}
	table()
	if a, ok := ask("/sale-100%?fetch"); ok && a.There != "http://echo.localhost/sale-100%%?%zz" {
		t.Errorf("a Worker's fetch() arrives as %s", a.There)
	}
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"/", "/", "/", ".", "..", "%2e", "%2E", "%", "%%", "36", "%31", "%61", "admin", "dmin", "a", `\`, "%5c", "%2f", "\xc3\xa9", "\xff", "<", `"`, "|", "^", "{", ";", "?", "#", "'", "~", "%7e", "%zz"}
	property := func() {
		for range 300 {
			target := "/"
			for range random.IntN(9) {
				target += pieces[random.IntN(len(pieces))]
			}
			a, ok := ask(target)
			if !ok {
				return
			}
			if path, _, _ := strings.Cut(strings.TrimPrefix(a.URL, "http://example.test"), "?"); path != a.Pathname {
				t.Fatalf("%q: request.url %s, new URL() %s", target, a.URL, a.Pathname)
			}
			if (a.Name == "admin") != strings.HasPrefix(a.Pathname, "/admin") {
				t.Fatalf("%q: Worker %s, new URL() %s", target, a.Name, a.Pathname)
			}
		}
	}
	property()
	send = r.sendTargetH2
	delete(targets, "http://example.test//admin")
	table()
	property()
	send, scheme = func(worker, target string) (int, string, error) {
		conn, err := tls.Dial("tcp", s.HTTPS[0], &tls.Config{ServerName: "example.test", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			return 0, "", err
		}
		return sendTargetH2(conn, worker, target)
	}, "https"
	table()
	send, scheme = r.sendTarget, "http"

	var n struct{ Type, Scope string }
	if r.zoneAPI("GET", "/url_normalization", "", &n); n.Type != "cloudflare" || n.Scope != "incoming" {
		t.Errorf("the default is %+v", n)
	}
	for _, bad := range []string{`{"type":"cloudflare"}`, `{"type":"other","scope":"both"}`, `{"type":"rfc3986","scope":"all"}`} {
		if err := r.tryZoneAPI("PUT", "/url_normalization", bad, nil); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	for body, want := range map[string]string{
		`{"type":"rfc3986","scope":"both"}`:        "echo //%5Cadmin/a",
		`{"type":"cloudflare","scope":"none"}`:     "echo ///admin/%61",
		`{"type":"cloudflare","scope":"incoming"}`: "admin /admin/a",
	} {
		r.zoneAPI("PUT", "/url_normalization", body, nil)
		if a, ok := ask(`//\admin/%61`); ok && a.Name+" "+a.Pathname != want {
			t.Errorf("%s: %s %s, want %s", body, a.Name, a.Pathname, want)
		}
		property()
	}
	if r.zoneAPI("DELETE", "/url_normalization", "", &n); n.Type != "cloudflare" || n.Scope != "incoming" {
		t.Errorf("after DELETE it is %+v", n)
	}
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// zoneAPI calls the REST API below the first zone.
func (r *running) zoneAPI(method, path, body string, result any) {
	r.t.Helper()
	if err := r.tryZoneAPI(method, path, body, result); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) tryZoneAPI(method, path, body string, result any) error {
	var zones []struct{ ID string }
	if err := r.call("GET", "/zones", "", nil, &zones); err != nil {
		return err
	}
	return r.call(method, "/zones/"+zones[0].ID+path, "application/json", strings.NewReader(body), result)
}
