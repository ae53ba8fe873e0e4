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

// Fifty deploys, one after the other, under 200 requests per second over
// connections that stay open: no request fails, none is answered by anything but
// a whole version, once a deploy has been acknowledged no older version answers
// a new request, and one cell runs and at most one more drains.
func TestNoRequestIsLostDuringDeploys(t *testing.T) {
	for _, previews := range []bool{false, true} {
		t.Run(fmt.Sprintf("previews=%t", previews), func(t *testing.T) { deployUnderLoad(t, previews) })
	}
}

func deployUnderLoad(t *testing.T, previews bool) {
	const deploys, perSecond = 50, 200
	s := servertest.Start(t)
	deploy(t, s, 0)
	subdomain(t, s, previews)

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
		if running, draining := cells(t, s, "running"), cells(t, s, "draining"); running != 1 || draining > 1 {
			t.Errorf("after deploy %d there are %d cells running and %d draining", n+1, running, draining)
		}
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
func deploy(t testing.TB, s *servertest.Server, n int) {
	t.Helper()
	if n%2 == 0 {
		put(t, s, n)
		return
	}
	contentType, body := upload(t, n)
	id := call(t, s, "POST", "/versions", contentType, body)["id"]
	call(t, s, "POST", "/deployments", "application/json", fmt.Sprintf(`{"strategy":"percentage","versions":[{"version_id":%q,"percentage":100}]}`, id))
}

// put uploads version n and deploys it with one call.
func put(t testing.TB, s *servertest.Server, n int) {
	t.Helper()
	contentType, body := upload(t, n)
	call(t, s, "PUT", "", contentType, body)
}

// subdomain gives the Worker its host, and its versions theirs if previews is set.
func subdomain(t testing.TB, s *servertest.Server, previews bool) {
	t.Helper()
	call(t, s, "POST", "/subdomain", "application/json", fmt.Sprintf(`{"enabled":true,"previews_enabled":%t}`, previews))
}

// upload is the form with version n, which answers with its number.
func upload(t testing.TB, n int) (contentType, text string) {
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
	return form.FormDataContentType(), body.String()
}

// cells counts the cells of the server in a state, "running" or "draining".
func cells(t testing.TB, s *servertest.Server, state string) int {
	t.Helper()
	r, err := http.NewRequest("GET", strings.TrimSuffix(s.API, "/client/v4")+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), fmt.Sprintf("\nselvage_cells{state=%q} ", state))
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil || !found {
		t.Fatalf("the metrics lack the cells: %v", err)
	}
	return n
}

func call(t testing.TB, s *servertest.Server, method, path, contentType, body string) map[string]any {
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
