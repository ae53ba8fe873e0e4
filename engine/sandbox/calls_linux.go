package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied are system calls that workerd never needs, on every architecture. They
// fail with EPERM. SQLite tries fchown when it runs as root, and goes on.
var denied = slices.Concat(
	// The usual ways out of a process, and into others.
	[]uintptr{
		unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_BPF, unix.SYS_CHROOT, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME,
		unix.SYS_DELETE_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK,
		unix.SYS_GET_ROBUST_LIST, unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP,
		unix.SYS_KCMP, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_KEYCTL, unix.SYS_LISTMOUNT, unix.SYS_LISTNS,
		unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOVE_PAGES,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_PERF_EVENT_OPEN,
		unix.SYS_PERSONALITY, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIVOT_ROOT,
		unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE,
		unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT, unix.SYS_REQUEST_KEY, unix.SYS_SETDOMAINNAME, unix.SYS_SETHOSTNAME,
		unix.SYS_SETNS, unix.SYS_SETPGID, unix.SYS_SETSID, unix.SYS_SETTIMEOFDAY, unix.SYS_STATMOUNT, unix.SYS_SWAPOFF, unix.SYS_SWAPON,
		unix.SYS_SYSLOG, unix.SYS_TKILL, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_USERFAULTFD, unix.SYS_VHANGUP,
	},
	// Cells run as one user, whose other processes these would let one of them
	// slow down or bind to a processor.
	[]uintptr{
		unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM,
		unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SETPRIORITY,
	},
	// What Landlock does not judge: the attributes of any file of that user, and
	// the names that appear in any folder of that user.
	[]uintptr{
		unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN,
		unix.SYS_FCHOWNAT, unix.SYS_FILE_SETATTR, unix.SYS_FREMOVEXATTR, unix.SYS_FSETXATTR, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_INIT1,
		unix.SYS_LREMOVEXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_REMOVEXATTRAT, unix.SYS_SETXATTR, unix.SYS_SETXATTRAT,
		unix.SYS_UTIMENSAT,
	},
	// Memory and messages that all processes of that user share.
	[]uintptr{
		unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK, unix.SYS_MSGCTL, unix.SYS_MSGGET, unix.SYS_MSGRCV, unix.SYS_MSGSND, unix.SYS_SEMCTL,
		unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SHMGET,
	},
	deniedHere,
)

// newestCall is the highest number that this list was written for. What comes
// after it does not exist for a cell: C libraries know what to do then.
const newestCall = unix.SYS_RSEQ_SLICE_YIELD

// Offsets in struct seccomp_data (linux/seccomp.h). The low half of an argument
// comes first on the little-endian machines we run on; all arguments that are
// looked at have 32 bits.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// newNamespace are the flags by which clone makes namespaces.
const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// socketType is the mask that leaves a socket's type without its flags.
const socketType = 0xf

// The requests of ioctl that type into a terminal, or have the kernel send
// signals to others (asm-generic/sockios.h). x/sys/unix lacks the last two.
const (
	setOwner       = 0x8901 // FIOSETOWN
	setSocketOwner = 0x8902 // SIOCSPGRP
)

var (
	refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// filter is a seccomp program. Before and after each of its parts the
// accumulator holds the number of the call.
type filter []bpf.Instruction

func (f *filter) add(parts ...bpf.Instruction) { *f = append(*f, parts...) }

// answer gives every use of a call that verdict.
func (f *filter) answer(call uintptr, verdict bpf.RetConstant) {
	f.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(call), SkipFalse: 1}, verdict)
}

// refuseIf refuses a call whose argument meets the condition with a value.
func (f *filter) refuseIf(call uintptr, argument uint32, is bpf.JumpTest, values ...uint32) {
	var body filter
	for _, v := range values {
		body.add(bpf.JumpIf{Cond: is, Val: v, SkipFalse: 1}, refuse)
	}
	f.look(call, argument, ^uint32(0), body)
}

// refuseUnless refuses a call whose argument, of which mask is looked at, is
// none of the values.
func (f *filter) refuseUnless(call uintptr, argument, mask uint32, values ...uint32) {
	var body filter
	for i, v := range values {
		body.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(values) - i)})
	}
	f.look(call, argument, mask, append(body, refuse))
}

// look runs body, for one call, on what mask leaves of an argument.
func (f *filter) look(call uintptr, argument, mask uint32, body filter) {
	number := bpf.LoadAbsolute{Off: offsetNumber, Size: 4}
	f.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(call), SkipFalse: uint8(len(body) + 3)},
		bpf.LoadAbsolute{Off: offsetArguments + 8*argument, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
	f.add(body...)
	f.add(number)
}

// calls is the filter of a process with this id.
func (p Policy) calls(arch uint32, pid int) filter {
	self, all := uint32(pid), ^uint32(0)
	f := filter{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
		// The calls of the x32 ABI, which have high numbers, are refused with the rest.
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: newestCall, SkipFalse: 1}, absent,
	}
	for _, call := range denied {
		f.answer(call, refuse)
	}
	// clone's flags can be looked at; those of clone3 are in memory, so the C
	// library is told that there is no clone3, and makes threads by clone.
	f.answer(unix.SYS_CLONE3, absent)
	f.refuseIf(unix.SYS_CLONE, 0, bpf.JumpBitsSet, newNamespace)
	// Signals, and limits such as RLIMIT_CPU that kill, are for oneself.
	f.refuseUnless(unix.SYS_KILL, 0, all, self)
	f.refuseUnless(unix.SYS_TGKILL, 0, all, self)
	f.refuseUnless(unix.SYS_RT_SIGQUEUEINFO, 0, all, self)
	f.refuseUnless(unix.SYS_RT_TGSIGQUEUEINFO, 0, all, self)
	f.refuseUnless(unix.SYS_PRLIMIT64, 0, all, 0, self)
	f.refuseIf(unix.SYS_FCNTL, 1, bpf.JumpEqual, unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETSIG)
	f.refuseIf(unix.SYS_IOCTL, 1, bpf.JumpEqual, unix.TIOCSTI, unix.TIOCLINUX, setOwner, setSocketOwner)
	families := []uint32{unix.AF_UNIX}
	if p.Network { // TCP, and neither netlink nor packets
		families = append(families, unix.AF_INET, unix.AF_INET6)
	}
	f.refuseUnless(unix.SYS_SOCKET, 0, all, families...)
	f.refuseUnless(unix.SYS_SOCKET, 1, socketType, unix.SOCK_STREAM)
	return append(f, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}

// restrictCalls installs a seccomp filter on this thread; it survives exec.
func (p Policy) restrictCalls() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("system calls are not restricted: no filter for %s", runtime.GOARCH)
	}
	raw, err := bpf.Assemble(p.calls(arch, os.Getpid()))
	if err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(code)
	if err != nil {
		return fmt.Errorf("system calls are not restricted: install filter: %w", err)
	}
	return nil
}
