package keyed

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserveBytes of the disk stay free of commits. The engine ends the process
// when its log cannot be written, and moving a memtable to a file needs room,
// too; so commits are refused before that can happen.
const reserveBytes = 32 << 20

// room reports that the disk is too full for another commit: an error that is
// ENOSPC. Reading goes on, and so does committing once there is space again.
func (d *DB) room() error {
	free, err := d.free()
	if err != nil || free >= reserveBytes { // a disk that cannot be asked is taken to be large
		return nil
	}
	return fmt.Errorf("%d MiB are free on its disk, and the last %d MiB are kept: %w", free>>20, reserveBytes>>20, syscall.ENOSPC)
}

// freeBytes is the space on the disk of dir that this user may fill.
func freeBytes(dir string) (uint64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, err
	}
	return disk.Bavail * uint64(disk.Bsize), nil
}
