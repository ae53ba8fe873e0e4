package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What is free is the least of what the machine and each group above leave.
func TestMachineMemory(t *testing.T) {
	const meminfo = "MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:    600 kB\nHugePages_Total:   0\n"
	for name, tt := range map[string]struct {
		meminfo string
		groups  map[string]string // files below the mount
		want    Memory
	}{
		"the machine's":        {meminfo, nil, Memory{1000 << 10, 600 << 10}},
		"groups without bound": {meminfo, map[string]string{"a/b/memory.max": "max\n", "a/b/memory.current": "5\n"}, Memory{1000 << 10, 600 << 10}},
		"our own bound":        {meminfo, map[string]string{"a/b/memory.max": "300000\n", "a/b/memory.current": "100000\n"}, Memory{300000, 200000}},
		"one above": {meminfo, map[string]string{
			"a/b/memory.max": "300000\n", "a/b/memory.current": "100000\n", "a/memory.max": "400000\n", "a/memory.current": "399000\n"},
			Memory{400000, 1000}},
		"a container's": {meminfo, map[string]string{"memory.max": "300000\n", "memory.current": "250000\n"}, Memory{300000, 50000}},
		"old file cache is free": {meminfo, map[string]string{
			"a/memory.max": "300000\n", "a/memory.current": "300000\n", "a/memory.stat": "anon 1\ninactive_file 4096\nactive_file 9000\n"},
			Memory{300000, 4096}},
		"a bound above the machine": {meminfo, map[string]string{"a/memory.max": "90000000\n", "a/memory.current": "1\n"}, Memory{1000 << 10, 600 << 10}},
		"no Linux":                  {"", nil, Memory{}},
		"an old kernel":             {"MemTotal: 65000000 kB\n", nil, Memory{}},
		"a large machine":           {"MemTotal:       65000000 kB\nMemFree: 1 kB\nMemAvailable:   32000000 kB\n", nil, Memory{65000000 << 10, 32000000 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			proc, mount := t.TempDir(), t.TempDir()
			put := func(path, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put(filepath.Join(proc, "meminfo"), tt.meminfo)
			put(filepath.Join(proc, "self/cgroup"), "0::/a/b\n")
			put(filepath.Join(proc, "self/mountinfo"), fmt.Sprintf("30 23 0:26 / %s rw - cgroup2 cgroup2 rw\n", mount))
			for file, text := range tt.groups {
				put(filepath.Join(mount, file), text)
			}
			got, err := machineMemory(proc)
			if got != tt.want || (err != nil) != (tt.want == Memory{}) {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseCounts(f *testing.F) {
	f.Add("MemTotal:       16315404 kB\nMemAvailable:   -1 kB\nx\n")
	f.Add("anon 1\ninactive_file 99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, n := range parseCounts(text) {
			if n < 0 || n<<10 < 0 {
				t.Errorf("%s %d", name, n)
			}
		}
	})
}
