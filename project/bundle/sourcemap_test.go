package bundle

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// place finds text in code, as line and column from 1.
func place(t *testing.T, code, text string) (line, column int) {
	t.Helper()
	before, _, ok := strings.Cut(code, text)
	if !ok {
		t.Fatalf("no %q in\n%s", text, code)
	}
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndex(before, "\n")
}

const thrower = `
-- src/index.ts --
import { check } from "./lib/check";

interface Unused { a: string }

export default {
	fetch(request: Request): Response {
		check(request.url as string);
		return new Response("ok");
	},
};
-- src/lib/check.ts --
type Nothing = never;
export function check(url: string): void {
	throw new Error("no " + url);
}
`

func TestMapStack(t *testing.T) {
	for _, minify := range []bool{false, true} {
		opts := project(t, thrower)
		opts.Minify = minify
		r, err := Build(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		code := string(r.Modules[0].Data)
		new1, col1 := place(t, code, "new Error")
		call := regexp.MustCompile(`\w+\(\w+\.url\)`).FindString(code)
		new2, col2 := place(t, code, call)
		at := func(l, c int) string { return strconv.Itoa(l) + ":" + strconv.Itoa(c) }
		stack := "Error: no http://localhost:8787/\n" +
			"    at check (file:///index.js:" + at(new1, col1) + ")\n" +
			"    at Object.fetch (index.js:" + at(new2, col2) + ")\n" +
			"    at other.js:1:2\n" +
			"    at node:internal:3:4"
		want := "Error: no http://localhost:8787/\n" +
			"    at check (src/lib/check.ts:3:8)\n" +
			"    at Object.fetch (src/index.ts:7:3)\n" +
			"    at other.js:1:2\n" +
			"    at node:internal:3:4"
		m := r.SourceMapper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got := m.MapStack(stack); got != want {
					t.Errorf("minify %t: got\n%s\nwant\n%s", minify, got, want)
				}
			})
		}
		wg.Wait()
	}
}

func TestMapStackOfUnbundledModules(t *testing.T) {
	opts := project(t, thrower)
	built, err := Build(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	code := string(built.Modules[0].Data) // links index.js.map
	asIs := project(t, "-- index.js --\n"+code+"-- index.js.map --\n"+string(built.SourceMap))
	asIs.NoBundle = true
	r, err := Build(t.Context(), asIs)
	if err != nil {
		t.Fatal(err)
	}
	l, c := place(t, code, "new Error")
	if p, ok := r.SourceMapper().Map("./index.js", l, c); !ok || p != (Position{"src/lib/check.ts", 3, 8}) {
		t.Errorf("got %+v, %t", p, ok)
	}
}

func TestMapperOfNothing(t *testing.T) {
	for _, m := range []*SourceMapper{nil, NewSourceMapper(nil), NewSourceMapper(map[string][]byte{"index.js": []byte("not a map")})} {
		if got := m.MapStack("at index.js:1:1"); got != "at index.js:1:1" {
			t.Errorf("got %q", got)
		}
	}
}
