// Package celltest runs bindings inside a real workerd, for the tests of the
// packages that make them. It is a cell without the engine: one Worker, one
// unix socket in, one unix socket per binding out.
package celltest

import (
	"context"
	_ "embed"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/poll"
)

//go:embed describe.js
var describe []byte

// CompatibilityDate is the date that the Workers of these tests ask for.
const CompatibilityDate = "2026-01-01"

// Dates are compatibility dates between which much changes.
var Dates = []string{"2022-01-01", CompatibilityDate, "2026-11-01"}

// Run starts a Worker with this source, whose env holds what mount makes for
// each binding name, and returns a client: Get asks its fetch handler. All
// ends with the test. What the source imports from "./describe.js" tells what a
// Worker could notice of values and calls. mount gets the name of the service to
// use in a binding.Site.
func Run(t testing.TB, source string, mounts map[string]func(service string) binding.Mount) *Cell {
	t.Helper()
	return RunAt(t, CompatibilityDate, source, mounts)
}

// RunAt is Run with another compatibility date.
func RunAt(t testing.TB, date, source string, mounts map[string]func(service string) binding.Mount) *Cell {
	t.Helper()
	dir := t.TempDir()
	user := &workerd.Worker{
		Modules: []workerd.Module{
			{Name: "worker.js", Kind: workerd.ESModule, Data: []byte(source)},
			{Name: "describe.js", Kind: workerd.ESModule, Data: describe},
		},
		CompatibilityDate: date,
	}
	cfg := &workerd.Config{Sockets: []workerd.Socket{{Name: "http", Service: workerd.ServiceDesignator{Name: "user"}}}}
	seen := map[string]bool{}
	for name, mount := range mounts {
		service := "binding:" + name
		m := mount(service)
		user.Bindings = append(user.Bindings, workerd.Binding{Name: name, Value: m.Value})
		for _, x := range m.Modules {
			if !seen[x.Name] {
				cfg.Extensions = append(cfg.Extensions, x)
			}
			seen[x.Name] = true
		}
		if m.Handler == nil {
			continue
		}
		path := filepath.Join(dir, name+".sock")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: m.Handler}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		cfg.Services = append(cfg.Services, workerd.Service{Name: service, External: &workerd.External{Address: "unix:" + path}})
	}
	cfg.Services = append(cfg.Services, workerd.Service{Name: "user", Worker: user})
	var text strings.Builder
	cfg.Write(&text) // into memory
	return Start(t, dir, text.String())
}

// Cell is a running workerd.
type Cell struct {
	t      testing.TB
	client *http.Client
}

// Start runs workerd on a configuration whose socket is called "http", with
// dir for its files.
func Start(t testing.TB, dir, config string) *Cell {
	t.Helper()
	file := filepath.Join(dir, "config.capnp")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "http.sock")
	binary, err := workerd.Binary(context.Background(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--experimental", "--socket-addr", "http=unix:"+socket, file)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("workerd said:\n%s", output.String())
		}
	})
	poll.Until(t, "workerd listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("workerd did not start: %s\n%s", output.String(), config)
		default:
		}
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return &Cell{t: t, client: &http.Client{
		Transport: &http.Transport{
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Get returns the body of GET path.
func (c *Cell) Get(path string) string {
	c.t.Helper()
	req, err := http.NewRequest("GET", "http://example.com"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res := c.Do(req)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

// Do sends a request and does not follow redirects.
func (c *Cell) Do(req *http.Request) *http.Response {
	c.t.Helper()
	res, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}
