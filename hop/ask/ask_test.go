package ask

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// A module in a cell asks, and gets back what it asked, whatever it is and
// however long.
func TestAsk(t *testing.T) {
	const module = `import { ask } from "selvage:ask";
const texts = ["", " a ", "%2F%", "a+b#c?d&e=f", "\0\x1e\x7f\t\r\n", "ü€🙂\u2028", "\"\\'", "<>[]{}|^` + "`" + `"];
export default (env) => ({
  async differences() {
    const wrong = [];
    for (const part of texts) for (const times of [1, 30, 700, 100_000]) {
      const text = JSON.stringify(part.repeat(times));
      const answer = await ask(env.service, "echo/" + times, text);
      if (JSON.parse(answer) !== part.repeat(times)) wrong.push(times + " times " + JSON.stringify(part));
    }
    return wrong.join("\n");
  },
});`
	const worker = `export default { async fetch(request, env) { return new Response(await env.ASKING.differences()) } }`
	const limit = 8 << 20
	cell := celltest.Run(t, worker, map[string]func(string) binding.Mount{"ASKING": func(service string) binding.Mount {
		return binding.Mount{
			Value:   workerd.WrappedValue{Module: "selvage:asking", Inner: []workerd.Binding{{Name: "service", Value: workerd.ServiceValue{Name: service}}}},
			Modules: []workerd.ExtensionModule{{Name: "selvage:asking", Internal: true, Source: module}, Module()},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				text, err := Question(r, limit)
				if err != nil || !strings.HasPrefix(r.URL.Path, "/echo/") {
					text = []byte(err.Error() + r.URL.Path)
				}
				Answer(w, text)
			}),
		}
	}})
	if wrong := cell.Get("/"); wrong != "" {
		t.Errorf("came back changed:\n%s", wrong)
	}
}

// A Worker's own code cannot import the module: it holds what tells invocations
// apart.
func TestModuleIsHidden(t *testing.T) {
	if !Module().Internal {
		t.Error("Workers can import the module")
	}
}

// A header carries a text only if nothing of it could get lost.
func TestText(t *testing.T) {
	for text, want := range map[string]bool{
		"a b": true, "~!": true, strings.Repeat("x", Short): true,
		"": false, " a": false, "a ": false, "a\tb": false, "a\r\nb: c": false, "\x00": false, "\x7f": false, "ü": false, strings.Repeat("x", Short+1): false,
	} {
		w := httptest.NewRecorder()
		if Text(w, []byte(text)) != want || want && w.Header().Get(header) != text || !want && len(w.Header()) > 0 {
			t.Errorf("%.20q: %v", text, w.Header())
		}
	}
}

func TestQuestionHasLimit(t *testing.T) {
	for _, n := range []int{99, 100, 101} {
		_, err := Question(httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", n))), 100)
		if (err != nil) != (n > 100) {
			t.Errorf("%d bytes of at most 100: %v", n, err)
		}
	}
	if _, err := Question(&http.Request{Method: "GET", URL: &url.URL{RawQuery: "%zz"}}, 100); err == nil {
		t.Error("a broken escape is no error")
	}
}

// FuzzAnswer: any JSON text arrives with the same meaning, in a header that has
// nothing but printable ASCII.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"a":"ü"}`, `["🙂\u2028"]`, "\"\x7f\"", `null`, `"\ud800"`, `[1,2.5,"x"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want, got any
		if json.Unmarshal(text, &want) != nil || strings.ContainsAny(string(text), "\n\r\t") {
			return // not what we send
		}
		w := httptest.NewRecorder()
		Answer(w, text)
		answer := w.Header().Get(header)
		if len(text) > Short {
			answer = w.Body.String()
		} else {
			for _, c := range []byte(answer) {
				if c < ' ' || c > '~' {
					t.Fatalf("the header holds %q", c)
				}
			}
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q: %v", text, answer, err)
		}
	})
}
