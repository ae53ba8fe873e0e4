package h2spec

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// settings of the server: what comes to localhost is the Worker's.
const settings = `data = %q
workers_domain = "workers.example"
zones = ["localhost"]
http.listen = [%q]
https.listen = [%q]
https.certificates = [{ cert = %q, key = %q }]
admin.listen = %q
`

// worker reads the body and sends it back.
const worker = `export default { async fetch(r) { return new Response(await r.text() || "hello") } }`

// serve starts `selvage serve` with the Worker, and returns where it listens
// without TLS and with it.
func serve(t *testing.T) (plain, secure string) {
	t.Helper()
	dir := t.TempDir()
	selvage, file, data := filepath.Join(dir, "selvage"), filepath.Join(dir, "selvage.toml"), filepath.Join(dir, "data")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", selvage, "./cmd/selvage")
	build.Dir = filepath.Join("..", "..")
	output(t, build)
	plain, secure, admin := free(t), free(t), free(t)
	cert, key := certificate(t, dir)
	if err := os.WriteFile(file, fmt.Appendf(nil, settings, data, plain, secure, cert, key, admin), 0o600); err != nil {
		t.Fatal(err)
	}
	token := output(t, exec.CommandContext(ctx, selvage, "token", "create", "--name", "h2spec", "--data", data))
	account := output(t, exec.CommandContext(ctx, selvage, "account", "--data", data))

	server := exec.Command(selvage, "serve", "--config", file)
	server.Stderr = t.Output()
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	})
	api := "http://" + admin + "/client/v4"
	ready(t, out)
	kind, form := upload(t)
	call(t, token, "PUT", api+"/accounts/"+account+"/workers/scripts/h2spec", kind, form, nil)
	var zones []struct{ ID string }
	call(t, token, "GET", api+"/zones", "", nil, &zones)
	call(t, token, "POST", api+"/zones/"+zones[0].ID+"/workers/routes", "application/json", strings.NewReader(`{"pattern":"localhost/*","script":"h2spec"}`), nil)
	return plain, secure
}

// ready waits until the server says that it answers.
func ready(t *testing.T, stdout io.Reader) {
	t.Helper()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Ready on ") {
			go io.Copy(io.Discard, stdout)
			return
		}
	}
	t.Fatal("the server has ended")
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return strings.TrimSpace(string(out))
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

func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// upload is the Worker as wrangler uploads it.
func upload(t *testing.T) (contentType string, body io.Reader) {
	t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	w.WriteField("metadata", `{"main_module":"index.js","compatibility_date":"2026-01-01"}`)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="index.js"; filename="index.js"`}, "Content-Type": {"application/javascript+module"},
	})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(part, worker)
	w.Close()
	return w.FormDataContentType(), &form
}

// call calls the REST API.
func call(t *testing.T, token, method, url, contentType string, body io.Reader, result any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var envelope struct {
		Success bool
		Errors  []struct{ Message string }
		Result  json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&envelope); err != nil || !envelope.Success {
		t.Fatalf("%s %s: %s %v %v", method, url, res.Status, envelope.Errors, err)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		t.Fatal(err)
	}
}
