package engine

import "testing"

// The module is there for every Worker, whether or not it has a binding for
// e-mail: libraries import it at their top.
func TestEmailModule(t *testing.T) {
	const use = `
		const raw = (m) => new Response(m["EmailMessage::raw"]).text();
		const text = new EmailMessage("a@x.test", "b@x.test", "Subject: x\n\ntext");
		const stream = new EmailMessage("c@x.test", "d@x.test", new Response("Subject: y\n\nstream").body);
		return Response.json([text.from, text.to, await raw(text), stream.from, stream.to, await raw(stream)]);`
	const want = `["a@x.test","b@x.test","Subject: x\n\ntext","c@x.test","d@x.test","Subject: y\n\nstream"]`
	b := newBench(t, nil)
	b.deploy(b.version("static", `import { EmailMessage } from "cloudflare:email";
		export default { async fetch() {`+use+`} };`))
	b.deploy(b.version("dynamic", `export default { async fetch() { const { EmailMessage } = await import("cloudflare:" + "email");`+use+`} };`))
	b.want("/static/", want)
	b.want("/dynamic/", want)

	v := b.version("behind", `import email from "cloudflare-internal:email"; export default { fetch() { return new Response(typeof email); } };`)
	if _, err := b.Check(t.Context(), v); err == nil {
		t.Error("a Worker imports what is the runtime's own")
	}

	// What nobody imports costs nothing: it is not even compiled.
	kept := builtins[0].Source
	t.Cleanup(func() { builtins[0].Source = kept })
	builtins[0].Source = "this is not JavaScript"
	b.deploy(b.version("other", `export default { fetch() { return new Response("ok"); } };`))
	b.want("/other/", "ok")
}
