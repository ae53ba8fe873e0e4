package queue

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// sender makes the calls of a producer, and answers with what they say.
const sender = `const calls = {
  send: (q) => q.send({ a: [1, "ü"] }),
  text: (q) => q.send("grüß", { contentType: "text" }),
  bytes: (q) => q.send(new Uint8Array([0, 255]), { contentType: "bytes" }),
  v8: (q) => q.send(new Map([["a", 1]]), { contentType: "v8" }),
  delay: (q) => q.send(1, { delaySeconds: 30 }),
  now: (q) => q.send(2, { delaySeconds: 0 }),
  batch: (q) => q.sendBatch([{ body: 3 }, { body: "x", contentType: "text", delaySeconds: 7 }, { body: 4, delaySeconds: 0 }], { delaySeconds: 20 }),
  largest: (q) => q.send(new Uint8Array(128000), { contentType: "bytes" }),
  metrics: async (q) => JSON.stringify(await q.metrics()),
  large: (q) => q.send(new Uint8Array(128001), { contentType: "bytes" }),
  late: (q) => q.send(1, { delaySeconds: 86401 }),
  many: (q) => q.sendBatch(Array.from({ length: 101 }, (_, i) => ({ body: i }))),
  heavy: (q) => q.sendBatch(Array.from({ length: 3 }, () => ({ body: new Uint8Array(90000), contentType: "bytes" }))),
  type: (q) => q.send(1, { contentType: "xml" }),
};
export default {
  async fetch(request, env) {
    const [queue, call] = new URL(request.url).pathname.slice(1).split("/");
    try {
      return new Response((await calls[call](env[queue])) ?? "ok");
    } catch (e) {
      return new Response(e.name + ": " + e.message);
    }
  },
};`

func TestProducerInWorkerd(t *testing.T) {
	f := newFixture(t)
	f.max = 600_000
	f.reopen()
	k := &Kind{store: f.Store}
	mount := func(name string, settings map[string]any) func(string) binding.Mount {
		b, err := config.NewBinding(name, k.Type(), settings)
		f.ok(err)
		f.ok(k.Make(t.Context(), b))
		return func(service string) binding.Mount {
			m, err := k.Mount(b, binding.Site{Service: service})
			f.ok(err)
			return m
		}
	}
	cell := celltest.Run(t, sender, map[string]func(string) binding.Mount{
		"Q": mount("Q", map[string]any{"queue_name": "jobs"}),
		"D": mount("D", map[string]any{"queue_name": "later", "delivery_delay": 5}),
	})
	q, later := f.queue("jobs"), f.queue("later")
	sent := func(q *Queue, want string) {
		t.Helper()
		list, _ := f.take(q, 100)
		var got []string
		for _, m := range list {
			body := string(m.body)
			if m.kind >= 2 {
				body = hex.EncodeToString(m.body[:min(len(m.body), 12)])
			}
			got = append(got, fmt.Sprint(contentTypes[m.kind], " ", body))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("sent: %s\nwant: %s", strings.Join(got, ", "), want)
		}
	}
	for _, call := range []string{"Q/send", "Q/text", "Q/bytes", "Q/v8", "Q/delay", "Q/now", "Q/batch", "Q/largest", "D/send", "D/now", "D/delay"} {
		if got := cell.Get("/" + call); got != "ok" && !strings.HasPrefix(got, "[object") {
			t.Errorf("%s: %s", call, got)
		}
	}
	sent(q, `json {"a":[1,"ü"]}, text grüß, bytes 00ff, v8 ff0f3b22016149023a02, json 2, json 4, bytes 000000000000000000000000`)
	sent(later, `json 2`)
	f.pass(5 * time.Second)
	sent(later, `json {"a":[1,"ü"]}`)
	f.pass(2 * time.Second)
	sent(q, `text x`)
	f.pass(13 * time.Second)
	sent(q, `json 3`)
	f.pass(10 * time.Second)
	sent(q, `json 1`)
	sent(later, `json 1`)

	if got := cell.Get("/D/metrics"); !strings.HasPrefix(got, `{"backlogCount":3,"backlogBytes":16,"oldestMessageTimestamp":"2023-11-14T22:13:20`) {
		t.Errorf("metrics: %s", got)
	}
	for call, want := range map[string]string{
		"large": "Queue send failed: message length of 128001 bytes exceeds limit of 128000",
		"late":  "Queue send failed: message delay 86401 is invalid; it must be a whole number of seconds from 0 to 86400",
		"many":  "Queue sendBatch failed: batch message count of 101 exceeds limit of 100",
		"heavy": "Queue sendBatch failed: batch size of 270000 bytes exceeds limit of 256000",
		"type":  "Unsupported queue message content type: xml",
	} {
		if got := cell.Get("/Q/" + call); !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", call, got, want)
		}
	}
	for range 3 {
		cell.Get("/Q/largest")
	}
	if got := cell.Get("/Q/largest"); got != "Error: Queue send failed: Storage Limit Exceeded" {
		t.Errorf("full: %s", got)
	}
	f.ok(q.Delete())
	if got := cell.Get("/Q/send"); got != "Error: Queue send failed: Queue does not exist" {
		t.Errorf("deleted: %s", got)
	}
}

func TestBindingSettings(t *testing.T) {
	f := newFixture(t)
	k := &Kind{store: f.Store}
	for want, raw := range map[string]string{
		"a queue's name has 1 to 63 characters":                                    `{}`,
		`the queue's name "a b" may have`:                                          `{"queue_name":"a b"}`,
		"delivery_delay is 86401; it must be a whole number of seconds":            `{"queue_name":"a","delivery_delay":86401}`,
		"delivery_delay is 1.5":                                                    `{"queue_name":"a","delivery_delay":1.5}`,
		"there is no queue named \"a\"; create it with `wrangler queues create a`": `{"queue_name":"a"}`,
	} {
		_, err := k.Mount(config.Binding{Name: "Q", Type: "queue", Raw: []byte(raw)}, binding.Site{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
	}
}
