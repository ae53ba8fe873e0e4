package d1

import "github.com/selvage-edge/selvage/binding"

// KindOf returns the kind for the databases of s.
func KindOf(s *Store) binding.Kind { return &kind{s} }
