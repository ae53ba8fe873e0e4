package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// A bucket that the settings put behind an S3 server is there, and the REST API
// gives that server's objects.
func TestUpstream(t *testing.T) {
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/kept/a" || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKID/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"5d41402abc4b2a76b9719d911017c592"`)
		w.Header().Set("Last-Modified", time.Unix(1_800_000_000, 0).UTC().Format(http.TimeFormat))
		io.WriteString(w, "hello")
	}))
	defer there.Close()
	endpoint, err := url.Parse(there.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := testSettings(t.TempDir())
	s.Upstreams = []config.Upstream{{Name: "files", Resource: "kept", Endpoint: endpoint, Region: "us-east-1", PathStyle: true, KeyID: "AKID", Secret: "hidden", Timeout: time.Minute}}
	r := start(t, s, Options{})
	req, err := http.NewRequest(http.MethodGet, r.admin+"/client/v4/accounts/"+r.account+"/r2/buckets/files/objects/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" {
		t.Errorf("%s %q, %v", res.Status, body, err)
	}
}
