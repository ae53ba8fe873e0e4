package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"github.com/selvage-edge/selvage/hop"
)

// failure is what the Worker is told about a subrequest that got no response:
// the status that Cloudflare answers with, its number where it has one, and why.
//
// Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
type failure struct {
	status int
	code   int // Cloudflare's error number; 0: the status says it
	reason string
	policy bool // refused by us, not failed
}

func (f *failure) Error() string { return f.reason }

// refuse is the failure for a host without a public address.
func refuse(host string, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	what := fmt.Sprintf("%s is not a public address", host)
	if a := addrs[0].String(); a != host {
		what = fmt.Sprintf("%s resolves to %s, which is not a public address", host, a)
	}
	return &failure{status: http.StatusForbidden, code: 1002, policy: true,
		reason: what + fmt.Sprintf("; to let Workers reach it, map it: --origin %s=http://ADDRESS:PORT", host)}
}

// ownAddress is the failure for a host whose address is this machine's own.
type ownAddress struct {
	host string
	addr netip.Addr
}

func (o *ownAddress) Error() string {
	what := fmt.Sprintf("%s is an address of this server", o.host)
	if a := o.addr.String(); a != o.host {
		what = fmt.Sprintf("%s resolves to %s, which is an address of this server", o.host, a)
	}
	return what + fmt.Sprintf("; to let Workers reach a service of it, map that: --origin %s=http://ADDRESS:PORT", o.host)
}

// explain finds the failure in err.
func explain(host string, err error) *failure {
	var f *failure
	var dns *net.DNSError
	var verify *tls.CertificateVerificationError
	var own *ownAddress
	var e *hop.Error
	var timeout interface{ Timeout() bool }
	errors.As(err, &e)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &own):
		return &failure{status: http.StatusForbidden, code: 1002, policy: true, reason: own.Error()}
	case errors.As(err, &dns) && dns.IsTimeout:
		return &failure{status: 530, code: 1016, reason: fmt.Sprintf("looking up %s took too long", host)}
	case errors.As(err, &dns):
		return &failure{status: 530, code: 1016, reason: fmt.Sprintf("the name %s cannot be resolved: %s", host, dns.Err)}
	case errors.As(err, &verify):
		return &failure{status: 526, reason: fmt.Sprintf("the certificate of %s is not valid: %v", host, verify.Err)}
	case e != nil && e.Kind == hop.Handshake:
		return &failure{status: 525, reason: fmt.Sprintf("the TLS handshake with %s failed: %v", host, e.Err)}
	case e != nil && e.Kind == hop.Timeout:
		return &failure{status: 524, reason: fmt.Sprintf("%s did not answer in time", host)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &failure{status: 521, reason: fmt.Sprintf("%s refused the connection", host)}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return &failure{status: 523, reason: fmt.Sprintf("%s cannot be reached from here", host)}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &failure{status: 522, reason: fmt.Sprintf("connecting to %s took too long", host)}
	case e != nil && e.Kind == hop.Dial:
		return &failure{status: 521, reason: fmt.Sprintf("no connection to %s: %v", host, e.Err)}
	}
	return &failure{status: 520, reason: fmt.Sprintf("%s sent no valid response: %v", host, err)}
}

// fail answers a subrequest that got no response.
func (o *outbound) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *hop.Error
	if errors.As(err, &e) && (e.Kind == hop.Canceled || e.Kind == hop.Client) || r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the Worker is no longer there to be told
	}
	f := explain(r.Host, err)
	level := slog.LevelDebug
	if f.policy {
		level = slog.LevelWarn
	}
	o.options.Logger.Log(r.Context(), level, "subrequest failed", "worker", o.worker, "host", r.Host, "status", f.status, "err", err)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(f.status)
	code := f.code
	if code == 0 {
		code = f.status
	}
	fmt.Fprintf(w, "error code: %d\n%s\n", code, strings.TrimSpace(f.reason))
}
