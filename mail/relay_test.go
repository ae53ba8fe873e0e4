package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// server is an SMTP server that keeps what it gets.
type server struct {
	mu       sync.Mutex
	messages []Message
	logins   []string
	secure   []bool
}

func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &session{server: s, secure: secure}, nil
}

type session struct {
	*server
	secure bool
	login  string
	m      Message
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.login = user
		return nil
	}), nil
}
func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.m.From = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	}
	s.m.To = append(s.m.To, to)
	return nil
}
func (s *session) Data(r io.Reader) (err error) {
	if s.m.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages, s.logins, s.server.secure = append(s.messages, s.m), append(s.logins, s.login), append(s.server.secure, s.secure)
	return nil
}
func (s *session) Reset()        { s.m = Message{} }
func (s *session) Logout() error { return nil }

// serve starts a server and returns a relay that leads to it.
func serve(t *testing.T, security string) (*server, *Relay) {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS() // for its certificate of 127.0.0.1
	t.Cleanup(certified.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	kept := &server{}
	s := smtp.NewServer(kept)
	s.Domain, s.AllowInsecureAuth = "relay.test", security == NoTLS
	s.TLSConfig = &tls.Config{Certificates: certified.TLS.Certificates}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	switch security {
	case TLS:
		l = tls.NewListener(l, s.TLSConfig)
	case NoTLS:
		s.TLSConfig = nil
	}
	go s.Serve(l) // until Close
	t.Cleanup(func() { s.Close() })
	return kept, &Relay{Addr: addr, Security: security, Domains: []string{"example.com"}, Timeout: 30 * time.Second, Roots: &tls.Config{RootCAs: roots}}
}

func TestRelay(t *testing.T) {
	data := "Subject: x\r\n\r\n.a line that begins with a dot\r\n.\r\nMAIL FROM:<mallory@example.com>\r\n"
	for _, security := range []string{StartTLS, TLS, NoTLS} {
		for _, user := range []string{"", "me"} {
			kept, relay := serve(t, security)
			if relay.Username = user; user != "" {
				relay.Password = "secret"
			}
			m := Message{From: "a@Example.com", To: []string{"b@x.test", "c@y.test"}, Data: []byte(data)}
			if err := relay.Send(t.Context(), m); err != nil {
				t.Errorf("%s as %q: %v", security, user, err)
				continue
			}
			kept.mu.Lock()
			if len(kept.messages) != 1 || kept.logins[0] != user || kept.secure[0] != (security != NoTLS) {
				t.Errorf("%s as %q: %d messages, logins %q, encrypted %v", security, user, len(kept.messages), kept.logins, kept.secure)
			} else if got := kept.messages[0]; got.From != m.From || !slices.Equal(got.To, m.To) || string(got.Data) != data {
				t.Errorf("%s as %q: got %+v", security, user, got)
			}
			kept.mu.Unlock()
		}
	}
}

func TestRelayRefuses(t *testing.T) {
	kept, relay := serve(t, StartTLS)
	for name, c := range map[string]struct {
		change func(*Relay, *Message)
		want   func(error) bool
	}{
		"another domain": {func(_ *Relay, m *Message) { m.From = "a@other.test" }, func(err error) bool {
			d, ok := errors.AsType[*DomainError](err)
			return ok && d.Domain == "other.test"
		}},
		"a domain that ends like ours": {func(_ *Relay, m *Message) { m.From = "a@evil-example.com" }, func(err error) bool {
			_, ok := errors.AsType[*DomainError](err)
			return ok
		}},
		"one recipient of two": {func(_ *Relay, m *Message) { m.To = append(m.To, "nobody@x.test") }, func(err error) bool {
			r, ok := errors.AsType[*Rejection](err)
			return ok && strings.Contains(r.Error(), "550 no such mailbox")
		}},
		"a wrong password": {func(r *Relay, _ *Message) { r.Username, r.Password = "me", "wrong" }, func(err error) bool {
			_, ok := errors.AsType[*Rejection](err)
			return ok
		}},
		"a certificate of somebody else": {func(r *Relay, _ *Message) { r.Roots = nil }, func(err error) bool {
			_, ok := errors.AsType[*tls.CertificateVerificationError](err)
			return ok
		}},
		"an envelope with a line break": {func(_ *Relay, m *Message) { m.To = []string{"b@x.test>\r\nRCPT TO:<c@x.test"} }, func(err error) bool { return err != nil }},
		"no time left":                  {func(r *Relay, _ *Message) { r.Timeout = 1 }, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"no relay there":                {func(r *Relay, _ *Message) { r.Addr = "127.0.0.1:1" }, func(err error) bool { return err != nil }},
	} {
		r, m := *relay, Message{From: "a@example.com", To: []string{"b@x.test"}, Data: []byte("Subject: x\r\n\r\n")}
		c.change(&r, &m)
		if err := r.Send(t.Context(), m); err == nil || !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if len(kept.messages) > 0 {
		t.Errorf("sent all the same: %+v", kept.messages)
	}
}

// A relay that does not offer STARTTLS gets nothing in clear.
func TestStartTLSIsInsistedOn(t *testing.T) {
	kept, relay := serve(t, NoTLS)
	relay.Security = StartTLS
	if err := relay.Send(t.Context(), Message{From: "a@example.com", To: []string{"b@x.test"}, Data: []byte("Subject: x\r\n\r\n")}); err == nil {
		t.Error("sent in clear")
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if len(kept.messages) > 0 {
		t.Error("the message arrived")
	}
}
