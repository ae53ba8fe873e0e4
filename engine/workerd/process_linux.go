package workerd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fdFolder holds a process's own descriptors as files.
const fdFolder = "/proc/self/fd"

// configFile returns an anonymous file in memory: the configuration holds the
// Worker's secrets and never touches a disk.
func configFile(c *Config) (*os.File, error) {
	fd, err := unix.MemfdCreate("selvage-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "selvage-config")
	if err := c.Write(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// leasedFile is an empty file in memory that others wait to open until the lease
// on it is returned.
func leasedFile() (*os.File, error) {
	if SpareLife() <= 0 {
		return nil, errors.ErrUnsupported
	}
	fd, err := unix.MemfdCreate("selvage-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	// The kernel counts who has opened a file for writing, and does not count
	// who has made it.
	f, err := os.OpenFile(fmt.Sprintf("%s/%d", fdFolder, fd), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lease(f, unix.F_WRLCK); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// returnLease lets others open f. It fails when the kernel has taken the lease.
func returnLease(f *os.File) error { return lease(f, unix.F_UNLCK) }

func lease(f *os.File, kind int) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) { _, failed = unix.FcntlInt(fd, unix.F_SETLEASE, kind) })
	return errors.Join(err, failed)
}

// SpareLife is how long a [Spare] may be kept: less than the kernel leaves us a
// lease that somebody waits for, which is 45 s unless the administrator says
// otherwise. Zero: no spares here.
//
// Source: https://man7.org/linux/man-pages/man5/proc_sys_fs.5.html
var SpareLife = sync.OnceValue(func() time.Duration {
	text, err := os.ReadFile("/proc/sys/fs/lease-break-time")
	if err != nil {
		return 0
	}
	return spareLife(string(text))
})

// leaseMargin is the time for a start to return the lease, leastSpareLife what
// a process is worth starting for.
const leaseMargin, leastSpareLife = 15 * time.Second, 10 * time.Second

// spareLife takes the kernel's setting, in seconds.
func spareLife(text string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(text))
	life := time.Duration(seconds)*time.Second - leaseMargin
	if err != nil || life < leastSpareLife {
		return 0
	}
	return life
}

func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// spawn starts the command from the one thread that never ends: the kernel
// sends a child its parent death signal when the *thread* that made it ends,
// and the Go runtime ends threads as it likes.
func spawn(cmd *exec.Cmd) error {
	startSpawner()
	result := make(chan error, 1)
	spawner <- func() {
		err := cmd.Start()
		// A process that another goroutine forks in the moment the binary is
		// being written holds it open for writing until it execs.
		for range 20 {
			if !errors.Is(err, syscall.ETXTBSY) {
				break
			}
			time.Sleep(10 * time.Millisecond)
			err = cmd.Start()
		}
		result <- err
	}
	if err := <-result; err != nil {
		return err
	}
	raiseDescriptors(cmd.Process.Pid)
	return nil
}

// raiseDescriptors lets a process open as many files as the hard limit says.
// Each WebSocket takes two, and the usual soft limit is 1,024. Go raises its own
// and gives children the one that it was started with. A process for which it
// fails runs with that.
func raiseDescriptors(pid int) {
	var limit unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil)
	}
}

var (
	spawner      = make(chan func())
	startSpawner = sync.OnceFunc(func() {
		go func() {
			runtime.LockOSThread()
			for f := range spawner {
				f()
			}
		}()
	})
)

var pageSize = int64(os.Getpagesize())

func usage(pid int) (Usage, error) {
	var ts unix.Timespec
	// The kernel's encoding of "the CPU clock of process pid".
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return Usage{}, fmt.Errorf("read usage of workerd: %w", err)
	}
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return Usage{}, fmt.Errorf("read usage of workerd: %w", err)
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return Usage{}, errors.New("read usage of workerd: unexpected form of /proc/pid/statm")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return Usage{}, fmt.Errorf("read usage of workerd: %w", err)
	}
	return Usage{CPU: time.Duration(ts.Nano()), Memory: pages * pageSize}, nil
}

// openThread opens what tells the processor time of the first thread of a
// process; nil if nothing does. It is read often, and finding it costs seven
// times as much as reading it.
//
// It is schedstat: the kernel gives nobody the clock of a thread in another
// process. Where the kernel was built without that file, stat has the same in
// ticks of 10 ms.
//
// Source: https://docs.kernel.org/scheduler/sched-stats.html and proc_pid_stat(5)
func openThread(pid int) *threadFile {
	task := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid)
	if f, err := os.Open(task + "/schedstat"); err == nil {
		return &threadFile{f, parseSchedstat}
	}
	if f, err := os.Open(task + "/stat"); err == nil {
		return &threadFile{f, parseThreadStat}
	}
	return nil
}

// parseSchedstat reads the first field: nanoseconds on a processor.
func parseSchedstat(text []byte) (time.Duration, error) {
	first, _, _ := bytes.Cut(text, []byte(" "))
	ns, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil || ns < 0 {
		return 0, errors.New("unexpected form of schedstat")
	}
	return time.Duration(ns), nil
}

// userHZ is the unit of /proc's stat files, the same on all architectures that
// Go runs on.
const userHZ = 10 * time.Millisecond

// parseThreadStat adds utime and stime, the 14th and 15th field. The second is
// the thread's name in parentheses and may hold anything.
func parseThreadStat(text []byte) (time.Duration, error) {
	if i := bytes.LastIndexByte(text, ')'); i >= 0 {
		if fields := bytes.Fields(text[i+1:]); len(fields) > 12 {
			user, err := strconv.ParseUint(string(fields[11]), 10, 38)
			system, err2 := strconv.ParseUint(string(fields[12]), 10, 38)
			if err = errors.Join(err, err2); err == nil {
				return time.Duration(user+system) * userHZ, nil
			}
		}
	}
	return 0, errors.New("unexpected form of stat")
}
