package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkRebuild changes one file of a project whose bundle has about 1 MB
// and builds again: the bundler's part of a hot reload.
func BenchmarkRebuild(b *testing.B) {
	var archive, imports strings.Builder
	const modules = 250
	for i := range modules {
		fmt.Fprintf(&archive, "-- src/m%d.ts --\n", i)
		for j := range 40 {
			fmt.Fprintf(&archive, "export function f%d(a: number, b: string): string {\n\tif (a > %d) return b.repeat(a) + \"%d\";\n\treturn `${a}-${b}`;\n}\n", j, j, i)
		}
		fmt.Fprintf(&imports, "import * as m%d from \"./m%d\";\nconsole.log(m%d);\n", i, i, i)
	}
	opts := project(b, archive.String())
	opts.Entry = filepath.Join(opts.Dir, "src", "index.ts")
	bundler, err := New(opts)
	if err != nil {
		b.Fatal(err)
	}
	defer bundler.Close()
	size := 0
	for i := 0; b.Loop(); i++ {
		text := fmt.Sprintf("%sexport default { version: %d };\n", imports.String(), i)
		if err := os.WriteFile(opts.Entry, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		r, err := bundler.Build(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		size = r.Size
	}
	b.ReportMetric(float64(size)/1e6, "MB/bundle")
}
