package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/selvage-edge/selvage/cli/settings"
)

// edgeListener is a port on which Workers answer; tls is nil for plain HTTP.
type edgeListener struct {
	net.Listener
	tls *tls.Config
}

// listeners are the open ports.
type listeners struct {
	edge  []edgeListener
	admin net.Listener
	// secure: the admin address speaks HTTPS.
	secure bool
	s3     *edgeListener // nil: none
}

// listen opens every port before anything else, so that a second server on the
// same ports fails at once.
func (s *server) listen(c *settings.Settings) (_ *listeners, err error) {
	l := &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	open := func(key, address string) (net.Listener, error) {
		x, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; end the program that uses the port or choose another", key, err)
		}
		return x, nil
	}
	for _, address := range c.HTTP {
		x, err := open("http.listen", address)
		if err != nil {
			return nil, err
		}
		l.edge = append(l.edge, edgeListener{x, nil})
	}
	for _, address := range c.HTTPS {
		x, err := open("https.listen", address)
		if err != nil {
			return nil, err
		}
		l.edge = append(l.edge, edgeListener{x, &tls.Config{GetCertificate: s.certs.edge.get, MinVersion: tls.VersionTLS12}})
	}
	if l.admin, err = open("admin.listen", c.Admin); err != nil {
		return nil, err
	}
	if c.AdminCert.Cert != "" {
		l.admin = tls.NewListener(l.admin, &tls.Config{GetCertificate: s.certs.admin.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		l.secure = true
	}
	if c.S3 != "" {
		x, err := open("s3.listen", c.S3)
		if err != nil {
			return nil, err
		}
		l.s3 = &edgeListener{Listener: x}
		if c.S3Cert.Cert != "" {
			l.s3.tls = &tls.Config{GetCertificate: s.certs.s3.get, MinVersion: tls.VersionTLS12}
		}
	}
	return l, nil
}

func (l *listeners) close() {
	for _, x := range l.edge {
		x.Close()
	}
	if l.admin != nil {
		l.admin.Close()
	}
	if l.s3 != nil {
		l.s3.Close()
	}
}

// at is the scheme of a listener and its port, with a colon, where it is not the
// scheme's own.
func (l edgeListener) at() (scheme, port string) {
	scheme, port = "http", portOf(l)
	if l.tls != nil {
		scheme = "https"
	}
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme, ""
	}
	return scheme, ":" + port
}

// reached is where clients reach Workers: the first listener that speaks HTTPS,
// which is all that wrangler prints, or the first of all. Trusted proxies, which
// they come through, are taken to speak HTTPS on its own port.
func (l *listeners) reached(c *settings.Settings) (scheme, port string) {
	if len(c.TrustedProxies) > 0 {
		return "https", ""
	}
	for _, x := range l.edge {
		if x.tls != nil {
			return x.at()
		}
	}
	return l.edge[0].at()
}

func (l *listeners) url() string { return l.edge[0].url() }

func (l edgeListener) url() string {
	scheme, port := l.at()
	return scheme + "://" + hostOf(l) + port
}

func (l *listeners) adminURL() string {
	scheme := "http"
	if l.secure {
		scheme = "https"
	}
	return scheme + "://" + hostOf(l.admin) + ":" + portOf(l.admin)
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// hostOf is how this machine reaches a listener.
func hostOf(l net.Listener) string {
	a, ok := l.Addr().(*net.TCPAddr)
	switch {
	case !ok || a.IP.IsUnspecified():
		return "localhost"
	case a.IP.To4() == nil:
		return "[" + a.IP.String() + "]"
	}
	return a.IP.String()
}

// certificates are those of the listeners. They can be replaced at any time:
// connections that are open keep theirs.
type certificates struct{ edge, admin, s3 chain }

// load reads the files; use brings them into force.
func (c *certificates) load(s *settings.Settings) (use func(), err error) {
	edge, err := read(s.Certificates)
	if err != nil {
		return nil, fmt.Errorf("https.certificates: %w", err)
	}
	one := func(key string, c settings.Certificate) ([]tls.Certificate, error) {
		if c.Cert == "" {
			return nil, nil
		}
		list, err := read([]settings.Certificate{c})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return list, nil
	}
	admin, err := one("admin.cert", s.AdminCert)
	if err != nil {
		return nil, err
	}
	s3, err := one("s3.cert", s.S3Cert)
	if err != nil {
		return nil, err
	}
	return func() {
		c.edge.list.Store(&edge)
		c.admin.list.Store(&admin)
		c.s3.list.Store(&s3)
	}, nil
}

func read(list []settings.Certificate) ([]tls.Certificate, error) {
	certs := make([]tls.Certificate, 0, len(list))
	for _, x := range list {
		pair, err := tls.LoadX509KeyPair(x.Cert, x.Key)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", x.Cert, x.Key, err)
		}
		certs = append(certs, pair)
	}
	return certs, nil
}

// chain chooses among certificates.
type chain struct {
	list atomic.Pointer[[]tls.Certificate]
}

func (c *chain) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	list := *c.list.Load()
	for i := range list {
		if hello.SupportsCertificate(&list[i]) == nil {
			return &list[i], nil
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no certificate")
	}
	return &list[0], nil
}

// Check says what is wrong with settings beyond their form: certificates that
// cannot be read. It opens nothing.
func Check(s *settings.Settings) error {
	_, err := new(certificates).load(s)
	return err
}
