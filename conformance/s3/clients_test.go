package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Programs that nobody here wrote bring files to the server and back.
func TestClients(t *testing.T) {
	for _, c := range clients {
		if _, err := exec.LookPath(c.program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing, and CI must run it", c.name)
			}
			t.Skipf("%s is not installed (apt-get install %s)", c.program, c.name)
		}
	}
	s, err := start(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	files := filepath.Join(t.TempDir(), "files")
	if err := makeFiles(files, map[string]int64{"one": 1, "five": 5 << 20, "hundred": 100 << 20, "empty + odd % name": 0}); err != nil {
		t.Fatal(err)
	}
	t.Run("clients", func(t *testing.T) { // ends when all have ended
		for _, c := range clients {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if err := c.do(t.Context(), trip{t.TempDir(), files, s.endpoint, s.keys[0], c.name + "-files"}); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// What came back is compared with what was sent.
func TestSameFiles(t *testing.T) {
	make := func(sizes map[string]int64) string {
		dir := t.TempDir()
		if err := makeFiles(dir, sizes); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	want := make(map[string]int64{"one": 1, "three": 3 << 20})
	if err := sameFiles(want, make(map[string]int64{"one": 1, "three": 3 << 20})); err != nil {
		t.Error(err)
	}
	for _, c := range []map[string]int64{{"one": 1}, {"one": 1, "three": 3<<20 + 1}, {"one": 2, "three": 3 << 20}, {"one": 1, "three": 3 << 20, "more": 1}} {
		if err := sameFiles(want, make(c)); err == nil {
			t.Errorf("%v was taken for the same", c)
		}
	}
}
