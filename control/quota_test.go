package control

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/storage/blob"
)

// What the account's code may take is bounded; what is deployed goes on, and a
// deleted Worker gives its room back.
func TestCodeQuota(t *testing.T) {
	dir := t.TempDir()
	blobs, err := blob.Open(dir + "/blobs")
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(t.Context(), state.Options{Dir: dir, Blobs: blobs, Secrets: secrets, Quota: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := newBenchAt(t, func(o *Options) { o.State = s })
	b.state, b.account = s, s.Account()
	put := func(code string) (int, string) {
		typ, body := form(t, []string{`metadata json {"main_module":"index.js"}`, "index.js application/javascript+module " + code})
		status, _, answer := b.do("PUT", "{W}", typ, body)
		return status, answer
	}
	if status, answer := put("// " + strings.Repeat("x", 1000)); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := put("// another"); status != 400 || !strings.Contains(answer, `"code":10021`) || !strings.Contains(answer, "over the quota: delete Workers, or raise quotas.code") {
		t.Errorf("%d %s", status, answer)
	}
	if status, _, answer := b.do("DELETE", "{W}", "", ""); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, answer := put("// another"); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}

// The modules and static files of all versions of one Worker have a bound of
// their own: what fits to the byte is taken, one more is not. Nothing counts
// twice, and a version that brings nothing always fits.
func TestWorkerCodeQuota(t *testing.T) {
	dir := t.TempDir()
	blobs, err := blob.Open(dir + "/blobs")
	if err != nil {
		t.Fatal(err)
	}
	const quota = 1000
	s, err := state.Open(t.Context(), state.Options{Dir: dir, Blobs: blobs, Secrets: secrets, WorkerQuota: quota})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := newBenchAt(t, func(o *Options) { o.State = s })
	b.state, b.account = s, s.Account()
	code := func(size int, filler string) string { return "//" + strings.Repeat(filler, size-2) }
	put := func(path string, parts ...string) (int, string) {
		t.Helper()
		typ, body := form(t, append([]string{`metadata json {"main_module":"index.js"}`}, parts...))
		status, _, answer := b.do("PUT", path, typ, body)
		return status, answer
	}
	const main = "index.js application/javascript+module "
	for _, test := range []struct {
		name    string
		parts   []string
		refused bool
	}{
		{"the first version", []string{main + code(600, "a")}, false},
		{"one byte over the bound", []string{main + code(401, "b")}, true},
		{"the bound", []string{main + code(400, "b")}, false},
		{"what is there already", []string{main + code(600, "a"), "other.js application/javascript+module " + code(400, "b")}, false},
		{"anything else", []string{main + code(3, "c")}, true},
	} {
		status, answer := put("{W}", test.parts...)
		if !test.refused && status != 200 {
			t.Errorf("%s: %d %s", test.name, status, answer)
		}
		if test.refused && (status != 400 || !strings.Contains(answer, `"code":10021`) ||
			!strings.Contains(answer, "all versions of the Worker are over the quota: delete the Worker, or raise quotas.worker_code")) {
			t.Errorf("%s: %d %s", test.name, status, answer)
		}
	}
	if status, _, answer := b.do("PUT", "{W}/secrets", "application/json", `{"name":"S","text":"s","type":"secret_text"}`); status != 200 {
		t.Errorf("a secret: %d %s", status, answer)
	}
	if status, answer := put("{A}/workers/scripts/other", main+code(900, "d")); status != 200 {
		t.Errorf("another Worker: %d %s", status, answer)
	}
	err = s.View(t.Context(), func(tx *state.Tx) error {
		largest, err := tx.LargestCode()
		if largest.Bytes != quota {
			t.Errorf("largest %+v", largest)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
