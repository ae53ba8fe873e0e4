package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/control/auth"
)

// accessKeyBody asks for a key to read all objects.
const accessKeyBody = `{"name":"backup","policies":[{"effect":"allow","permission_groups":[{"id":"6a018a9f2fc74eb6b293b0c548f38b39"}],"resources":{"com.cloudflare.edge.r2.bucket.*":"*"}}]}`

// What clients of Cloudflare's API ask for, as they spell it, and what the key may
// then do.
func TestAccessKeyPolicies(t *testing.T) {
	b := newBench(t)
	const (
		itemRead, itemWrite   = `{"id":"6a018a9f2fc74eb6b293b0c548f38b39"}`, `{"id":"2efd5506f9c8494dacb1fa10a3e7d5b6","name":"Workers R2 Storage Bucket Item Write","meta":{}}`
		adminRead, adminWrite = `{"id":"b4992e1108244f5d8bfbd5744320c2e1"}`, `{"id":"bf7481a1826f439697cb59a20b22293e"}`
		everything            = `"com.cloudflare.edge.r2.bucket.*":"*"`
		files, notes          = `"com.cloudflare.edge.r2.bucket.ACCOUNT_default_files":"*"`, `"com.cloudflare.edge.r2.bucket.ACCOUNT_default_notes":"*"`
		account               = `"com.cloudflare.api.account.ACCOUNT":"*"`
	)
	policy := func(effect, groups, resources string) string {
		return fmt.Sprintf(`{"effect":%q,"permission_groups":[%s],"resources":{%s}}`, effect, groups, strings.ReplaceAll(resources, "ACCOUNT", b.account))
	}
	one := func(groups, resources string) string {
		return `"policies":[` + policy("allow", groups, resources) + `]`
	}
	for _, c := range []struct {
		name, body, want string // {Write Admin} [Buckets], or a part of the error
	}{
		{"read all", one(itemRead, everything), "false false []"},
		{"write all", one(itemWrite, everything), "true false []"},
		{"read and write one", one(itemRead+","+itemWrite, files), "true false [files]"},
		{"two buckets", one(itemWrite, notes+","+files), "true false [files notes]"},
		{"two policies", `"policies":[` + policy("allow", itemRead, files) + "," + policy("allow", itemRead, notes) + `]`, "false false [files notes]"},
		{"nested resources", one(itemRead, `"com.cloudflare.api.account.ACCOUNT":{"com.cloudflare.edge.r2.bucket.*": "*"}`), "false false []"},
		{"admin", one(adminWrite, account), "true true []"},
		{"admin to read", one(adminRead, account), "false true []"},
		{"all four", one(itemRead+","+itemWrite+","+adminRead+","+adminWrite, account), "true true []"},
		{"null for what is not there", one(itemRead, everything) + `,"condition":{},"not_before":null,"expires_on":null`, "false false []"},

		{"no policy", `"policies":[]`, "must say what"},
		{"deny", `"policies":[` + policy("deny", itemRead, everything) + `]`, `must be \"allow\"`},
		{"no group", one("", everything), "permission_groups"},
		{"another product's group", one(`{"id":"c8fed203ed3043cba015a93ad1616f1f"}`, everything), "no permission group"},
		{"one more group", one(itemRead+`,{"id":"c8fed203ed3043cba015a93ad1616f1f"}`, everything), "no permission group"},
		{"no resource", one(itemRead, ""), "must have resources"},
		{"another account's bucket", one(itemRead, `"com.cloudflare.edge.r2.bucket.0123456789abcdef0123456789abcdef_default_files":"*"`), "no resource"},
		{"another jurisdiction", one(itemRead, `"com.cloudflare.edge.r2.bucket.ACCOUNT_eu_files":"*"`), "no resource"},
		{"no bucket name", one(itemRead, `"com.cloudflare.edge.r2.bucket.ACCOUNT_default_":"*"`), "no resource"},
		{"a zone", one(itemRead, `"com.cloudflare.api.account.zone.*":"*"`), "no resource"},
		{"a part of a bucket", one(itemRead, `"com.cloudflare.edge.r2.bucket.ACCOUNT_default_files":{"a":"*"}`), `must have the value`},
		{"admin of one bucket", one(adminRead, files), "whole account"},
		{"different policies", `"policies":[` + policy("allow", itemRead, files) + "," + policy("allow", itemWrite, notes) + `]`, "same permission groups"},
		{"only from an address", one(itemRead, everything) + `,"condition":{"request_ip":{"in":["192.0.2.0/24"]}}`, "not supported"},
		{"only later", one(itemRead, everything) + `,"not_before":"2030-01-01T00:00:00Z"`, "not supported"},
		{"over already", one(itemRead, everything) + `,"expires_on":"2020-01-01T00:00:00Z"`, "expired already"},
		{"no time", one(itemRead, everything) + `,"expires_on":"soon"`, "not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := auth.NewKeys(b.state, nil)
			before, _ := keys.List(t.Context())
			status, _, answer := b.do("POST", "{A}/tokens", "", `{"name":"backup",`+c.body+`}`)
			after, err := keys.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if status != 200 {
				if status != 400 || !strings.Contains(answer, c.want) || len(after) != len(before) {
					t.Errorf("%d %s, want %q", status, answer, c.want)
				}
				return
			}
			var made struct{ Result struct{ ID, Value string } }
			if err := json.Unmarshal([]byte(answer), &made); err != nil {
				t.Fatal(err)
			}
			for _, k := range after {
				if got := fmt.Sprintln(k.Write, k.Admin, k.Buckets); k.ID == made.Result.ID && got != c.want+"\n" {
					t.Errorf("may %s, want %s", got, c.want)
				}
			}
			if secret, err := keys.Secret(t.Context(), made.Result.ID); err != nil || secret != auth.SecretOf(made.Result.Value) {
				t.Errorf("secret %q, %v", secret, err)
			}
			// What is shown makes the same key again.
			_, _, shown := b.do("GET", "{A}/tokens/"+made.Result.ID, "", "")
			var again struct{ Result json.RawMessage }
			if err := json.Unmarshal([]byte(shown), &again); err != nil || strings.Contains(shown, "value") {
				t.Fatalf("shown as %s, %v", shown, err)
			}
			if status, _, answer := b.do("POST", "/user/tokens", "", string(again.Result)); status != 200 || !strings.Contains(answer, `"policies":`) {
				t.Errorf("made again: %d %s", status, answer)
			}
		})
	}
}

// Who may not read or write R2 makes no key that may.
func TestAccessKeyMayDoNoMoreThanItsMaker(t *testing.T) {
	b := newBench(t)
	writing := strings.Replace(accessKeyBody, "6a018a9f2fc74eb6b293b0c548f38b39", "2efd5506f9c8494dacb1fa10a3e7d5b6", 1)
	for _, c := range []struct {
		scopes     string
		body       string
		wantStatus int
	}{
		{"account:edit", accessKeyBody, 403},
		{"r2:edit", accessKeyBody, 403},
		{"account:read r2:edit", accessKeyBody, 403},
		{"account:edit r2:read", accessKeyBody, 200},
		{"account:edit r2:read", writing, 403},
		{"account:edit r2:edit", writing, 200},
	} {
		token, err := b.auth.Create(t.Context(), c.scopes, strings.Fields(c.scopes), 0)
		if err != nil {
			t.Fatal(err)
		}
		b.token = token
		if status, _, answer := b.do("POST", "{A}/tokens", "", c.body); status != c.wantStatus {
			t.Errorf("%s: %d %s, want %d", c.scopes, status, answer, c.wantStatus)
		}
	}
}

// The plane that runs Workers gets neither keys nor secrets, and the value of a key
// opens nothing of the REST API.
func TestAccessKeyStaysInTheControlPlane(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	_, _, answer := b.do("POST", "{A}/tokens", "", accessKeyBody)
	var made struct{ Result struct{ ID, Value string } }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || made.Result.Value == "" {
		t.Fatalf("%s: %v", answer, err)
	}
	snapshot := fmt.Sprintf("%#v", b.state.Current())
	for _, w := range b.state.Current().Workers {
		snapshot += fmt.Sprintf("%+v", w)
	}
	log := fmt.Sprintf("%+v", b.log())
	for what, text := range map[string]string{"the value": made.Result.Value, "the secret": auth.SecretOf(made.Result.Value)} {
		if strings.Contains(snapshot, text) || strings.Contains(log, text) {
			t.Errorf("%s is in the snapshot or the audit log", what)
		}
	}
	if strings.Contains(snapshot, made.Result.ID) {
		t.Error("the id is in the snapshot")
	}
	b.token = made.Result.Value
	if status, _, answer := b.do("GET", "/user", "", ""); status != 401 {
		t.Errorf("the value of an access key as an API token: %d %s", status, answer)
	}
}
