package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// worker's name; it answers on worker.localhost.
const worker = "sockets"

// settings give a cell more memory than the default, which is enough for about
// 4,000 WebSockets.
const settings = "[limits]\nmemory = \"3GiB\"\n"

// metadata is that of the Worker's upload.
const metadata = `{"main_module": "index.js", "compatibility_date": "2026-04-01",
	"bindings": [{"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"}],
	"migrations": {"new_tag": "v1", "new_sqlite_classes": ["Room"]}}`

// startSelvage starts a server of the program, which it builds if there is none,
// and deploys the Worker to it.
func startSelvage(program string) starter {
	return func(ctx context.Context, dir string) (*side, error) {
		if program != "" {
			return serve(ctx, program, dir)
		}
		built := filepath.Join(dir, "selvage")
		if err := servertest.Build(ctx, built); err != nil {
			return nil, err
		}
		return serve(ctx, built, dir)
	}
}

func serve(ctx context.Context, binary, dir string) (*side, error) {
	dir, err := unpack(dir)
	if err != nil {
		return nil, err
	}
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "selvage.toml")
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	say := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, binary, append(args, "--data", data)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	token, err := say("token", "create", "--name", worker)
	if err != nil {
		return nil, err
	}
	account, err := say("account")
	if err != nil {
		return nil, err
	}
	edge, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s, err := begin(ctx, edge, exec.CommandContext(ctx, binary, "serve", "--config", config, "--data", data, "--listen", edge, "--admin", admin, "--log-level", "warn"))
	if err != nil {
		return nil, err
	}
	s.host = worker + ".localhost"
	script := "http://" + admin + "/client/v4/accounts/" + account + "/workers/scripts/" + worker
	if err := deploy(ctx, script, token, filepath.Join(dir, "worker", "index.js")); err != nil {
		s.stop()
		return nil, fmt.Errorf("deploy: %w", err)
	}
	return s, nil
}

func deploy(ctx context.Context, script, token, file string) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	w.WriteField("metadata", metadata)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="index.js"; filename="index.js"`}, "Content-Type": {"application/javascript+module"},
	})
	if err != nil {
		return err
	}
	part.Write(source)
	w.Close()
	if err := call(ctx, http.MethodPut, script, token, w.FormDataContentType(), &form); err != nil {
		return err
	}
	return call(ctx, http.MethodPost, script+"/subdomain", token, "application/json", strings.NewReader(`{"enabled": true}`))
}

func call(ctx context.Context, method, url, token, contentType string, body io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {contentType}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var envelope struct {
		Success bool
		Errors  json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&envelope); err != nil || !envelope.Success {
		return fmt.Errorf("%s %s: %s: %s %w", method, url, response.Status, envelope.Errors, err)
	}
	return nil
}
