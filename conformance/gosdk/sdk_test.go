// Package gosdk drives the REST API with Cloudflare's own Go client.
package gosdk

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	cloudflare "github.com/cloudflare/cloudflare-go/v7"
	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"github.com/selvage-edge/selvage/internal/servertest"
)

func TestWorkers(t *testing.T) {
	s := servertest.Start(t)
	client := cloudflare.NewClient(option.WithBaseURL(s.API), option.WithAPIToken(s.Token))
	ctx, account := t.Context(), cloudflare.F(s.Account)

	verified, err := client.User.Tokens.Verify(ctx)
	if err != nil || verified.Status != "active" {
		t.Fatalf("verify: %+v, %v", verified, err)
	}

	upload := func(code string) *workers.ScriptUpdateResponse {
		t.Helper()
		// The client writes metadata as one form field per leaf, which loses the
		// types of its values; the form of the API's documentation goes in its place.
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		w.WriteField("metadata", `{"main_module":"index.js","compatibility_date":"2026-01-01","bindings":[{"name":"NAME","type":"plain_text","text":"value"}]}`)
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition("index.js", "index.js")},
			"Content-Type":        {"application/javascript+module"},
		})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, code)
		w.Close()
		script, err := client.Workers.Scripts.Update(ctx, "api", workers.ScriptUpdateParams{
			AccountID: account, Metadata: cloudflare.F(workers.ScriptUpdateParamsMetadata{}),
		}, option.WithRequestBody(w.FormDataContentType(), form.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		return script
	}
	if script := upload(`export default { fetch(request, env) { return new Response("one " + env.NAME + " " + env.KEY); } }`); script.ID != "api" {
		t.Errorf("upload: %+v", script)
	}
	if _, err := client.Workers.Scripts.Subdomain.New(ctx, "api", workers.ScriptSubdomainNewParams{AccountID: account, Enabled: cloudflare.F(true)}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Workers.Scripts.Secrets.Update(ctx, "api", workers.ScriptSecretUpdateParams{AccountID: account,
		Body: workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretText{
			Name: cloudflare.F("KEY"), Text: cloudflare.F("secret"),
			Type: cloudflare.F(workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretTextTypeSecretText),
		}})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, s.Edge, "api.localhost"); got != "one value secret" {
		t.Errorf("the Worker answers %q", got)
	}
	if _, err := client.Workers.Scripts.Schedules.Update(ctx, "api", workers.ScriptScheduleUpdateParams{
		AccountID: account, Body: []workers.ScriptScheduleUpdateParamsBody{{Cron: cloudflare.F("*/10 * * * *")}},
	}); err != nil {
		t.Error(err)
	}

	// Back to the version before the secret.
	versions, err := client.Workers.Scripts.Versions.List(ctx, "api", workers.ScriptVersionListParams{AccountID: account})
	if err != nil || len(versions.Result.Items) != 2 {
		t.Fatalf("versions: %+v, %v", versions, err)
	}
	_, err = client.Workers.Scripts.Deployments.New(ctx, "api", workers.ScriptDeploymentNewParams{
		AccountID: account,
		Deployment: workers.DeploymentParam{
			Strategy: cloudflare.F(workers.DeploymentStrategyPercentage),
			Versions: cloudflare.F([]workers.DeploymentVersionParam{{VersionID: cloudflare.F(versions.Result.Items[1].ID), Percentage: cloudflare.F(100.0)}}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, s.Edge, "api.localhost"); got != "one value undefined" {
		t.Errorf("after the rollback the Worker answers %q", got)
	}

	names := 0
	for list := client.Workers.Scripts.ListAutoPaging(ctx, workers.ScriptListParams{AccountID: account}); list.Next(); names++ {
	}
	if names != 1 {
		t.Errorf("%d Workers are listed", names)
	}
	if _, err := client.Workers.Scripts.Delete(ctx, "api", workers.ScriptDeleteParams{AccountID: account}); err != nil {
		t.Error(err)
	}
	_, err = client.Workers.Scripts.Settings.Get(ctx, "api", workers.ScriptSettingGetParams{AccountID: account})
	if err == nil || !strings.Contains(err.Error(), "10007") {
		t.Errorf("settings of a deleted Worker: %v", err)
	}
}

func TestKV(t *testing.T) {
	s := servertest.Start(t)
	client := cloudflare.NewClient(option.WithBaseURL(s.API), option.WithAPIToken(s.Token))
	ctx, account := t.Context(), cloudflare.F(s.Account)
	ns, err := client.KV.Namespaces.New(ctx, kv.NamespaceNewParams{AccountID: account, Title: cloudflare.F("NOTES")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for list := client.KV.Namespaces.ListAutoPaging(ctx, kv.NamespaceListParams{AccountID: account}); list.Next(); n++ {
		if list.Current().ID != ns.ID {
			t.Errorf("listed %+v", list.Current())
		}
	}
	if n != 1 {
		t.Errorf("%d namespaces are listed", n)
	}
}

func get(t *testing.T, edge, host string) string {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+edge+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		return fmt.Sprintf("%d %s", resp.StatusCode, body)
	}
	return string(body)
}
