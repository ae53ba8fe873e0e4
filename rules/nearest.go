package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/selvage-edge/selvage/spelling"
)

// nearest suggests a name for one that does not exist.
func nearest[T any](name string, known map[string]T) string {
	if len(name) > 64 {
		return ""
	}
	best := spelling.Nearest(name, len(name)/3, slices.Sorted(maps.Keys(known)))
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}
