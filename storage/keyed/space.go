package keyed

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserveBytes of the disk stay free of commits. The engine ends the process
// when its log cannot be written, and moving a memtable to a file needs room,
// too; so commits are refused before that can happen.
const reserveBytes = 32 << 20

// startBytes are needed to open a store: its log and its list of files are begun
// anew. Without them the engine would fail in the middle of it, again and again.
const startBytes = 16 << 20

// RoomToStart reports that the disk of dir, or of the nearest folder above it
// that exists, is too full to open a store: an error that is ENOSPC.
func RoomToStart(dir string) error {
	free, err := freeBytes(dir)
	for up := filepath.Dir(dir); errors.Is(err, syscall.ENOENT) && up != dir; dir, up = up, filepath.Dir(up) {
		free, err = freeBytes(up)
	}
	if err != nil || free >= startBytes {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free on the disk of %s, and a start needs %d MiB: free %d MiB or more", syscall.ENOSPC,
		free>>20, dir, startBytes>>20, (startBytes-free)>>20+1)
}

// Room reports that the disk is too full for another commit: an error that is
// ENOSPC.
func (d *DB) Room() error { return d.room() }

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
