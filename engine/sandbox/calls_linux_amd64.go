package sandbox

import "golang.org/x/sys/unix"

// deniedHere are the older forms of calls in denied that this architecture has,
// and those that reach its hardware.
var deniedHere = []uintptr{
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_FUTIMESAT, unix.SYS_INOTIFY_INIT, unix.SYS_IOPERM, unix.SYS_IOPL,
	unix.SYS_LCHOWN, unix.SYS_MODIFY_LDT, unix.SYS_UTIME, unix.SYS_UTIMES,
}
