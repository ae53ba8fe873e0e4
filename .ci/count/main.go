// Command count reads `go test -json` from stdin, prints what failed or was
// skipped and a line for each package, and ends with the counts.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

func main() {
	passed, failed, skipped := 0, 0, 0
	output := map[string]*strings.Builder{} // by package and test
	decoder := json.NewDecoder(os.Stdin)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			fmt.Fprintln(os.Stderr, "count: read test events:", err)
			os.Exit(1)
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if output[key] == nil {
				output[key] = &strings.Builder{}
			}
			output[key].WriteString(e.Output)
		case "build-output":
			fmt.Print(e.Output)
		case "pass":
			if e.Test == "" {
				fmt.Printf("ok    %s %.1fs\n", e.Package, e.Elapsed)
			} else {
				passed++
			}
			delete(output, key)
		case "fail":
			if e.Test != "" {
				failed++
			} else {
				fmt.Printf("FAIL  %s\n", e.Package)
			}
			if out := output[key]; out != nil {
				fmt.Println(out.String())
			}
		case "skip":
			if e.Test != "" {
				skipped++
				fmt.Printf("skip  %s\n%s", key, output[key])
			}
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		os.Exit(1)
	}
}
