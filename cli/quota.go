package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/cli/settings"
)

// stored are what quotas bound, and where it is in the data directory. What the
// files take is more than what is counted against a quota for KV, where the
// keyed store keeps old values for a while, and less by what has not been moved
// into a database from its log.
var stored = []struct {
	name, key string
	folders   []string
	suffix    string // of the files that count
	each      bool   // the quota bounds the largest file
}{
	{"D1 databases", "d1", []string{"d1"}, ".sqlite", false},
	{"largest D1 database", "d1_database", []string{"d1"}, ".sqlite", true},
	{"KV", "kv", []string{"keyed", "blob/kv"}, "", false},
	{"largest Durable Object", "durable_object", []string{"do"}, ".sqlite", true},
	{"code and static files", "code", []string{"blob/control"}, "", false},
}

// wantRoom is the part of a quota, in percent, beyond which the doctor warns.
const wantRoom = 90

// examineQuotas says what is stored beside what may be.
func examineQuotas(s *settings.Settings, dir string) (list []finding) {
	for _, x := range stored {
		sum, largest, err := filesIn(dir, x.folders, x.suffix)
		used, quota := sum, s.Quotas[x.key]
		if x.each {
			used = largest
		}
		f := finding{"stored: " + x.name, stateOK, fmt.Sprintf("%d MiB, no quota", used>>20)}
		if quota > 0 {
			f.Detail = fmt.Sprintf("%d of %d MiB (quotas.%s)", used>>20, quota>>20, x.key)
		}
		if quota > 0 && used/wantRoom >= quota/100 {
			f.State = stateWarning
		}
		if err != nil {
			f.State, f.Detail = stateWarning, err.Error()
		}
		list = append(list, f)
	}
	return list
}

// filesIn adds up the files below folders.
func filesIn(dir string, folders []string, suffix string) (sum, largest int64, err error) {
	for _, folder := range folders {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // none yet, or deleted meanwhile
			}
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, suffix) {
				return err
			}
			if info, err := d.Info(); err == nil {
				sum, largest = sum+info.Size(), max(largest, info.Size())
			}
			return nil
		}))
	}
	return sum, largest, err
}
