package dev

import (
	"slices"

	"github.com/selvage-edge/selvage/config"
)

// transfer takes from Workers the classes that migrations of others take over. A
// project whose class is taken over still has the migration that made it.
func (s *server) transfer(workers map[string]*config.Worker) {
	for _, p := range s.projects {
		for t, class := range p.Manifest.Taken() {
			from, to := workers[t.FromScript], workers[p.Manifest.Name]
			if from == nil || from == to {
				continue
			}
			was := *from.Shares[0].Version
			at := slices.IndexFunc(was.Classes, func(c config.Class) bool { return c.Key == class.Key })
			if at < 0 {
				continue
			}
			is := *to.Shares[0].Version
			is.Classes = slices.Clone(is.Classes)
			for i := range is.Classes {
				if is.Classes[i].Key == class.Key {
					is.Classes[i].SQLite = was.Classes[at].SQLite
				}
			}
			name := was.Classes[at].Name
			was.Classes = slices.Delete(slices.Clone(was.Classes), at, at+1)
			was.Lost = append(slices.Clone(was.Lost), name)
			from.Shares[0].Version, to.Shares[0].Version = &was, &is
			if from.Moved == nil {
				from.Moved = map[string]config.Moved{}
			}
			from.Moved[name] = config.Moved{Worker: to.Name, Class: class.Name, Key: class.Key}
		}
	}
}
