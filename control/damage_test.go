package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Code that the disk has damaged or lost is the server's fault, which names the
// digest, and not a mistake in somebody's script.
func TestDamagedModule(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"damaged": func(path string) error { return os.WriteFile(path, []byte("throw x"), 0o600) },
		"lost":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.upload(`{"main_module":"index.js"}`, "export default {} // once")
			files, err := filepath.Glob(filepath.Join(b.dir, "blobs", "??", "*"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			if err := harm(files[0]); err != nil {
				t.Fatal(err)
			}
			status, _, answer := b.do("PUT", "{W}/secrets", "application/json", `{"type":"secret_text","name":"A","text":"b"}`)
			if status != 500 || !strings.Contains(answer, `"code":10013`) || !strings.Contains(answer, filepath.Base(files[0])) || !strings.Contains(answer, "no fault of the script") {
				t.Errorf("%d %s", status, answer)
			}
		})
	}
}
