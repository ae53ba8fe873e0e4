package vars_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/celltest"
)

var version = &config.Version{
	ID:      "0b5c5c2e-3b5f-4b53-9d0e-5a0a4ab1d5ce",
	Tag:     "v1",
	Created: time.Date(2026, 11, 20, 12, 0, 0, 5000, time.FixedZone("", 3600)),
	Code: config.Modules{
		{Name: "notes.txt", Type: config.TextModule, Data: []byte("notes")},
		{Name: "bytes", Type: config.DataModule, Data: []byte{0xff, 0, 1}},
		{Name: "empty.wasm", Type: config.WasmModule, Data: []byte("\x00asm\x01\x00\x00\x00")},
	},
}

func kind(t *testing.T, typ string) binding.Kind {
	t.Helper()
	for _, k := range vars.Kinds() {
		if k.Type() == typ {
			return k
		}
	}
	t.Fatalf("no kind %s", typ)
	return nil
}

func TestValuesInWorkerd(t *testing.T) {
	const worker = `export default {
  async fetch(request, { PLAIN, SECRET, JSON: json, META, TEXT, DATA, KEY, SPKI }) {
    const mac = await crypto.subtle.sign("HMAC", KEY, new TextEncoder().encode("data"));
    let exported = "refused";
    try { await crypto.subtle.exportKey("raw", KEY); exported = "allowed"; } catch {}
    return Response.json({
      plain: PLAIN, secret: SECRET, json, meta: META, text: TEXT, data: [...new Uint8Array(DATA)],
      mac: mac.byteLength, exported,
    });
  },
};`
	mounts := map[string]func(string) binding.Mount{}
	for name, raw := range map[string]string{
		"PLAIN":  `{"type":"plain_text","text":"tab\t\"quoted\" \\ ü\n"}`,
		"SECRET": `{"type":"secret_text","text":""}`,
		"JSON":   `{"type":"json","json":{"a":[1, null, "ü"]}}`,
		"META":   `{"type":"version_metadata"}`,
		"TEXT":   `{"type":"text_blob","part":"notes.txt"}`,
		"DATA":   `{"type":"data_blob","part":"bytes"}`,
		"KEY": `{"type":"secret_key","format":"raw","algorithm":{"name":"HMAC","hash":"SHA-256"},"usages":["sign","verify"],"key_base64":"` +
			base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")) + `"}`,
		// An Ed25519 public key.
		"SPKI": `{"type":"secret_key","format":"spki","algorithm":{"name":"Ed25519"},"usages":["verify"],"key_base64":"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}`,
	} {
		var b config.Binding
		if err := json.Unmarshal([]byte(raw), &b); err != nil {
			t.Fatal(err)
		}
		b.Name, b.Raw = name, []byte(raw)
		mounts[name] = func(service string) binding.Mount {
			if err := kind(t, b.Type).Validate(b); err != nil {
				t.Fatal(err)
			}
			m, err := kind(t, b.Type).Mount(b, binding.Site{Version: version, Service: service})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	want := `{"plain":"tab\t\"quoted\" \\ ü\n","secret":"","json":{"a":[1,null,"ü"]},` +
		`"meta":{"id":"0b5c5c2e-3b5f-4b53-9d0e-5a0a4ab1d5ce","tag":"v1","timestamp":"2026-11-20T11:00:00.000005Z"},` +
		`"text":"notes","data":[255,0,1],"mac":32,"exported":"refused"}`
	if got := celltest.Run(t, worker, mounts).Get("/"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWasmOfServiceWorker(t *testing.T) {
	script := *version
	script.ServiceWorker = true
	b := config.Binding{Name: "WASM", Type: "wasm_module", Raw: []byte(`{"part":"empty.wasm"}`)}
	m, err := kind(t, b.Type).Mount(b, binding.Site{Version: &script})
	if err != nil || string(m.Value.(workerd.WasmValue)) != "\x00asm\x01\x00\x00\x00" {
		t.Errorf("%v, %v", m.Value, err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ typ, raw, want string }{
		{"plain_text", `{}`, "text is missing"},
		{"plain_text", `{"text":1}`, "cannot unmarshal number"},
		{"plain_text", `{"text":"` + strings.Repeat("x", vars.MaxBytes+1) + `"}`, "exceed the limit of 5120"},
		{"json", `{}`, "json is missing"},
		{"json", `{"json":"` + strings.Repeat("x", vars.MaxBytes) + `"}`, "exceed the limit of 5120"},
		{"wasm_module", `{}`, "part must name"},
		{"wasm_module", `{"part":"absent"}`, `no part "absent"`},
		{"wasm_module", `{"part":"empty.wasm"}`, "only service-worker-syntax scripts"},
		{"text_blob", `{"part":"bytes"}`, "not UTF-8"},
		{"secret_key", `{"format":"raw","usages":[]}`, "algorithm is missing"},
		{"secret_key", `{"format":"raw","algorithm":{},"usages":["sing"]}`, `usage "sing" is not one of`},
		{"secret_key", `{"format":"raw","algorithm":{},"key_base64":"%"}`, "needs key_base64"},
		{"secret_key", `{"format":"jwk","algorithm":{}}`, "needs key_jwk"},
		{"secret_key", `{"format":"pgp","algorithm":{},"key_base64":"AAAA"}`, `format "pgp" is not`},
	} {
		b := config.Binding{Name: "B", Type: c.typ, Raw: []byte(c.raw)}
		_, err := kind(t, c.typ).Mount(b, binding.Site{Version: version})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "binding B") {
			t.Errorf("%s %.60s: %v, want %q", c.typ, c.raw, err, c.want)
		}
	}
}
