package control

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

// What changes a Worker in place makes a version of the newest one and deploys
// it. It must not thereby deploy code that was only uploaded.
func TestChangesInPlaceNeedTheNewestVersionDeployed(t *testing.T) {
	for _, c := range []struct{ method, path, contentType, body string }{
		{"PUT", "{W}/secrets", "", `{"name":"A","text":"1","type":"secret_text"}`},
		{"DELETE", "{W}/secrets/S", "", ""},
		{"PATCH", "{W}/secrets-bulk", "", `{"secrets":{"A":{"name":"A","text":"1","type":"secret_text"}}}`},
		{"PATCH", "{W}/settings", "", `{"bindings":[{"name":"A","text":"1","type":"secret_text"}]}`},
		{"PATCH", "{W}/settings", "form", "settings json " + `{"bindings":[{"name":"A","text":"1","type":"secret_text"}]}`},
	} {
		b := newBench(t)
		live := b.upload(`{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"s"}]}`, "export default {}")
		typ, upload := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module export default {later: 1}"})
		if status, _, answer := b.do("POST", "{W}/versions", typ, upload); status != 200 {
			t.Fatalf("upload: %d %s", status, answer)
		}
		contentType, body := c.contentType, c.body
		if contentType == "form" {
			contentType, body = form(t, []string{body})
		}
		if status, _, answer := b.do(c.method, c.path, contentType, body); status != 400 || !strings.Contains(answer, `"code":10215`) {
			t.Errorf("%s %s: got %d %s, want 10215", c.method, c.path, status, answer)
		}
		if got := b.state.Current().Workers["api"].Shares[0].Version.ID; got != live {
			t.Errorf("%s %s: version %s is deployed, want %s", c.method, c.path, got, live)
		}
	}
}

// Whatever changes what runs is stored when its version is ready to take
// requests, and answered when nothing else gets any. If the version does not
// start nothing changes at all, and the answer says why.
func TestDeploymentsArePrepared(t *testing.T) {
	code, upload := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module export default {later: 1}"})
	migration, migrated := form(t, []string{
		`metadata json {"main_module":"index.js","migrations":{"new_tag":"v1","steps":[{"new_sqlite_classes":["C"]}]}}`,
		"index.js application/javascript+module export class C {}"})
	for _, c := range []struct{ name, method, path, contentType, body string }{
		{"upload", "PUT", "{W}", code, upload},
		{"migration", "PUT", "{W}", migration, migrated},
		{"content", "PUT", "{W}/content", code, upload},
		{"rollback", "POST", "{W}/deployments?force=true", "", `{"versions":[{"version_id":"{FIRST}","percentage":100}]}`},
		{"two versions", "POST", "{W}/deployments?force=true", "", `{"versions":[{"version_id":"{FIRST}","percentage":40},{"version_id":"{LIVE}","percentage":60}]}`},
		{"secret", "PUT", "{W}/secrets", "", `{"name":"A","text":"1","type":"secret_text"}`},
		{"no secret", "DELETE", "{W}/secrets/S", "", ""},
		{"secrets", "PATCH", "{W}/secrets-bulk", "", `{"secrets":{"A":{"name":"A","text":"1","type":"secret_text"}}}`},
		{"settings", "PATCH", "{W}/settings", "", `{"bindings":[{"name":"A","text":"1","type":"secret_text"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			first := b.upload(`{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"s"}]}`, "export default {first: 1}")
			live := b.upload(`{"main_module":"index.js","keep_bindings":["secret_text"]}`, "export default {}")
			do := func() (int, string) {
				body := strings.NewReplacer("{FIRST}", first, "{LIVE}", live).Replace(c.body)
				status, _, answer := b.do(c.method, c.path, c.contentType, body)
				return status, answer
			}
			type known struct {
				snapshot           *config.Snapshot
				versions, log, now int
			}
			look := func() (k known) {
				k.snapshot = b.state.Current()
				err := b.state.View(t.Context(), func(tx *state.Tx) error {
					versions, err := tx.Versions("api")
					if err != nil {
						return err
					}
					deployments, err := tx.Deployments("api", 100)
					if err != nil {
						return err
					}
					log, err := tx.AuditLog(0, 1000)
					k.versions, k.now, k.log = len(versions), len(deployments), len(log)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return k
			}

			before := look()
			for _, failure := range []struct {
				err          error
				status, code int
			}{
				{errors.New("there is no memory left"), 503, 10013},
				{StartupError{errors.New("Uncaught Error: there is no memory left")}, 400, 10021},
			} {
				b.prepare = func(string, []config.Share) (func(), error) { return nil, failure.err }
				status, answer := do()
				if status != failure.status || !strings.Contains(answer, fmt.Sprintf(`"code":%d`, failure.code)) || !strings.Contains(answer, "there is no memory left") {
					t.Errorf("when it does not start: %d %s", status, answer)
				}
				if after := look(); after != before {
					t.Errorf("when it does not start: %+v becomes %+v", before, after)
				}
			}

			var shares []config.Share
			finished := 0
			b.prepare = func(worker string, coming []config.Share) (func(), error) {
				if worker != "api" || b.state.Current() != before.snapshot {
					t.Errorf("Worker %s is made ready, or after it was deployed", worker)
				}
				shares = coming
				return func() {
					finished++
					if b.state.Current() == before.snapshot {
						t.Error("it is finished before it is deployed")
					}
				}, nil
			}
			if status, answer := do(); status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
			if finished != 1 {
				t.Errorf("it was finished %d times", finished)
			}
			// What was started is what is deployed: its cell is told so.
			deployed := b.state.Current().Workers["api"].Shares
			if len(shares) != len(deployed) {
				t.Fatalf("%d versions were made ready, %d are deployed", len(shares), len(deployed))
			}
			for i, s := range shares {
				ready, now := *s.Version, *deployed[i].Version
				if fmt.Sprint(ready.Bindings) != fmt.Sprint(now.Bindings) || s.Percentage != deployed[i].Percentage {
					t.Errorf("made ready with %s, deployed with %s", ready.Bindings, now.Bindings)
				}
				for _, v := range []*config.Version{&ready, &now} {
					v.Code, v.Bindings = nil, nil
				}
				if !reflect.DeepEqual(ready, now) {
					t.Errorf("made ready:\n%+v\ndeployed:\n%+v", ready, now)
				}
			}
		})
	}
}

// What runs nothing needs nothing made ready.
func TestUploadsAreNotPrepared(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js"}`, "export default {}")
	b.prepare = func(string, []config.Share) (func(), error) { return nil, errors.New("not wanted") }
	code, upload := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module export default {later: 1}"})
	for _, c := range []struct{ method, path, contentType, body string }{
		{"POST", "{W}/versions", code, upload},
		{"PATCH", "{W}/script-settings", "", `{"tags":["a"]}`},
		{"POST", "{W}/subdomain", "", `{"enabled":true}`},
		{"PUT", "{W}/schedules", "", `[{"cron":"* * * * *"}]`},
	} {
		if status, _, answer := b.do(c.method, c.path, c.contentType, c.body); status != 200 {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, answer)
		}
	}
}
