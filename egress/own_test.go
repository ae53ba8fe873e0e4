package egress

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

// here is a machine whose public addresses are the given ones.
func here(addrs ...string) func() ([]net.Addr, error) {
	return func() (list []net.Addr, err error) {
		for _, a := range append(addrs, "127.0.0.1", "::1", "fe80::5") {
			list = append(list, &net.IPNet{IP: net.ParseIP(a), Mask: net.CIDRMask(24, 32)})
		}
		return list, nil
	}
}

// This machine's public addresses are as closed as loopback, however they are
// written; the edge's port is answered inside.
func TestOwnAddresses(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "reached") })
	w := start(t, Options{
		Resolver: fixed(map[string]string{
			"me.example": "8.8.4.4", "six.example": "2606:4700::1", "mapped.example": "::ffff:8.8.4.4", "nat64.example": "64:ff9b::808:404",
			"sixtofour.example": "2002:808:404::1", "other.example": "8.8.8.8", "mixed.example": "8.8.4.4 8.8.8.8", "open.example": "9.9.9.9",
		}),
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("9.9.9.9/32")},
		Edge: func(port string) http.Handler {
			if port != "80" && port != "8443" {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprint(w, "edge ", r.URL, " ", r.Header.Get("CF-Worker"), " ", string(body))
			})
		},
	}, s.Listener.Addr().String())
	w.interfaces = here("8.8.4.4", "2606:4700::1", "9.9.9.9")
	ask := func(method, host, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.Host = host
		rec := httptest.NewRecorder()
		w.For(&config.Version{Worker: "api"}).ServeHTTP(rec, r)
		return rec
	}
	for _, c := range []struct{ host, body, dials string }{
		{"8.8.4.4:22", "address of this server", ""},
		{"[2606:4700::1]:22", "address of this server", ""},
		{"[::ffff:8.8.4.4]:22", "address of this server", ""},
		{"[64:ff9b::808:404]:22", "address of this server", ""},
		{"[2002:808:404::1]:22", "not a public address", ""},
		{"me.example:22", "resolves to 8.8.4.4, which is an address of this server", ""},
		{"six.example:22", "address of this server", ""},
		{"mapped.example:22", "address of this server", ""},
		{"nat64.example:22", "address of this server", ""},
		{"sixtofour.example:22", "not a public address", ""},
		{"mixed.example:22", "reached", "8.8.8.8:22"},
		{"open.example:22", "reached", "9.9.9.9:22"}, // the operator said so
		{"other.example:22", "reached", "8.8.8.8:22"},
		{"me.example", "edge http://me.example/ api body", ""},
		{"8.8.4.4:8443", "edge http://8.8.4.4:8443/ api body", ""},
		{"127.0.0.1", "not a public address", ""},
	} {
		rec := ask("POST", c.host, "body")
		if !strings.Contains(rec.Body.String(), c.body) || w.dials() != c.dials {
			t.Errorf("%s: %d %s", c.host, rec.Code, rec.Body)
		}
		if refused := strings.Contains(c.body, "address"); refused != (rec.Code == 403) {
			t.Errorf("%s: status %d", c.host, rec.Code)
		}
	}
	for _, host := range []string{"me.example:22", "me.example:80", "8.8.4.4:8443"} { // connect() is refused on every port
		if rec := ask(http.MethodConnect, host, ""); rec.Code != 403 || w.dials() != "" {
			t.Errorf("connect %s: %d %s", host, rec.Code, rec.Body)
		}
	}

	// An address that this machine has just been given counts from then on.
	if rec := ask("GET", "other.example:23", ""); rec.Body.String() != "reached" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.interfaces = here("8.8.8.8")
	if rec := ask("GET", "other.example:24", ""); rec.Code != 403 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.dials()
	w.interfaces = func() ([]net.Addr, error) { return nil, errors.New("no netlink") }
	if rec := ask("GET", "other.example:25", ""); rec.Code < 500 || w.dials() != "" {
		t.Errorf("addresses that cannot be judged are dialled: %d %s", rec.Code, rec.Body)
	}
}

// A redirect to this machine comes through the policy again.
func TestRedirectToOwnAddress(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://8.8.4.4:6379/", http.StatusFound)
	})
	w := start(t, Options{Resolver: fixed(map[string]string{"a.example": "8.8.8.8"})}, s.Listener.Addr().String())
	w.interfaces = here("8.8.4.4")
	if res, body := w.get(t, "http://a.example/"); res.StatusCode != 403 || w.dials() != "8.8.8.8:80" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func BenchmarkOwnAddresses(b *testing.B) {
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.ownAddresses(); err != nil {
			b.Fatal(err)
		}
	}
}
