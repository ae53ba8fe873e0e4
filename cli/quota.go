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
	of        part   // what the quota bounds
}{
	{"D1 databases", "d1", []string{"d1"}, ".sqlite", all},
	{"largest D1 database", "d1_database", []string{"d1"}, ".sqlite", eachFile},
	{"KV", "kv", []string{"keyed", "blob/kv"}, "", all},
	{"largest Durable Object", "durable_object", []string{"do"}, ".sqlite", eachFile},
	{"largest Durable Objects of a Worker", "worker_durable_objects", []string{"do"}, ".sqlite", eachFolder},
	{"code and static files", "code", []string{"blob/control"}, "", all},
}

// part is the part of what is in the folders that a quota bounds.
type part int

const (
	all        part = iota // together
	eachFile               // the largest file
	eachFolder             // the largest folder, with all below it
)

// counted are what quotas bound and the files do not show: who has most of it is
// asked of the server that runs.
var counted = []struct{ name, key, path string }{
	{"largest KV namespace", "kv_namespace", "/local/kv"},
	{"largest code of a Worker", "worker_code", "/local/code"},
}

// wantRoom is the part of a quota, in percent, beyond which the doctor warns.
const wantRoom = 90

// examineQuotas says what is stored beside what may be. ask, which is nil when no
// server runs, calls its API.
func examineQuotas(s *settings.Settings, dir string, ask func(path string, result any) error) (list []finding) {
	for _, x := range stored {
		used, err := filesIn(dir, x.folders, x.suffix, x.of)
		f := finding{"stored: " + x.name, stateOK, fmt.Sprintf("%d MiB, no quota", used>>20)}
		if quota := s.Quotas[x.key]; quota > 0 {
			f = beside(f.Name, "", used, quota, x.key)
		}
		if err != nil {
			f.State, f.Detail = stateWarning, err.Error()
		}
		list = append(list, f)
	}
	for _, x := range counted {
		name, quota := "stored: "+x.name, s.Quotas[x.key]
		var largest struct {
			Name  string
			Bytes int64
		}
		switch {
		case quota == 0:
			list = append(list, finding{name, stateOK, "not counted, no quota"})
		case ask == nil:
			list = append(list, finding{name, stateOK, fmt.Sprintf("at most %d MiB (quotas.%s); a server that runs says how much it is", quota>>20, x.key)})
		default:
			if err := ask(x.path, &largest); err != nil {
				list = append(list, finding{name, stateWarning, err.Error()})
				continue
			}
			list = append(list, beside(name, largest.Name, largest.Bytes, quota, x.key))
		}
	}
	return list
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

// filesIn adds up a part of the files below folders.
func filesIn(dir string, folders []string, suffix string, of part) (most int64, err error) {
	sums := map[string]int64{}
	for _, folder := range folders {
		folder = filepath.Join(dir, folder)
		err = errors.Join(err, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // none yet, or deleted meanwhile
			}
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, suffix) {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			var sum string
			switch of {
			case eachFile:
				sum = path
			case eachFolder:
				sum, _, _ = strings.Cut(strings.TrimPrefix(path, folder+"/"), "/")
			}
			sums[sum] += info.Size()
			most = max(most, sums[sum])
			return nil
		}))
	}
	return most, err
}
