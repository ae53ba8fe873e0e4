// Package upgrade opens data directories that older programs wrote.
//
// testdata/ has one for each format of the data directory, written by the last
// program that made it. A program that raises the format adds the one before:
//
//	git worktree add ../before COMMIT && (cd ../before && go build -o /tmp/before ./cmd/selvage)
//	go test ./conformance/upgrade -write /tmp/before -run TestWrite
//
// and never changes those that are there.
package upgrade

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/internal/servertest"
)

//go:embed worker.js
var source string

var write = flag.String("write", "", "a selvage binary: write testdata with it")

const (
	asset     = "0123456789abcdef0123456789abcdef"
	both      = `["first","second"]`
	three     = `["first","second","second"]`
	secret    = "hunter2"
	plain     = "in the clear"
	tokenName = "laptop"
)

// everything is what /read answers, with the notes as they are.
func everything(notes string) string {
	return `{"small":{"value":"value","metadata":{"of":"small"},"cacheStatus":null},"large":true,"keys":["large","small"],` +
		`"notes":` + notes + `,"counter":{"n":2,"log":[1,2]},"secret":"` + secret + `","plain":"` + plain + `"}`
}

// written is what a test must know of a directory, beside its content.
type written struct {
	Account, Token, Database, Namespace string
	// Version is the id of the one in force.
	Version string
}

// client speaks to a server.
type client struct {
	t *testing.T
	*servertest.Server
}

// call answers with the result of a call to the REST API.
func (c client) call(method, path, contentType string, body io.Reader, bearer string) map[string]any {
	c.t.Helper()
	req, err := http.NewRequest(method, c.API+"/accounts/"+c.Account+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var envelope struct {
		Success bool
		Result  any
	}
	if err := json.Unmarshal(text, &envelope); err != nil || !envelope.Success {
		c.t.Fatalf("%s %s: %s %s", method, path, res.Status, text)
	}
	if list, ok := envelope.Result.([]any); ok {
		return map[string]any{"list": list}
	}
	result, _ := envelope.Result.(map[string]any)
	return result
}

func (c client) json(method, path, body string) map[string]any {
	c.t.Helper()
	return c.call(method, path, "application/json", strings.NewReader(body), c.Token)
}

// get asks the Worker.
func (c client) get(path string) string {
	c.t.Helper()
	req, err := http.NewRequest("GET", "http://"+c.Edge+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Host = "old.localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func TestUpgrade(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join("testdata", "format*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatal("there are no archives", err)
	}
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, archive, dir)
			var w written
			text, err := os.ReadFile(filepath.Join(dir, "written.json"))
			if err == nil {
				err = json.Unmarshal(text, &w)
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, selvage, filepath.Join(dir, "data"), w)
		})
	}
}

// check reads everything from a directory, and changes some of it.
func check(t *testing.T, selvage, data string, w written) {
	c := client{t, servertest.StartOn(t, selvage, data)}
	c.Account, c.Token = w.Account, w.Token
	if got := c.get("/read"); got != everything(both) {
		t.Errorf("the Worker reads\n%s\nwant\n%s", got, everything(both))
	}
	if got := c.get("/a.txt"); got != "hello" {
		t.Errorf("the static file is %q", got)
	}
	for path, want := range map[string]string{
		"/workers/scripts/old/deployments":                     w.Version,
		"/workers/scripts/old/versions":                        w.Version,
		"/workers/scripts/old/secrets":                         "SECRET",
		"/workers/scripts/old/schedules":                       "0 5 * * *",
		"/storage/kv/namespaces":                               w.Namespace,
		"/storage/kv/namespaces/" + w.Namespace + "/keys":      "small",
		"/d1/database/" + w.Database:                           "notes",
		"/d1/database/" + w.Database + "/time_travel/bookmark": "bookmark",
		"/workers/durable_objects/namespaces":                  "old_Counter",
		"/audit_logs":                                          tokenName,
	} {
		if got := fmt.Sprint(c.json("GET", path, "")); !strings.Contains(got, want) {
			t.Errorf("GET %s: %s, want %s in it", path, got, want)
		}
	}
	// Bookmarks of the time before are older than Time Travel's 30 days by the
	// time that this runs; new ones work.
	bookmark := c.json("GET", "/d1/database/"+w.Database+"/time_travel/bookmark", "")["bookmark"].(string)
	if got := c.get("/write-more"); got != "written" {
		t.Errorf("writing: %q", got)
	}
	if got := c.get("/read"); got != everything(three) {
		t.Errorf("after a write the Worker reads\n%s\nwant\n%s", got, everything(three))
	}
	c.json("POST", "/d1/database/"+w.Database+"/time_travel/restore?bookmark="+bookmark, "")
	c.Stop()
	// The upgraded directory is one that this program can open again.
	c.Server = servertest.StartOn(t, selvage, data)
	if got := c.get("/read"); got != everything(both) {
		t.Errorf("after a restart the Worker reads\n%s\nwant\n%s", got, everything(both))
	}
}

// TestWrite is no test of the program: with -write it makes an archive.
func TestWrite(t *testing.T) {
	if *write == "" {
		return
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	ask := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(*write, append(args, "--data", data)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	w := written{Token: ask("token", "create", "--name", tokenName), Account: ask("account")}
	c := client{t, servertest.StartOn(t, *write, data)}
	c.Token, c.Account = w.Token, w.Account
	w.Namespace = c.json("POST", "/storage/kv/namespaces", `{"title":"old"}`)["id"].(string)
	w.Database = c.json("POST", "/d1/database", `{"name":"notes"}`)["uuid"].(string)
	jwt := c.json("POST", "/workers/scripts/old/assets-upload-session", `{"manifest":{"/a.txt":{"hash":"`+asset+`","size":5}}}`)["jwt"].(string)
	var files bytes.Buffer
	form := multipart.NewWriter(&files)
	part, _ := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + asset + `"; filename="` + asset + `"`}, "Content-Type": {"text/plain"}})
	io.WriteString(part, base64.StdEncoding.EncodeToString([]byte("hello")))
	form.Close()
	jwt = c.call("POST", "/workers/assets/upload?base64=true", form.FormDataContentType(), &files, jwt)["jwt"].(string)

	metadata := `{"main_module":"worker.js","compatibility_date":"2026-01-01","assets":{"jwt":"` + jwt + `"},
		"migrations":{"new_tag":"v1","new_sqlite_classes":["Counter"]},"bindings":[
		{"name":"KV","type":"kv_namespace","namespace_id":"` + w.Namespace + `"},{"name":"DB","type":"d1","id":"` + w.Database + `"},
		{"name":"COUNTER","type":"durable_object_namespace","class_name":"Counter"},
		{"name":"SECRET","type":"secret_text","text":"` + secret + `"},{"name":"PLAIN","type":"plain_text","text":"` + plain + `"}]}`
	var upload bytes.Buffer
	form = multipart.NewWriter(&upload)
	form.WriteField("metadata", metadata)
	part, _ = form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="worker.js"; filename="worker.js"`}, "Content-Type": {"application/javascript+module"}})
	io.WriteString(part, source)
	form.Close()
	w.Version, _ = c.call("PUT", "/workers/scripts/old", form.FormDataContentType(), &upload, w.Token)["deployment_id"].(string)
	c.json("POST", "/workers/scripts/old/subdomain", `{"enabled":true}`)
	c.json("PUT", "/workers/scripts/old/schedules", `[{"cron":"0 5 * * *"}]`)
	poll.Until(t, "the Worker writes", func() bool { return c.get("/write") == "written" })
	c.get("/write-more")
	if got := c.get("/read"); got != everything(both) {
		t.Fatalf("the Worker reads\n%s\nwant\n%s", got, everything(both))
	}
	c.Stop()
	text, err := json.MarshalIndent(w, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "written.json"), text, 0o600)
	}
	format, err2 := os.ReadFile(filepath.Join(data, "format"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	pack(t, dir, filepath.Join("testdata", "format"+strings.TrimSpace(string(format))+".tar.gz"))
}

func pack(t *testing.T, dir, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	w := tar.NewWriter(z)
	for _, err := range []error{w.AddFS(os.DirFS(dir)), w.Close(), z.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpack(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(to, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(to), 0o700); err == nil {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(to, data, h.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
