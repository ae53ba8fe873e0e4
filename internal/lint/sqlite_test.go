package lint

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

// The driver of SQLite is known to two packages: storage/sqlite opens every file
// of ours, and D1 judges the statements of others.
func TestOnlyTwoPackagesKnowTheDriver(t *testing.T) {
	may := []string{"storage/sqlite", "binding/d1"}
	eachPackage(t, func(rel string, pkg *build.Package) {
		for _, imp := range pkg.Imports {
			if strings.HasPrefix(imp, "github.com/ncruces/go-sqlite3") && !slices.Contains(may, rel) {
				t.Errorf("%s imports %s: use storage/sqlite", rel, imp)
			}
		}
	})
}
