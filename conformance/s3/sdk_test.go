package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// The AWS SDK for JavaScript, unmodified, in a Worker.
func TestSDKInWorker(t *testing.T) {
	modules := servertest.Modules(t, "worker")
	s, err := start(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	project := t.TempDir()
	if err := os.CopyFS(project, os.DirFS("worker")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(project, "node_modules")); err != nil {
		t.Fatal(err)
	}
	vars := "ENDPOINT=http://s3.test\nKEY=" + s.keys[0].ID + "\nSECRET=" + s.keys[0].Secret + "\n"
	if err := os.WriteFile(filepath.Join(project, ".dev.vars"), []byte(vars), 0o600); err != nil {
		t.Fatal(err)
	}
	url, refusal := servertest.Dev(t, project, nil, selvage, "--origin", "s3.test="+s.endpoint)
	if refusal != "" {
		t.Fatal(refusal)
	}
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	const want = `{"text":"hello","color":"red","type":"text/plain","size":5242881,"direct":200,"folders":["a folder/"],"names":["a folder/é + %2F 日本.txt","direct","parts"],"missing":"NoSuchKey 404"}`
	if err != nil || string(body) != want {
		t.Errorf("%s %s, %v, want %s", response.Status, body, err, want)
	}
}
