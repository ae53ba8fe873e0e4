// Package upload runs the example as its README tells people to, in a browser: under
// selvage dev, and deployed by wrangler.
package upload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/chromium"
	"github.com/selvage-edge/selvage/internal/servertest"
)

// project is a copy of the example that the test may change. Without npm the test is
// skipped; in CI it fails.
func project(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("npm is missing, and CI must install it")
		}
		t.Skip("npm is not installed")
	}
	dir := t.TempDir()
	var err error
	for _, part := range []string{"src", "public", "migrations"} {
		err = errors.Join(err, os.CopyFS(filepath.Join(dir, part), os.DirFS(part)))
	}
	for _, name := range []string{"wrangler.jsonc", "package.json", "package-lock.json", "cors.json"} {
		text, e := os.ReadFile(name)
		err = errors.Join(err, e, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, "npm", "ci", "--no-audit", "--no-fund")
	return dir
}

// run runs a command in the project and returns what it prints.
func run(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// freePort is an address on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// secrets writes the Worker's variables for an S3 API at an address, with a new key
// for the bucket, to a file of the project.
func secrets(t *testing.T, selvage, dir, data, file, address string) {
	t.Helper()
	var key struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	out := run(t, dir, nil, selvage, "r2", "key", "create", "--name", "direct-upload", "--bucket", "direct-upload", "--json", "--data", data)
	if err := json.Unmarshal([]byte(out), &key); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("S3_ACCESS_KEY_ID=%s\nS3_SECRET_ACCESS_KEY=%s\n", key.ID, key.Secret)
	if address != "" {
		text += "S3_ENDPOINT=http://" + address + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// allowOrigin puts the page's origin into cors.json.
func allowOrigin(t *testing.T, dir, origin string) {
	t.Helper()
	path := filepath.Join(dir, "cors.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.ReplaceAll(text, []byte("http://localhost:8787"), []byte(origin)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrowserDev(t *testing.T) {
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	dir, data, s3 := project(t), filepath.Join(t.TempDir(), "data"), freePort(t)
	secrets(t, selvage, dir, data, ".dev.vars", s3)
	run(t, dir, nil, selvage, "provision", "--data", data)
	url, refusal := servertest.Dev(t, dir, nil, selvage, "--data", data, "--s3", s3)
	if refusal != "" {
		t.Fatal(refusal)
	}
	allowOrigin(t, dir, url)
	run(t, dir, nil, selvage, "d1", "migrations", "apply", "direct-upload", "--data", data)
	run(t, dir, nil, selvage, "r2", "cors", "set", "direct-upload", "--file", "cors.json", "--data", data)
	run(t, dir, nil, selvage, "r2", "notification", "create", "direct-upload", "--queue", "uploads", "--event-type", "object-create", "--prefix", "uploads/", "--data", data)
	watch(t, url)
}

func TestBrowserDeployed(t *testing.T) {
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	dir, data, s3 := project(t), filepath.Join(t.TempDir(), "data"), freePort(t)
	wrangler := servertest.Wrangler(t, "../../conformance/wrangler/new")
	token := strings.TrimSpace(run(t, dir, nil, selvage, "token", "create", "--name", "laptop", "--data", data))
	account := strings.TrimSpace(run(t, dir, nil, selvage, "account", "--data", data))
	secrets(t, selvage, dir, data, "secrets.env", "")
	t.Setenv("SELVAGE_S3", s3)
	server := servertest.StartOn(t, selvage, data)
	env := []string{"PATH=" + wrangler.Path, "CLOUDFLARE_API_BASE_URL=" + server.API, "CLOUDFLARE_API_TOKEN=" + token,
		"CLOUDFLARE_ACCOUNT_ID=" + account, "CI=true", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true"}
	_, port, _ := strings.Cut(server.Edge, ":")
	url := "http://direct-upload.localhost:" + port
	allowOrigin(t, dir, url)
	run(t, dir, env, selvage, "provision")
	w := func(args ...string) { t.Helper(); run(t, dir, env, wrangler.Program, args...) }
	w("d1", "migrations", "apply", "direct-upload", "--remote")
	w("deploy", "--var", "S3_ENDPOINT:http://"+s3)
	w("secret", "bulk", "secrets.env")
	w("r2", "bucket", "cors", "set", "direct-upload", "--file", "cors.json", "--force")
	w("r2", "bucket", "notification", "create", "direct-upload", "--queue", "uploads", "--event-type", "object-create", "--prefix", "uploads/")
	watch(t, url)
}

// watch uploads a file as people do, and waits until the page lists it.
func watch(t *testing.T, url string) {
	p := chromium.Start(t).Open(t, url)
	p.Shows(t, "button:enabled", "Upload", 1)
	// The form's own file chooser needs a person.
	p.Eval(t, `const list = new DataTransfer();
		list.items.add(new File(["a file of 21 bytes..."], "häl lo.txt", { type: "text/plain" }));
		document.querySelector("input").files = list.files;
		document.querySelector("form").requestSubmit()`)
	p.Shows(t, "#state", "uploaded \"", 1) // and its ETag
	p.Shows(t, "#files", "häl lo.txt\ttext/plain\t21 bytes", 1)

	// A signature is good for what it was given for.
	got := p.Eval(t, `(async () => {
		const ask = (body) => fetch("/api/uploads", { method: "POST", body: JSON.stringify(body) });
		const put = async (url, type, body) => (await fetch(url, { method: "PUT", headers: { "Content-Type": type }, body }).catch(() => ({ status: "blocked" }))).status;
		const { url } = await (await ask({ name: "a.txt", type: "text/plain", size: 3 })).json();
		const other = new URL(url);
		other.pathname += ".html";
		return [
			(await fetch("/api/none")).status,
			(await ask({ name: "../a", type: "text/plain", size: 3 })).status,
			(await ask({ name: "a", type: "text/plain", size: 1e12 })).status,
			await put(url, "text/html", "abc"),
			await put(url, "text/plain", "abcd"),
			await put(other, "text/plain", "abc"),
			await put(url, "text/plain", "abc"),
		].join();
	})()`)
	if want := "404,400,400,403,403,403,200"; got != want {
		t.Errorf("the answers are %s, want %s", got, want)
	}
	p.Shows(t, "#files", "a.txt\ttext/plain\t3 bytes", 1)
}
