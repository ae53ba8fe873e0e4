package upstream

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/buckettest"
	"github.com/selvage-edge/selvage/internal/poll"
)

const keyID, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// TestVersity runs the suite against versitygw, which keeps objects as files.
func TestVersity(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "kept"), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := exec.Command("go", "tool", "-n", "versitygw").Output()
	if err != nil {
		t.Fatalf("build versitygw: %v", err)
	}
	address := free(t)
	server := exec.Command(strings.TrimSpace(string(path)), "--port", address, "--access", keyID, "--secret", secret, "--quiet", "posix", root)
	server.Stdout, server.Stderr = t.Output(), t.Output()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	answers(t, address)
	buckettest.Run(t, config.Upstream{Name: "b", Resource: "kept", Endpoint: &url.URL{Scheme: "http", Host: address}, Region: "us-east-1", PathStyle: true, KeyID: keyID, Secret: secret, Timeout: 10 * time.Second})
}

// free finds an address that nobody listens on.
func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answers waits until something listens.
func answers(t *testing.T, address string) {
	poll.Until(t, "the server listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
