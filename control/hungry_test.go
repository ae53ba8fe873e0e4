package control

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/budget"
)

// An upload is read once there is memory for it; small requests need none.
func TestUploadMemory(t *testing.T) {
	memory := budget.New(8<<20, 8<<20, time.Nanosecond)
	b := newBenchAt(t, func(o *Options) { o.Memory = memory })
	upload := func() (int, string) {
		typ, body := form(t, []string{`metadata json {"main_module":"index.js"}`, "index.js application/javascript+module // " + strings.Repeat("x", 3<<20)})
		status, _, answer := b.do("PUT", "{W}", typ, body)
		return status, answer
	}
	taken, err := memory.Take(t.Context(), "another token", 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := upload(); status != http.StatusServiceUnavailable || !strings.Contains(answer, `"code":10013`) || !strings.Contains(answer, "raise limits.upload_memory") {
		t.Errorf("%d %s", status, answer)
	}
	b.upload(`{"main_module":"index.js"}`, "export default {}")
	taken.Release()
	if status, answer := upload(); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	if s := memory.Stats(); s.Used != 0 || s.Peak != 8<<20 {
		t.Errorf("%+v", s)
	}
}
