package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

const (
	supported = true
	// self is this program, also after its file was replaced by an upgrade.
	self = "/proc/self/exe"
	// probeArgument, in place of a policy, makes the launcher report.
	probeArgument = "probe"
)

// The launcher is this program under another name, whichever program it is: a
// test binary confines cells as selvage itself does. It runs before main.
func init() {
	if len(os.Args) < 2 || os.Args[0] != launcherName {
		return
	}
	runtime.LockOSThread() // the thread that restricts itself is the one that becomes the process
	if os.Args[1] == probeArgument {
		json.NewEncoder(os.Stdout).Encode(try())
		os.Exit(0)
	}
	err := launch(os.Args[1], os.Args[2], os.Args[3:])
	fmt.Fprintln(os.Stderr, "confine process:", err)
	os.Exit(126)
}

// launch restricts this process and becomes the program at path.
func launch(policy, path string, args []string) error {
	var p Policy
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return err
	}
	if err := goFirst(); err != nil {
		return err
	}
	if err := noNewPrivileges(); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	if err := p.restrictFiles(path); err != nil {
		return err
	}
	if err := p.restrictCalls(); err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ())
}

// goFirst has the kernel, when memory runs out, end this process rather than
// the server: it takes the process with the most points, of which a tenth of a
// percent of the memory is one.
func goFirst() error {
	const file, points, most = "/proc/self/oom_score_adj", 500, 1000
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // no such kernel feature, or no /proc
	}
	has, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return os.WriteFile(file, strconv.AppendInt(nil, int64(min(has+points, most)), 10), 0)
}

func noNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// A core file would hold secrets of the Worker.
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// dropCapabilities empties the bounding set: what is exec'ed next has no
// capability, even as root. Without CAP_SETPCAP there is nothing to drop but
// the ambient set, which a service manager may have filled to let us listen on
// low ports.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // the kernel is older than this capability
			break
		}
		if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// landlock is what the kernel is asked to judge. Scopes keep signals and
// abstract unix sockets to the process itself.
func (p Policy) landlock() landlock.Config {
	c := landlock.V9
	if p.Network { // the inspector listens; nobody dials
		c.HandledAccessNet = llsys.AccessNetConnectTCP
	}
	return c.BestEffort()
}

// restrictFiles limits the file system with Landlock, as far as the kernel has
// it. Of /proc a cell sees two files: V8 looks for free places in the map of
// its memory, and C libraries ask how much memory there is.
func (p Policy) restrictFiles(program string) error {
	rules := []landlock.Rule{
		landlock.PathAccess(llsys.AccessFSExecute|llsys.AccessFSReadFile, program),
		landlock.RODirs("/lib", "/lib64", "/usr/lib", "/usr/lib64").IgnoreIfMissing(), // the dynamic loader
		landlock.ROFiles("/etc/ld.so.cache", "/proc/self/maps", "/proc/meminfo").IgnoreIfMissing(),
		landlock.RWFiles("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero").IgnoreIfMissing(),
	}
	for _, path := range p.ReadOnly {
		rules = append(rules, pathRule(path, landlock.RODirs, landlock.ROFiles))
	}
	for _, path := range p.ReadWrite {
		rules = append(rules, pathRule(path, landlock.RWDirs, landlock.RWFiles))
	}
	if len(p.Connect) > 0 {
		rules = append(rules, landlock.PathAccess(0, p.Connect...).WithResolveUnix().IgnoreIfMissing())
	}
	if err := p.landlock().Restrict(rules...); err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	return nil
}

func pathRule(path string, dirs, files func(...string) landlock.FSRule) landlock.Rule {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return files(path).IgnoreIfMissing()
	}
	return dirs(path).IgnoreIfMissing()
}

// Probe starts a launcher that tries each measure, and returns what it found.
func Probe() []Measure {
	cmd := exec.Command(self)
	cmd.Args = []string{launcherName, probeArgument}
	output, err := cmd.Output()
	var measures []Measure
	if err == nil {
		err = json.Unmarshal(output, &measures)
	}
	if err != nil {
		return []Measure{{Name: "sandbox", Detail: "cannot start the launcher: " + err.Error()}}
	}
	return measures
}

// try applies every measure to this process and says which ones took.
func try() []Measure {
	report := func(name, keepsOut string, err error) Measure {
		if err != nil {
			return Measure{Name: name, Detail: err.Error()}
		}
		return Measure{Name: name, InForce: true, Detail: keepsOut}
	}
	list := []Measure{
		report("no_new_privs", "no program can gain privileges; no core files", noNewPrivileges()),
		report("capabilities", "none, even when the server runs as root", dropCapabilities()),
	}
	abi, err := llsys.LandlockGetABIVersion()
	if err == nil && abi < 1 {
		err = errors.New("the kernel has no Landlock")
	}
	if err != nil {
		err = fmt.Errorf("files are not restricted (%w): enable Landlock (Linux 5.13, lsm=landlock)", err)
	}
	return append(list,
		report("landlock", fmt.Sprintf("ABI %d: no files but the program, its libraries and its Durable Objects", abi), err),
		report("abstract sockets", "none, but its own", since(abi, scopesABI, "a cell can connect to abstract unix sockets of this machine")),
		report("socket files", "none, but those that the cell was given", since(abi, socketsABI,
			"a cell that knows the path of a socket which this user may open can connect to it; names of our own are secret. Run the server as a user of its own")),
		report("seccomp", "no sockets but unix ones; no signals, mounts, tracing, modules, keys, namespaces, io_uring, changes of modes and owners", Policy{}.restrictCalls()))
}

// The versions of Landlock's interface that brought scopes, and the judgement
// of connections to unix sockets that have a path.
const (
	scopesABI  = 6
	socketsABI = 9
)

func since(abi, needs int, otherwise string) error {
	if abi >= needs {
		return nil
	}
	return fmt.Errorf("the kernel's Landlock has ABI %d, and this needs %d: %s", max(abi, 0), needs, otherwise)
}
