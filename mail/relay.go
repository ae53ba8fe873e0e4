package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// How a Relay's connection is encrypted.
const (
	StartTLS = "starttls" // after STARTTLS, which the relay must offer; port 587
	TLS      = "tls"      // from the first byte; port 465
	NoTLS    = "none"     // not at all
)

// Relay hands messages to an SMTP server that delivers them.
type Relay struct {
	// Addr is its host and port.
	Addr string
	// Security is StartTLS, TLS or NoTLS.
	Security string
	// Username and Password are asked for by most relays. Empty: no login.
	Username, Password string
	// Domains are those that messages may be from; "*" is any.
	Domains []string
	// Timeout bounds each message.
	Timeout time.Duration
	// Roots are who may have signed the relay's certificate. Nil: the system's.
	Roots *tls.Config
}

// DomainError: messages of this domain are not sent by the relay.
type DomainError struct{ Domain string }

func (e *DomainError) Error() string {
	return fmt.Sprintf("the domain %q is not among email.domains of the server's configuration", e.Domain)
}

// Rejection is the relay's own answer to a message it does not take. Any other
// error of Send is about the way to it.
type Rejection struct{ reply *smtp.SMTPError }

func (e *Rejection) Error() string {
	return fmt.Sprintf("the relay answers %d %s", e.reply.Code, e.reply.Message)
}

// Send implements Sender.
func (r *Relay) Send(ctx context.Context, m Message) error {
	domain := strings.ToLower(m.From[strings.LastIndexByte(m.From, '@')+1:])
	if !slices.Contains(r.Domains, "*") && !slices.Contains(r.Domains, domain) {
		return &DomainError{domain}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	err := r.send(ctx, m)
	if reply, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return &Rejection{reply}
	}
	if err != nil {
		return fmt.Errorf("relay %s: %w", r.Addr, errors.Join(err, ctx.Err()))
	}
	return nil
}

func (r *Relay) send(ctx context.Context, m Message) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	c, err := r.greet(ctx, conn)
	if err != nil {
		return err
	}
	c.CommandTimeout, c.SubmissionTimeout = r.Timeout, r.Timeout
	if r.Username != "" {
		if err := r.login(c); err != nil {
			return err
		}
	}
	if err := c.SendMail(m.From, m.To, bytes.NewReader(m.Data)); err != nil {
		return err
	}
	c.Quit() // the message has been accepted
	return nil
}

func (r *Relay) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if r.Roots != nil {
		config = r.Roots.Clone()
	}
	config.ServerName = host
	switch r.Security {
	case NoTLS:
		return smtp.NewClient(conn), nil
	case TLS:
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		return smtp.NewClient(encrypted), nil
	}
	return smtp.NewClientStartTLS(conn, config)
}

func (r *Relay) login(c *smtp.Client) error {
	switch {
	case c.SupportsAuth(sasl.Plain):
		return c.Auth(sasl.NewPlainClient("", r.Username, r.Password))
	case c.SupportsAuth(sasl.Login):
		return c.Auth(sasl.NewLoginClient(r.Username, r.Password))
	}
	return errors.New("it offers neither AUTH PLAIN nor AUTH LOGIN")
}
