// Package rollout deploys while requests come in.
package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// Fifty deploys, one after the other, under 200 requests per second: no
// request fails, none is answered by anything but a whole version, and once a
// deploy has been acknowledged no older version answers a new request.
func TestNoRequestIsLostDuringDeploys(t *testing.T) {
	const deploys, perSecond = 50, 200
	s := servertest.Start(t)
	deploy(t, s, 0)
	call(t, s, "POST", "/subdomain", "application/json", `{"enabled":true}`)

	var acknowledged atomic.Int64
	var requests, failures atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	ask := func() {
		defer wg.Done()
		oldest := acknowledged.Load()
		requests.Add(1)
		version, err := ask(client, s.Edge)
		if err == nil && version < oldest {
			err = fmt.Errorf("version %d answered after version %d was acknowledged", version, oldest)
		}
		if err != nil && failures.Add(1) <= 5 {
			t.Error(err)
		}
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				wg.Add(1)
				go ask()
			case <-done:
				return
			}
		}
	}()
	for n := range deploys {
		deploy(t, s, n+1)
		acknowledged.Store(int64(n + 1))
	}
	close(done)
	wg.Wait()
	t.Logf("%d requests during %d deploys, %d failed", requests.Load(), deploys, failures.Load())
	if requests.Load() < deploys {
		t.Errorf("only %d requests were sent", requests.Load())
	}
}

// ask returns the number of the version that answers.
func ask(client *http.Client, edge string) (int64, error) {
	r, err := http.NewRequest("GET", "http://"+edge+"/", nil)
	if err != nil {
		return 0, err
	}
	r.Host = "api.localhost"
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var n int64
	if _, err := fmt.Sscanf(string(body), "version %d.", &n); err != nil || resp.StatusCode != 200 {
		return 0, fmt.Errorf("answer %d %.300s", resp.StatusCode, body)
	}
	return n, nil
}

// deploy uploads version n. Every other one takes wrangler's second way: an
// upload of a version, then a deployment of it.
func deploy(t *testing.T, s *servertest.Server, n int) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part := func(name, typ, text string) {
		w, err := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {fmt.Sprintf(`form-data; name=%q; filename=%q`, name, name)}, "Content-Type": {typ},
		})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := form.WriteField("metadata", `{"main_module":"index.js","compatibility_date":"2026-01-01"}`); err != nil {
		t.Fatal(err)
	}
	part("index.js", "application/javascript+module", fmt.Sprintf(`export default { fetch() { return new Response("version %d."); } };`, n))
	form.Close()
	if n%2 == 0 {
		call(t, s, "PUT", "", form.FormDataContentType(), body.String())
		return
	}
	id := call(t, s, "POST", "/versions", form.FormDataContentType(), body.String())["id"]
	call(t, s, "POST", "/deployments", "application/json", fmt.Sprintf(`{"strategy":"percentage","versions":[{"version_id":%q,"percentage":100}]}`, id))
}

func call(t *testing.T, s *servertest.Server, method, path, contentType, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequest(method, s.API+"/accounts/"+s.Account+"/workers/scripts/api"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	r.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var e struct {
		Success bool
		Result  map[string]any
		Errors  []any
	}
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || !e.Success {
		t.Fatalf("%s %s: %d %v, %v", method, path, resp.StatusCode, e.Errors, err)
	}
	return e.Result
}
