package control

import (
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/cron"
)

func TestRunsOfCronTriggers(t *testing.T) {
	b, _ := newWhole(t)
	b.upload(plainUpload, "export default {}")
	path := "/accounts/" + b.account + "/workers/scripts/api/schedules/runs"
	if status, _, body := b.do("GET", path, "", ""); status != 200 || !strings.Contains(body, `"result":[]`) {
		t.Errorf("before the first: %d %s", status, body)
	}
	for i, outcome := range []string{"ok", "exception"} {
		r := cron.Run{Worker: "api", Cron: "* * * * *", Time: time.Date(2026, 11, 25, 12, i, 0, 0, time.UTC)}
		if _, err := b.crons.Begin(r); err != nil {
			t.Fatal(err)
		}
		r.Outcome = outcome
		if err := b.crons.End(r); err != nil {
			t.Fatal(err)
		}
	}
	want := `"result":[{"worker":"api","cron":"* * * * *","scheduledTime":"2026-11-25T12:01:00Z","outcome":"exception","took":0},{"worker":"api","cron":"* * * * *","scheduledTime":"2026-11-25T12:00:00Z","outcome":"ok","took":0}]`
	if status, _, body := b.do("GET", path, "", ""); status != 200 || !strings.Contains(body, want) {
		t.Errorf("%d %s\nwant %s", status, body, want)
	}
	if status, _, body := b.do("GET", strings.Replace(path, "/api/", "/other/", 1), "", ""); status != 404 || !strings.Contains(body, "10007") {
		t.Errorf("of no Worker: %d %s", status, body)
	}
}
