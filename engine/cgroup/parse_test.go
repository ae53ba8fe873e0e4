package cgroup

import (
	"path"
	"slices"
	"testing"
)

func TestParseMounts(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []mount
	}{
		"unified": {"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", []mount{{"/", "/sys/fs/cgroup", false}}},
		"hybrid": {"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			[]mount{{"/", "/sys/fs/cgroup/unified", false}}},
		"a part, read-only, more fields": {"9 8 0:26 /docker/1f /sys/fs/cgroup ro shared:4 master:2 - cgroup2 cgroup rw", []mount{{"/docker/1f", "/sys/fs/cgroup", true}}},
		"the file system read-only":      {"9 8 0:26 / /c rw - cgroup2 none ro", []mount{{"/", "/c", true}}},
		"blanks in names":                {`9 8 0:26 / /my\040groups\134 rw - cgroup2 none rw`, []mount{{"/", `/my groups\`, false}}},
		"another file system":            {"9 8 0:26 / /c rw - tmpfs cgroup2 rw", nil},
		"cut short":                      {"9 8 0:26 / /c rw - cgroup2", nil},
		"no dash":                        {"9 8 0:26 / /c rw cgroup2 cgroup2 rw", nil},
		"empty":                          {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseMounts(tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseOwn(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/selvage.service\n":     "/system.slice/selvage.service",
		"9:name=systemd:/a\n4:memory:/b\n0::/\n": "/",
		"0::/a b:c":                              "/a b:c",
		"4:memory:/b\n":                          "",
		"0::relative\n":                          "",
		"10::/x\n1:0::/":                         "",
		"":                                       "",
	} {
		if got, ok := parseOwn(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", text, got, ok, want)
		}
	}
}

func TestParseEvents(t *testing.T) {
	for text, want := range map[string]Events{
		"low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 1\n": {OOM: 2, Killed: 1},
		"oom_kill 1\n":                     {Killed: 1},
		"oom x\noom_kill -1\noom\nmax 3\n": {},
		"":                                 {},
	} {
		if got := parseEvents(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add(`9 8 0:26 / /my\040groups\134 rw - cgroup2 none rw`)
	f.Add("4:memory:/b\n0::/system.slice/selvage.service\n")
	f.Add("max 9\noom 2\noom_kill 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseMounts(text) {
			if !path.IsAbs(m.root) || !path.IsAbs(m.point) {
				t.Errorf("mount %+v", m)
			}
		}
		if p, ok := parseOwn(text); ok && !path.IsAbs(p) {
			t.Errorf("group %q", p)
		}
		if e := parseEvents(text); e.OOM < 0 || e.Killed < 0 {
			t.Errorf("%+v", e)
		}
	})
}
