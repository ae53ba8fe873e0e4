package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
)

// Buckets of a data directory get CORS rules and queues without wrangler.
func TestR2Settings(t *testing.T) {
	dir := t.TempDir()
	stores, _, err := platform.OpenStores(t.Context(), platform.StoreOptions{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for typ, settings := range map[string]string{"r2_bucket": `{"bucket_name":"files"}`, "queue": `{"queue_name":"told"}`} {
		b := config.Binding{Name: "B", Type: typ, Raw: []byte(settings)}
		kind, err := binding.ByType(stores.Kinds).Of(b)
		if err == nil {
			err = kind.(binding.Maker).Make(t.Context(), b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(dir, "cors.json")
	if err := os.WriteFile(rules, []byte(`{"rules":[{"allowed":{"origins":["https://a.example"],"methods":["PUT"]}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"cors list files", 1, "The CORS configuration does not exist"},
		{"cors set files --file " + rules, 0, ""},
		{"cors list files", 0, "https://a.example"},
		{"cors delete files", 0, ""},
		{"cors list files", 1, "does not exist"},
		{"cors set none --file " + rules, 1, "bucket does not exist"},
		{"cors set files --file " + dir, 1, "is a directory"},
		{"notification create files --queue none --event-type object-create", 1, "there is no queue named none in this data directory"},
		{"notification create files --queue told --event-type object-read", 2, "event-type"},
		{"notification create files --queue told --event-type object-create --prefix up/ --suffix .png", 0, ""},
		{"notification create files --queue told --event-type object-create", 1, "overlaps with another rule"},
		{"notification create files --queue told --event-type object-delete", 0, ""},
		{"notification list files", 0, "told   up/     .png    PutObject,CompleteMultipartUpload,CopyObject"},
		{"notification list files", 0, "told                   DeleteObject,LifecycleDeletion"},
		{"notification delete files --queue told", 0, ""},
		{"notification delete files --queue told", 1, "rule does not exist"},
	} {
		code, stdout, stderr := call(t, append([]string{"r2"}, append(strings.Fields(c.args), "--data", dir)...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("selvage r2 %s: %d\n%s%s\nwant %d %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}
