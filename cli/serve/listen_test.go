package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/internal/poll"
)

// certificate writes a self-signed certificate for names.
func certificate(t *testing.T, dir, file string, serial int64, names ...string) settings.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return settings.Certificate{
		Cert: write(t, dir, file+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		Key:  write(t, dir, file+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
	}
}

// HTTPS chooses the certificate by name, and a reload brings renewed files into
// force; files that cannot be read change nothing.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	s := testSettings(filepath.Join(dir, "data"))
	s.HTTP, s.HTTPS = nil, []string{"127.0.0.1:0"}
	s.Certificates = []settings.Certificate{certificate(t, dir, "a", 1, "a.test"), certificate(t, dir, "b", 2, "*.b.test")}
	hangup := make(chan os.Signal)
	r := start(t, s, Options{Reload: hangup, Load: func() (*settings.Settings, error) { return s, nil }})
	serial := func(name string) int64 {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(r.edge, "https://"), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	for name, want := range map[string]int64{"a.test": 1, "x.b.test": 2, "other.test": 1} {
		if got := serial(name); got != want {
			t.Errorf("%s: certificate %d, want %d", name, got, want)
		}
	}
	certificate(t, dir, "b", 3, "*.b.test")
	hangup <- syscall.SIGHUP
	poll.Until(t, "the new certificate is served", func() bool { return serial("x.b.test") == 3 })
	write(t, dir, "b.pem", "nonsense")
	hangup <- syscall.SIGHUP
	poll.Until(t, "the broken file is reported", func() bool { return strings.Contains(r.screen.String(), "configuration not reloaded") })
	if got := serial("x.b.test"); got != 3 {
		t.Errorf("certificate %d after a reload that failed", got)
	}
}

func TestAddresses(t *testing.T) {
	s := testSettings(t.TempDir())
	s.HTTP = []string{":0"}
	l, err := (&server{}).listen(s)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if scheme, port := l.reached(s); scheme != "http" || port != ":"+portOf(l.edge[0]) {
		t.Errorf("%s %s", scheme, port)
	}
	l.edge = append(l.edge, edgeListener{l.edge[0].Listener, &tls.Config{}})
	if scheme, port := l.reached(s); scheme != "https" || port != ":"+portOf(l.edge[1]) {
		t.Errorf("with HTTPS beside it: %s %s", scheme, port)
	}
	s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if scheme, port := l.reached(s); scheme != "https" || port != "" {
		t.Errorf("behind a proxy: %s %s", scheme, port)
	}
	if url := l.url(); !strings.HasPrefix(url, "http://localhost:") {
		t.Errorf("%s", url)
	}
	if url := l.adminURL(); !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Errorf("%s", url)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
