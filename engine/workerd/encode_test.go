package workerd

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// everything uses each part of the configuration once.
func everything() *Config {
	return &Config{
		Services: []Service{
			{Name: "user", Worker: &Worker{
				Modules: []Module{
					{Name: "index.js", Kind: ESModule, Data: []byte("import \"./c.cjs\";\nexport class C {}; export default {}")},
					{Name: "c.cjs", Kind: CommonJS, Data: []byte("module.exports = 1;")},
					{Name: "t.txt", Kind: Text, Data: []byte("tab\tquote\"back\\slash\x00")},
					{Name: "d.bin", Kind: Data, Data: []byte{0, 1, 254, 255}},
					{Name: "w.wasm", Kind: Wasm, Data: []byte("\x00asm\x01\x00\x00\x00")},
					{Name: "j.json", Kind: JSON, Data: []byte(`{"a":[1]}`)},
				},
				CompatibilityDate:  "2026-01-01",
				CompatibilityFlags: []string{"nodejs_compat"},
				Bindings: []Binding{
					{"TEXT", TextValue("ü€😀")},
					{"JSON", JSONValue(`{"b":null}`)},
					{"DATA", DataValue{1, 2, 3}},
					{"WASM", WasmValue("\x00asm\x01\x00\x00\x00")},
					{"KV", KVValue("b0")},
					{"R2", R2Value("b0")},
					{"QUEUE", QueueValue("b0")},
					{"STATS", AnalyticsValue("b0")},
					{"SELF", ServiceValue{Name: "user"}},
					{"SHIM", ServiceValue{Name: "shim", Entrypoint: "E", Props: `{"p":"\"q\""}`}},
					{"DO", DurableValue{ClassName: "C"}},
					{"WRAPPED", WrappedValue{Module: "selvage:w", Entrypoint: "make", Inner: []Binding{{"f", ServiceValue{Name: "b0"}}}}},
				},
				GlobalOutbound: "egress",
				CacheAPI:       "b0",
				Tails:          []string{"shim"},
				Classes:        []DurableClass{{ClassName: "C", UniqueKey: "k-C", SQL: true}},
				Storage:        "disk",
			}},
			{Name: "shim", Worker: &Worker{Script: "addEventListener('fetch', () => {})", CompatibilityDate: "2026-01-01"}},
			{Name: "far", Worker: &Worker{
				Modules: []Module{{"index.js", ESModule, []byte(`export class C {}`)}}, CompatibilityDate: "2026-01-01",
				Classes: []DurableClass{{ClassName: "C", UniqueKey: "k-D"}}, // in memory
			}},
			{Name: "b0", External: &External{Address: "unix:/run/b.sock", HTTP: HTTPOptions{
				ForwardedProto: "X-Proto", CfBlob: "X-Cf", CapnpConnectHost: "x",
				InjectRequestHeaders: []Header{{"Selvage-Capability", "token"}},
			}}},
			{Name: "egress", External: &External{Address: "unix:/run/b.sock"}},
			{Name: "disk", Disk: &Disk{Path: "/tmp", Writable: true}},
		},
		Sockets: []Socket{
			{Name: "main", HTTP: HTTPOptions{ForwardedProto: "X-Proto", CfBlob: "X-Cf"}, Service: ServiceDesignator{Name: "user"}},
			{Name: "rpc", HTTP: HTTPOptions{CapnpConnectHost: "x"}, Service: ServiceDesignator{Name: "user", Entrypoint: "C", Props: "1"}},
		},
		Extensions: []ExtensionModule{{Name: "selvage:w", Internal: true, Source: "export function make(env) { return env.f }"}},
		V8Flags:    []string{"--max-old-space-size=128"},
	}
}

func TestTextGolden(t *testing.T) {
	golden(t, filepath.Join("testdata", "everything.capnp"), text(t, everything()))
}

// The outline of the same has no content, and is still what workerd reads.
func TestOutlineGolden(t *testing.T) {
	golden(t, filepath.Join("testdata", "outline.capnp"), everything().Outline())
}

// Whatever may be secret is not in an outline, in any kind of value.
func TestOutlineHasNoSecrets(t *testing.T) {
	const secret = "hunter2"
	values := []Value{
		TextValue(secret), JSONValue(`{"a":"` + secret + `"}`), DataValue(secret), WasmValue(secret),
		CryptoKeyValue{Format: "base64", Key: secret, Algorithm: `"HMAC"`},
		ServiceValue{Name: "x", Props: `"` + secret + `"`},
	}
	values = append(values, WrappedValue{Module: "m", Inner: []Binding{{"a", values[0]}}})
	w := &Worker{Modules: []Module{{"a.js", ESModule, []byte(secret)}, {"b", Data, []byte(secret)}}}
	for _, v := range values {
		w.Bindings = append(w.Bindings, Binding{"b", v})
	}
	c := &Config{
		Services: []Service{
			{Name: "user", Worker: w}, {Name: "script", Worker: &Worker{Script: secret}},
			{Name: "out", External: &External{HTTP: HTTPOptions{InjectRequestHeaders: []Header{{"Capability", secret}}}}},
		},
		Sockets:    []Socket{{Service: ServiceDesignator{Name: "user", Props: `"` + secret + `"`}}},
		Extensions: []ExtensionModule{{Name: "x", Source: secret}},
	}
	hex := fmt.Sprintf("%x", secret)
	if text := text(t, c); strings.Count(text, secret)+strings.Count(text, hex) != 13 {
		t.Errorf("the secret is %d times in the text, want 13:\n%s", strings.Count(text, secret)+strings.Count(text, hex), text)
	}
	if text := c.Outline(); strings.Contains(text, secret) || strings.Contains(text, hex) {
		t.Errorf("the outline has a secret:\n%s", text)
	}
}

// golden compares with a file, and proves that workerd can read it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the text differs from %s (run with -update and review the difference):\n%s", path, got)
	}
	if out, err := exec.Command(binary(t), "compile", "--config-only", path).CombinedOutput(); err != nil {
		t.Errorf("workerd does not accept it: %v\n%s", err, out)
	}
}

// Every byte that a var, a secret or a module may hold arrives as it was.
func TestStringsRoundTrip(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x180; r++ {
		all.WriteRune(r)
	}
	texts := map[string]string{
		"all":     all.String(),
		"quotes":  `"'` + "`" + `\ \\ \" \n \x41 ${x} #{`,
		"astral":  "😀\U0010FFFF\uFEFF\u2028",
		"lines":   "a\r\nb\n\nc\t",
		"hexlike": "\x01a\x1ff\x7f0",
		"empty":   "",
		"long":    strings.Repeat("0123456789abcdef\n", 20_000),
	}
	data := make([]byte, 512)
	for i := range data {
		data[i] = byte(i)
	}
	var bindings []Binding
	for name, text := range texts {
		bindings = append(bindings, Binding{name, TextValue(text)})
	}
	bindings = append(bindings, Binding{"nothing", DataValue(nil)}, Binding{"data", DataValue(data)})
	c := module(`import text from "text.txt"; import data from "data.bin";
const b64 = (a) => btoa(String.fromCharCode(...new Uint8Array(a)));
export default { fetch(r, env) { return Response.json({...env, data: b64(env.data), nothing: b64(env.nothing), moduleText: text, moduleData: b64(data)}) } }`, bindings...)
	c.Services[0].Worker.Modules = append(c.Services[0].Worker.Modules,
		Module{"text.txt", Text, []byte(texts["all"])}, Module{"data.bin", Data, data})
	socket, client := listen(t)
	p, err := Start(t.Context(), Options{Binary: binary(t), Config: c, Sockets: map[string]*os.File{"main": socket}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Kill(); p.Wait() }()
	var got map[string]string
	if err := json.Unmarshal([]byte(get(t, client, "http://x/")), &got); err != nil {
		t.Fatal(err)
	}
	texts["nothing"] = ""
	texts["moduleText"] = texts["all"]
	texts["data"] = base64.StdEncoding.EncodeToString(data)
	texts["moduleData"] = texts["data"]
	for name, want := range texts {
		if got[name] != want {
			t.Errorf("%s: got %.80q, want %.80q", name, got[name], want)
		}
	}
}

// unquote reads a Cap'n Proto string literal; ok is false when it is not one
// from beginning to end.
func unquote(s string) (text string, ok bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"' || s[i] == '\n':
			return "", false
		case s[i] != '\\':
			out = append(out, s[i])
		case i+1 == len(s):
			return "", false
		case s[i+1] == 'n':
			out = append(out, '\n')
			i++
		case s[i+1] == 'x':
			if i+3 >= len(s) {
				return "", false
			}
			const hex = "0123456789abcdef"
			hi, lo := strings.IndexByte(hex, s[i+2]), strings.IndexByte(hex, s[i+3])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 3
		case s[i+1] == '"' || s[i+1] == '\\':
			out = append(out, s[i+1])
			i++
		default:
			return "", false
		}
	}
	return string(out), true
}

// No string closes its literal early, whatever a tenant puts into it.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", `"`, `\`, `\"`, "\n", "\x00\x7f", `), (name = "x"`, "ü\xff", `\x41`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		e := &encoder{Writer: bufio.NewWriter(&b)}
		e.quote(s)
		e.Flush()
		if got, ok := unquote(b.String()); !ok || got != s {
			t.Errorf("%q became %s", s, b.String())
		}
	})
}

func text(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
