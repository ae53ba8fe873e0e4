//go:build linux

package platform

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/telemetry"
)

// TestMain lets this binary be the engine of a cell whose Worker has broken out
// of it: it is started as workerd is, with everything that workerd is given.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		brokenOut()
	case os.Getenv("SELVAGE_TEST_FREE") != "":
		json.NewEncoder(os.Stdout).Encode(parseFacts(os.Getenv("SELVAGE_TEST_FREE")).attack())
	default:
		os.Exit(m.Run())
	}
}

// facts are what an attacker may have learned by other means.
type facts struct {
	Data, RunDir, Local, Abstract string
	Server, Sibling               int
	Bindings                      string // the socket and capability of a binding of its own
	Capability                    string
}

const factsMark = "facts:"

func (f facts) String() string {
	text, _ := json.Marshal(f)
	return factsMark + hex.EncodeToString(text) + ";"
}

func parseFacts(text string) (f facts) {
	_, text, _ = strings.Cut(text, factsMark)
	text, _, _ = strings.Cut(text, ";")
	data, err := hex.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		panic(err)
	}
	return f
}

// brokenOut says that it listens, as workerd does, and attacks.
func brokenOut() {
	var control *os.File
	var sockets []string
	var text []byte
	for _, arg := range os.Args {
		var fd uintptr
		if n, _ := fmt.Sscanf(arg, "--control-fd=%d", &fd); n == 1 {
			control = os.NewFile(fd, "control")
		}
		if name, ok := strings.CutPrefix(arg, "--socket-fd="); ok {
			sockets = append(sockets, name[:strings.LastIndexByte(name, '=')])
		}
		if strings.HasPrefix(arg, "/proc/self/fd/") {
			text, _ = os.ReadFile(arg)
		}
	}
	f := parseFacts(string(text))
	f.Server = os.Getppid()
	external := regexp.MustCompile(`unix:(\S+/)(b\w+)`).FindStringSubmatch(string(text))
	f.RunDir, f.Bindings = external[1], external[1]+external[2]
	f.Capability = regexp.MustCompile(`[0-9a-f]{32}`).FindString(string(text[strings.Index(string(text), "njectRequestHeaders"):]))
	result, _ := json.Marshal(f.attack())
	line, _ := json.Marshal(map[string]any{"timestamp": 1, "level": "log", "message": factsMark + string(result)})
	os.Stdout.Write(append(line, '\n'))
	for _, name := range sockets {
		fmt.Fprintf(control, "{\"event\":\"listen\",\"socket\":%q,\"port\":0}\n", name)
	}
	select {}
}

// attack reports which acts succeed.
func (f facts) attack() map[string]bool {
	proc := func(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	reads := func(path string) bool {
		file, err := os.Open(path)
		if err != nil {
			return false
		}
		defer file.Close()
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			_, err = file.Readdirnames(1)
		} else if err == nil {
			_, err = file.Read(make([]byte, 1))
		}
		return err == nil
	}
	call := func(number, a, b, c, d uintptr) bool {
		_, _, errno := unix.RawSyscall6(number, a, b, c, d, 0, 0)
		return errno == 0
	}
	events, _, errno := unix.RawSyscall(unix.SYS_INOTIFY_INIT1, 0, 0, 0)
	dir, _ := unix.BytePtrFromString(f.RunDir)
	lock, _ := unix.BytePtrFromString(filepath.Join(f.Data, "lock"))
	pidfd, _, noPidfd := unix.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(f.Sibling), 0, 0)
	var limit unix.Rlimit
	var word [8]byte
	remote := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&word)), Len: len(word)}
	shared, _, noShared := unix.RawSyscall(unix.SYS_SHMGET, unix.IPC_PRIVATE, 4096, 0o600)
	if noShared == 0 {
		unix.RawSyscall(unix.SYS_SHMCTL, shared, unix.IPC_RMID, 0)
	}
	readsMemory := func(pid int) bool { // an address that is not mapped is no refusal
		local := unix.Iovec{Base: &word[0], Len: uint64(len(word))}
		_, _, errno := unix.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		return errno == 0 || errno == unix.EFAULT
	}
	netlink, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_SOCK_DIAG)
	if err == nil {
		unix.Close(netlink)
	}
	return map[string]bool{
		"list sockets":                    reads("/proc/self/net/unix") || reads("/proc/net/unix") || reads(proc(f.Server, "net/unix")),
		"list sockets by netlink":         err == nil,
		"list the sockets' folder":        reads(f.RunDir),
		"watch the sockets' folder":       errno == 0 && call(unix.SYS_INOTIFY_ADD_WATCH, events, uintptr(unsafe.Pointer(dir)), unix.IN_CREATE, 0),
		"reach a socket of another cell":  f.reachSibling(),
		"use the local API":               get(f.Local, "/client/v4/accounts", nil) == http.StatusOK,
		"use bindings without capability": get(f.Bindings, "/", nil) != http.StatusForbidden && f.Bindings != "",
		"use its own binding":             get(f.Bindings, "/", http.Header{"Selvage-Capability": {f.Capability}}) > 0 && get(f.Bindings, "/", http.Header{"Selvage-Capability": {f.Capability}}) != http.StatusForbidden,
		"reach an abstract socket":        reaches("@" + f.Abstract),
		"read the local API's secret":     reads(filepath.Join(f.Data, "lock")),
		"read the data directory":         reads(f.Data) || reads(filepath.Join(f.Data, "state.db")) || reads(filepath.Join(f.Data, "secret.key")),
		"open the lock file to all":       call(unix.SYS_FCHMODAT, ^uintptr(99), uintptr(unsafe.Pointer(lock)), 0o600, 0),
		"signal the server":               unix.Kill(f.Server, 0) == nil || call(unix.SYS_TGKILL, uintptr(f.Server), uintptr(f.Server), 0, 0),
		"signal another cell":             unix.Kill(f.Sibling, 0) == nil || noPidfd == 0 && call(unix.SYS_PIDFD_SEND_SIGNAL, pidfd, 0, 0, 0),
		"limit the server":                call(unix.SYS_PRLIMIT64, uintptr(f.Server), unix.RLIMIT_NOFILE, 0, uintptr(unsafe.Pointer(&limit))),
		"slow the server down":            call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, uintptr(f.Server), 0, 0),
		"trace another cell":              traces(f.Sibling),
		"read another cell's memory":      readsMemory(f.Sibling),
		"read the server's memory":        readsMemory(f.Server),
		"share memory":                    noShared == 0,
		"read /proc of the server": reads(proc(f.Server, "environ")) || reads(proc(f.Server, "cmdline")) || reads(proc(f.Server, "maps")) ||
			reads(proc(f.Server, "fd")) || reads(proc(f.Server, "root/etc")) || reads(proc(f.Server, "status")),
		"read /proc of another cell": reads(proc(f.Sibling, "environ")) || reads(proc(f.Sibling, "cmdline")) || reads(proc(f.Sibling, "maps")) ||
			reads(proc(f.Sibling, "fd")) || reads(proc(f.Sibling, "root/etc")) || reads(proc(f.Sibling, "status")),
		"list processes": reads("/proc"),
	}
}

// reachSibling connects to any socket of the engine that is not its own.
func (f facts) reachSibling() bool {
	var names []string
	list, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if path := fields[len(fields)-1]; strings.HasPrefix(path, f.RunDir) {
			names = append(names, path)
		}
	}
	for _, name := range []string{"b", "1u", "1e", "2u", "2e", "x1", "x2", "p1", "p2", "p3"} { // those that could be guessed
		names = append(names, f.RunDir+name)
	}
	for _, path := range names {
		if path != f.Bindings && reaches(path) {
			return true
		}
	}
	return false
}

func reaches(path string) bool {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", path)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// get gives the status of a response, 0 for none.
func get(socket, path string, header http.Header) int {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", socket)
	if err != nil {
		return 0
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
	request, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://x"+path, nil)
	for k, v := range header {
		request.Header[k] = v
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode
}

func traces(pid int) bool {
	const seize = 0x4206 // PTRACE_SEIZE: does not stop the process
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, seize, uintptr(pid), 0, 0, 0, 0)
	if errno != 0 {
		return false
	}
	unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, 0, 0, 0)
	return true
}

// A process in a cell's place, with all that a cell is given, under the policy
// of a cell.
func TestBrokenOutCell(t *testing.T) {
	sockets, err := os.MkdirTemp("", "s") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	t.Setenv("TMPDIR", sockets)
	abstract := "selvage-test-" + filepath.Base(t.TempDir()) + fmt.Sprint(os.Getpid())
	listener, err := net.Listen("unix", "@"+abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var attacks atomic.Bool
	results := make(chan string, 1)
	source := &config.Value{}
	version := func(name, source string) *config.Version {
		return &config.Version{ID: name, Worker: name, MainModule: "index.js", CompatibilityDate: "2026-01-01",
			Code: config.Modules{{Name: "index.js", Type: config.ESModule, Data: []byte(source)}}}
	}
	deploy := func(versions ...*config.Version) {
		s := &config.Snapshot{Workers: map[string]*config.Worker{}}
		for _, v := range versions {
			s.Workers[v.Worker] = &config.Worker{Name: v.Worker, Shares: []config.Share{{Version: v, Percentage: 100}}}
		}
		source.Set(s)
	}
	sibling := version("sibling", `export default { fetch() { return new Response("secret") } }`)
	deploy(sibling)
	dir := t.TempDir()
	p, err := Open(t.Context(), Options{
		Data: dir, Source: source, Logger: slog.New(slog.DiscardHandler),
		Binary: func(ctx context.Context) (string, error) {
			if attacks.Load() {
				return os.Executable()
			}
			return workerd.Binary(ctx, os.Stderr)
		},
		Lines: func(l telemetry.Line) {
			if text, ok := strings.CutPrefix(l.Message, factsMark); ok {
				results <- text
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("the attacker does not end by itself"))
		p.Close(ctx)
	}()
	if err := p.Engine.Start(t.Context(), "sibling"); err != nil {
		t.Fatal(err)
	}
	f := facts{Data: dir, Local: p.local.Socket, Abstract: abstract, Sibling: p.Engine.Cells()[0].PID}
	attacks.Store(true)
	deploy(sibling, version("attacker", "export default {} // "+f.String()))
	if err := p.Engine.Start(t.Context(), "attacker"); err != nil {
		t.Fatal(err)
	}
	var did map[string]bool
	if err := json.Unmarshal([]byte(<-results), &did); err != nil {
		t.Fatal(err)
	}
	for act, ok := range did {
		if want := act == "use its own binding"; ok != want {
			t.Errorf("a process that broke out of its cell can %s: %v, want %v", act, ok, want)
		}
	}

	// The same acts, by the same user, without the policy.
	found, err := filepath.Glob(filepath.Join(sockets, "selvage-*", "b*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	f.Server, f.RunDir = os.Getpid(), filepath.Dir(found[0])+"/"
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"SELVAGE_TEST_FREE=" + f.String()}
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	clear(did)
	if err := json.Unmarshal(output, &did); err != nil {
		t.Fatal(err)
	}
	for act, ok := range did {
		switch act {
		case "use the local API", "use its own binding", "use bindings without capability": // need what nobody told it
			if ok {
				t.Errorf("a process that knows no secret can %s", act)
			}
		case "trace another cell", "read another cell's memory", "read the server's memory", "slow the server down": // as the machine is set up
		default:
			if !ok {
				t.Errorf("an unconfined process cannot %s: the test proves nothing", act)
			}
		}
	}
}
