package bundle

import "testing"

// Without a default export of its own an entry point is a service-worker script.
func TestFormat(t *testing.T) {
	testBuilt(t, []built{{
		name: "service worker",
		archive: `
-- src/index.js --
import { text } from "./text";
addEventListener("fetch", (e) => e.respondWith(new Response(text)));
-- src/text.js --
export const text = "classic";
`,
		modules: "index.js", exports: "", has: []string{"classic", "(() => {"},
	}, {
		name: "an entry point without exports",
		archive: `
-- src/index.js --
console.log("hello");
`,
		modules: "index.js", exports: "", warns: "has no default export",
	}, {
		name: "named exports only",
		archive: `
-- src/index.js --
export class Room {}
addEventListener("fetch", (e) => e.respondWith(new Response("classic")));
`,
		modules: "index.js", exports: "", has: []string{"(() => {"}, warns: "is taken for a service-worker script",
	}, {
		name: "a default export of another file",
		archive: `
-- src/index.js --
export * from "./real.js";
-- src/real.js --
export default {};
`,
		modules: "index.js", exports: "", warns: "is taken for a service-worker script",
	}, {
		name: "a service worker with modules",
		archive: `
-- src/index.js --
import a from "./a.txt";
import b from "./b/a.bin";
addEventListener("fetch", (e) => e.respondWith(new Response(a + b)));
-- src/a.txt --
text
-- src/b/a.bin --
data
`,
		modules: "index.js aa785adca3fcdfe1884ae840e13c6d294a2414e8-a.txt c5d84736ba451747dd5f0eb9d17e104f3697ef47-a.bin",
		exports: "", has: []string{"= __aa785adca3fcdfe1884ae840e13c6d294a2414e8_a_txt;", "= __c5d84736ba451747dd5f0eb9d17e104f3697ef47_a_bin;"},
	}, {
		name: "a file beside the entry point, by its bare name",
		archive: `
-- src/index.js --
import a from "a.txt";
import b from "./deep/b.js";
export default { a, b };
-- src/a.txt --
text
-- src/deep/b.js --
import a from "a.txt";
import c from "deeper/c.txt";
export default a + c;
-- src/deep/deeper/c.txt --
more
`,
		set:     func(o *Options) { o.PreserveFileNames = true },
		modules: "index.js a.txt deeper/c.txt", exports: "default", warns: `write "./a.txt"`,
	}})
}
