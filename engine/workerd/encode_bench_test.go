package workerd

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkText encodes a configuration with a module of 1 MB, as every start
// of such a Worker does.
func BenchmarkText(b *testing.B) {
	source := []byte(strings.Repeat("export function f(a, b) {\n\treturn `${a} \"and\" ${b}`;\n}\n", 1<<20/54))
	c := &Config{Services: []Service{{Name: "user", Worker: &Worker{
		Modules: []Module{{Name: "index.js", Kind: ESModule, Data: source}}, CompatibilityDate: "2026-11-01",
	}}}}
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		c.Write(io.Discard)
	}
}
