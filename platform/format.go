package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/storage/disk"
)

// dataFormat is the layout of a data directory, in its file "format". What lies
// inside a store has a version of its own.
const dataFormat = 1

// restoring is the folder in which a restore unpacks. A directory that has one
// is not whole.
const restoring = "restoring"

// backingUp begins the names of the folders in which backups keep what they
// copy.
const backingUp = "backup-"

// checkFormat refuses a directory that this program cannot read and gives a new
// one its format file, after a file of contents that says that it has none.
func checkFormat(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, restoring)); err == nil {
		return errors.New("a restore into it was interrupted: empty the directory and restore again")
	}
	left, _ := filepath.Glob(filepath.Join(dir, backingUp+"*"))
	for _, path := range left { // of a backup that was killed
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, "format")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		contents := filepath.Join(dir, contentsFile)
		info, err := os.Stat(contents)
		if err == nil && info.Size() > 0 || err != nil && hasData(dir) {
			return fmt.Errorf("%s is missing, but this is no new directory: put it back, or restore a backup into a new directory (selvage restore)", path)
		}
		if err := disk.WriteFile(contents, nil); err != nil {
			return err
		}
		return disk.WriteFile(path, []byte(strconv.Itoa(dataFormat)+"\n"))
	}
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(data))
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("%s holds %q, not the number of a format", path, text)
	}
	if n > dataFormat {
		return fmt.Errorf("its format %d was written by a newer program (this one knows %d): upgrade selvage", n, dataFormat)
	}
	return nil
}

// hasData reports whether the directory holds any of what a first start makes
// after the format file. Folders that are empty may be mounts that wait for it.
func hasData(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err == nil {
		return true
	}
	for _, folder := range []string{keyedFolder, blobFolder} {
		if entries, _ := os.ReadDir(filepath.Join(dir, folder)); len(entries) > 0 {
			return true
		}
	}
	return false
}
