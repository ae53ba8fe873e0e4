// Command typecheck says what would not compile on another system:
//
//	go run ./.ci/typecheck GOOS/GOARCH...
//
// It reads everything from source, tests included, and makes no machine code, which would take minutes for
// each system.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	wrong := 0
	for _, target := range os.Args[1:] {
		system, arch, _ := strings.Cut(target, "/")
		list, err := packages.Load(&packages.Config{
			Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
				packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
			Env:   append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch),
			Tests: true,
		}, "./...")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%d packages for %s\n", len(list), target)
		wrong += packages.PrintErrors(list)
	}
	if wrong > 0 {
		os.Exit(1)
	}
}
