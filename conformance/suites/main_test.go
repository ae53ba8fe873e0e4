package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/conformance/verdict"
)

// source has a test that passes and one that does not; both use a Durable Object.
const source = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async add() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return n;
  }
}
const add = (env) => env.ns.getByName("a").add();
export default {
  async test(controller, env) { if ((await add(env)) !== 1) throw new Error("not the first") },
};
export const second = {
  async test(controller, env) { if ((await add(env)) !== 1) throw new Error("not the first") },
};
export const other = { fetch() {} };
`

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "counter-test.js"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	suites := []suite{
		script{file: "counter-test.js", classes: map[string]bool{"Counter": true}, objects: map[string]string{"ns": "Counter"}},
		script{file: "gone.js"},
	}
	check := func(expected, table, problems string) {
		t.Helper()
		var out strings.Builder
		err := run(t.Context(), dir, suites, verdict.Parse(expected), false, slog.New(slog.DiscardHandler), &out)
		if out.String() != table {
			t.Errorf("got\n%s\nwant\n%s", out.String(), table)
		}
		if problems == "" && err != nil || problems != "" && (err == nil || !strings.Contains(err.Error(), problems)) {
			t.Errorf("error %v, want %s", err, problems)
		}
	}
	check("# a comment\ncounter-test default\ncounter-test second: it is the second\ngone (start): it is gone\n",
		"counter-test default: passed\ncounter-test second: does not pass: it is the second\ngone (start): does not pass: it is gone\n1 of 3 tests passed\n", "")
	check("counter-test default: fails\ncounter-test second\ngone (start): it is gone\n",
		"counter-test default: passed\ncounter-test second: 500 Error: not the first\ngone (start): does not pass: it is gone\n1 of 3 tests passed\n",
		"counter-test default: passed; expected: fails\ncounter-test second: 500 Error: not the first")
	check("gone (start): it is gone\ncounter-test default\ncounter-test second: x\ncounter-test third\n",
		"counter-test default: passed\ncounter-test second: does not pass: x\ngone (start): does not pass: it is gone\n1 of 3 tests passed\n", "counter-test third: there is no such test")
}

func TestExpectedNamesEverySuite(t *testing.T) {
	known := verdict.Parse(expected + expectedSDK)
	for _, s := range append(workerd, fixtures...) {
		found := false
		for name := range known {
			found = found || strings.HasPrefix(name, s.name()+" ")
		}
		if !found {
			t.Errorf("the expected outcomes have nothing about %s", s.name())
		}
	}
}

func TestReadReport(t *testing.T) {
	got, err := readReport([]byte(`{"testResults":[{"assertionResults":[{"fullName":"a b","status":"passed","failureMessages":[]},{"fullName":"a c","status":"failed","failureMessages":["x","y"]}]}]}`))
	if err != nil || len(got) != 2 || got["a b"] != "" || got["a c"] != "failed x\ny" {
		t.Errorf("%q, %v", got, err)
	}
	for report, want := range map[string]string{`{"testResults":[{"message":"no such module"}]}`: "no such module", `x`: "read vitest's report"} {
		if _, err := readReport([]byte(report)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", report, err)
		}
	}
}
