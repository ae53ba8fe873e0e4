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
