package dev

import (
	"strings"
	"testing"
)

// status() tells what the steps have returned, as under wrangler dev.
func TestStepOutputs(t *testing.T) {
	r := start(t, `
-- wrangler.jsonc --
{"name": "flows", "main": "index.js", "compatibility_date": "2026-11-01",
 "workflows": [{"binding": "FLOW", "name": "flow", "class_name": "Flow", "schedules": "* * * * *"}]}
-- index.js --
import { WorkflowEntrypoint } from "cloudflare:workers";
export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    const at = await step.do("first", async () => ({ at: new Date(5) }));
    await step.do("hidden", { sensitive: "output" }, async () => "secret");
    const { payload } = await step.waitForEvent("wait", { type: "go" });
    await step.do("nothing", async () => {});
    return [at.at.getTime(), payload];
  }
}
export default {
  async fetch(request, env) {
    const instance = await env.FLOW.create();
    await instance.sendEvent({ type: "go", payload: "an event" });
    for (;;) {
      const status = await instance.status();
      if (status.status !== "queued" && status.status !== "running") return Response.json(status);
      await scheduler.wait(10);
    }
  },
};
`, nil)
	r.expect("/", 200, `{"status":"complete","__LOCAL_DEV_STEP_OUTPUTS":[{"at":"1970-01-01T00:00:00.005Z"},"[REDACTED]","an event",null],"output":[5,"an event"]}`)
	if strings.Contains(r.screen.String(), "schedules") {
		t.Errorf("printed %s", r.screen)
	}
}
