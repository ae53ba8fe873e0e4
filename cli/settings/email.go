package settings

import (
	"cmp"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/mail"
)

// relay reads the table [email]; nil without a relay.
func (c *checker) relay() *mail.Relay {
	e := c.file.Email
	r := &mail.Relay{
		Addr: e.Relay, Security: cmp.Or(e.TLS, mail.StartTLS), Username: e.Username,
		Timeout: c.duration("email.timeout", e.Timeout, 30*time.Second, 10*time.Minute),
	}
	if e.Relay == "" {
		if e.Username != "" || e.PasswordFile != "" || len(e.Domains) > 0 {
			c.errorf("email", "relay is missing: name the SMTP server, such as \"smtp.example.com:587\"")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(e.Relay)
	if err != nil || host == "" || port == "" {
		c.errorf("email.relay", "%q is not a host and port such as \"smtp.example.com:587\"", e.Relay)
	}
	if !slices.Contains([]string{mail.StartTLS, mail.TLS, mail.NoTLS}, r.Security) {
		c.errorf("email.tls", "%q is not one of starttls, tls, none", e.TLS)
	}
	if r.Timeout == 0 {
		c.errorf("email.timeout", "it must not be zero: a relay could keep a Worker waiting for ever")
	}
	if len(e.Domains) == 0 {
		c.errorf("email", "domains is missing: name the domains that Workers may send from, such as [\"example.com\"], or [\"*\"]")
	}
	for _, domain := range e.Domains {
		if domain != "*" {
			domain = c.hostname("email.domains", domain)
		}
		r.Domains = append(r.Domains, domain)
	}
	switch {
	case (e.Username == "") != (e.PasswordFile == ""):
		c.errorf("email.username", "a login needs both email.username and email.password_file")
	case e.Username == "":
	case r.Security == mail.NoTLS && !isLoopback(e.Relay):
		c.errorf("email.tls", "the password would cross the network in clear; use starttls or tls")
	default:
		password, err := os.ReadFile(e.PasswordFile)
		if r.Password = strings.TrimRight(string(password), "\r\n"); err != nil {
			c.errorf("email.password_file", "%v", err)
		} else if r.Password == "" {
			c.errorf("email.password_file", "%s is empty", e.PasswordFile)
		}
	}
	return r
}
