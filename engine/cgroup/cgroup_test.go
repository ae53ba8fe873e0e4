package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a made-up /proc and hierarchy. In the texts, {fs} is the folder of
// the hierarchies.
type machine struct {
	own, mounts string            // of process 7
	files       map[string]string // below {fs}
}

func (m machine) build(t *testing.T) (proc, root string) {
	t.Helper()
	proc, root = t.TempDir(), t.TempDir()
	put := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "{fs}", root)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(proc, "7", "cgroup"), m.own)
	put(filepath.Join(proc, "7", "mountinfo"), m.mounts)
	for name, text := range m.files {
		put(filepath.Join(root, name), text)
	}
	if me != os.Geteuid() {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, os.Chown(path, me, -1)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return proc, root
}

// me is the user that the made-up hierarchies belong to: never root.
var me = max(os.Geteuid(), 1000)

const (
	unified = "30 23 0:26 / {fs} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	service = "system.slice/selvage.service/"
	all     = "cpuset cpu io memory pids"
)

// delegatedTo is a service whose cgroup is the test's own user's.
func delegatedTo(procs string) map[string]string {
	return map[string]string{
		"cgroup.controllers":                 all,
		service + "cgroup.type":              "domain\n",
		service + "cgroup.controllers":       "cpu memory pids\n",
		service + "cgroup.procs":             procs,
		service + "cgroup.subtree_control":   "",
		service + "selvage-cell-1-1/.keep":   "",
		"other.slice/cgroup.subtree_control": "",
	}
}

func TestWhatKeepsUsFromMakingGroups(t *testing.T) {
	const root = 0
	without := func(files map[string]string, name, text string) map[string]string {
		files[name] = text
		return files
	}
	own := "0::/" + strings.TrimSuffix(service, "/") + "\n"
	for name, tt := range map[string]struct {
		machine
		uid int
		err string // what it says; empty for nothing
		dir string
	}{
		"a service with Delegate=yes": {machine{own, unified, delegatedTo("7\n")}, me, "", service},
		"a hybrid machine, memory in v2": {machine{
			"9:name=systemd:/x\n8:pids:/x\n" + own,
			"31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n38 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n" + unified,
			delegatedTo("7\n")}, me, "", service},
		"a container with a namespace": {machine{"0::/\n", unified, map[string]string{
			"cgroup.type": "domain", "cgroup.controllers": all, "cgroup.procs": "7", "cgroup.subtree_control": ""}}, me, "", ""},
		"a container without a namespace": {machine{
			"0::/docker/1f\n", strings.Replace(unified, " / ", " /docker/1f ", 1), map[string]string{
				"cgroup.type": "domain", "cgroup.controllers": all, "cgroup.procs": "7", "cgroup.subtree_control": ""}}, me, "", ""},
		"the top of the hierarchy, with others": {machine{"0::/\n", unified, map[string]string{
			"cgroup.controllers": all, "cgroup.procs": "1\n2\n7\n", "cgroup.subtree_control": "memory"}}, me, "", ""},

		"no cgroup v2": {machine{"4:memory:/x\n", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", nil}, me,
			"no cgroup v2: boot with systemd.unified_cgroup_hierarchy=1", ""},
		"not mounted":                   {machine{own, "", nil}, me, "not mounted", ""},
		"mounted, but not where we are": {machine{own, strings.Replace(unified, " / ", " /docker/1f ", 1), nil}, me, "not mounted", ""},
		"a hybrid machine, memory in v1": {machine{own, unified, without(delegatedTo("7\n"), "cgroup.controllers", "\n")}, me,
			"lacks the memory controller: boot with", service},
		"only other controllers": {machine{own, unified, without(delegatedTo("7\n"), service+"cgroup.controllers", "cpu pids\n")}, me,
			"not handed down to", service},
		"ProtectControlGroups=yes": {machine{own, unified + "80 30 0:26 / {fs} ro,nosuid shared:4 - cgroup2 cgroup2 rw\n", delegatedTo("7\n")}, me,
			"is read-only: ProtectControlGroups=no", service},
		"somebody else's":       {machine{own, unified, delegatedTo("7\n")}, me + 1, "not delegated to this user", service},
		"root's, but systemd's": {machine{own, unified, delegatedTo("7\n")}, root, "is managed by systemd: run it as a service with Delegate=yes", service},
		"a terminal":            {machine{own, unified, delegatedTo("6\n7\n")}, me, "holds other processes", service},
	} {
		t.Run(name, func(t *testing.T) {
			proc, fs := tt.build(t)
			p, err := find(proc, "7")
			if err == nil {
				if want := filepath.Join(fs, tt.dir); p.dir != want {
					t.Errorf("found %s, want %s", p.dir, want)
				}
				err = p.usable(7, tt.uid)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// Where the last step fails, nothing has changed.
func TestTakeGivesBack(t *testing.T) {
	proc, fs := machine{"0::/\n", unified, map[string]string{
		"cgroup.type": "domain", "cgroup.controllers": all, "cgroup.procs": "7", "cgroup.subtree_control": ""}}.build(t)
	if _, err := take(proc, 7, me); err == nil || !strings.Contains(err.Error(), fs+" cannot be used") {
		t.Errorf("error %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(fs, "cgroup.procs")); string(text) != "7" {
		t.Errorf("process %s", text)
	}
	if _, err := os.Stat(filepath.Join(fs, serverGroup)); err == nil {
		t.Error("the server's group is left")
	}
}
