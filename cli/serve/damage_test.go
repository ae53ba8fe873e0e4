package serve

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A static file that the disk has damaged or lost is never answered as if it
// were whole, in any coding. The next deploy brings it again.
func TestDamagedFile(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	file := strings.Repeat("a text that is worth compressing ", 20_000)
	dir := t.TempDir()
	r := start(t, testSettings(dir), Options{})
	deploy := func() (uploaded bool) {
		t.Helper()
		var session struct {
			JWT     string
			Buckets [][]string
		}
		manifest := fmt.Sprintf(`{"manifest":{"/a.txt":{"hash":%q,"size":%d}}}`, hash, len(file))
		if err := r.api("POST", "/workers/scripts/site/assets-upload-session", "application/json", strings.NewReader(manifest), &session); err != nil {
			t.Fatal(err)
		}
		if len(session.Buckets) > 0 {
			req, err := http.NewRequest("POST", r.admin+"/client/v4/accounts/"+r.account+"/workers/assets/upload/"+hash, strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Authorization": {"Bearer " + session.JWT}, "Content-Type": {"text/plain"}}
			res, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(res.Body)
			res.Body.Close()
			_, rest, _ := bytes.Cut(answer, []byte(`"jwt":"`))
			token, _, ok := bytes.Cut(rest, []byte(`"`))
			if res.StatusCode != http.StatusCreated || !ok {
				t.Fatalf("%s %s", res.Status, answer)
			}
			session.JWT = string(token)
		}
		r.deploy("site", "export default {}", map[string]any{"assets": map[string]any{"jwt": session.JWT}})
		return len(session.Buckets) > 0
	}
	get := func(accept string) (whole bool) {
		req, err := http.NewRequest("GET", r.edge+"/a.txt", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "site.localhost"
		if accept != "" {
			req.Header.Set("Accept-Encoding", accept)
		}
		res, err := r.client.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err == nil && res.StatusCode == http.StatusOK
	}
	if !deploy() {
		t.Fatal("the first deploy uploads nothing")
	}
	if deploy() {
		t.Error("a file that is there is uploaded again")
	}
	var stored string
	all, err := filepath.Glob(filepath.Join(dir, "blob", "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if info, err := os.Stat(path); err == nil && info.Size() == int64(len(file)) {
			stored = path
		}
	}
	if stored == "" {
		t.Fatal("the file is not among", all)
	}
	for name, harm := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(stored, []byte(strings.ToUpper(file)), 0o600) },
		"short":   func() error { return os.Truncate(stored, 1000) },
		"empty":   func() error { return os.Truncate(stored, 0) },
		"lost":    func() error { return os.Remove(stored) },
	} {
		for _, accept := range []string{"identity", "gzip", "br", "zstd"} {
			if err := harm(); err != nil {
				t.Fatal(name, err)
			}
			if get(accept) {
				t.Errorf("%s, %s: it was answered as whole", name, accept)
			}
			if !deploy() {
				t.Errorf("%s, %s: the next deploy does not bring it", name, accept)
			}
			if !get("identity") {
				t.Errorf("%s, %s: it is not repaired", name, accept)
			}
		}
	}
}
