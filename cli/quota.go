package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/platform"
)

// wantRoom is the part of a quota, in percent, beyond which the doctor warns.
const wantRoom = 90

// examineQuotas says what is stored beside what may be. ask, which is nil when no
// server runs, calls its API.
func examineQuotas(s *settings.Settings, dir string, ask func(path string, result any) error) (list []finding) {
	for _, q := range platform.Quotas() {
		if q.Ask == "" {
			list = append(list, measured(q, s.Quotas[q.Key], dir))
		} else {
			list = append(list, asked(q, s.Quotas[q.Key], ask))
		}
	}
	return list
}

// measured says what the files show.
func measured(q binding.Quota, quota int64, dir string) finding {
	used, err := filesIn(dir, q)
	f := finding{"stored: " + q.Name, stateOK, fmt.Sprintf("%d MiB, no quota", used>>20)}
	if quota > 0 {
		f = beside(f.Name, "", used, quota, q.Key)
	}
	if err != nil {
		f.State, f.Detail = stateWarning, err.Error()
	}
	return f
}

// asked says what the server that runs has counted.
func asked(q binding.Quota, quota int64, ask func(path string, result any) error) finding {
	name := "stored: " + q.Name
	if quota == 0 {
		return finding{name, stateOK, "not counted, no quota"}
	}
	if ask == nil {
		return finding{name, stateOK, fmt.Sprintf("at most %d MiB (quotas.%s); a server that runs says how much it is", quota>>20, q.Key)}
	}
	var largest struct {
		Name  string
		Bytes int64
	}
	if err := ask(q.Ask, &largest); err != nil {
		return finding{name, stateWarning, err.Error()}
	}
	return beside(name, largest.Name, largest.Bytes, quota, q.Key)
}

// beside says what is used of a quota, and by whom.
func beside(name, who string, used, quota int64, key string) finding {
	f := finding{name, stateOK, fmt.Sprintf("%d of %d MiB (quotas.%s)", used>>20, quota>>20, key)}
	if who != "" {
		f.Detail = who + ": " + f.Detail
	}
	if used/wantRoom >= quota/100 {
		f.State = stateWarning
	}
	return f
}

// filesIn adds up the part of the files that q bounds.
func filesIn(dir string, q binding.Quota) (most int64, err error) {
	sums := map[string]int64{}
	for _, folder := range q.Folders {
		folder = filepath.Join(dir, folder)
		err = errors.Join(err, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // none yet, or deleted meanwhile
			}
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, q.Suffix) {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			var sum string
			switch q.Of {
			case binding.EachFile:
				sum = path
			case binding.EachFolder:
				sum, _, _ = strings.Cut(strings.TrimPrefix(path, folder+"/"), "/")
			}
			sums[sum] += info.Size()
			most = max(most, sums[sum])
			return nil
		}))
	}
	return most, err
}
