// The private API: it starts reports, knows what became of them, and has the
// channel on which everybody hears of them.
import { WorkerEntrypoint, WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
import type { Channel } from "./channel";

export { Channel } from "./channel";

interface Params {
  owner: string;
  title: string;
  parts: number;
}

interface Env {
  REPORTS: Workflow<Params>;
  CHANNEL: DurableObjectNamespace<Channel>;
}

/** A report is made part by part. A part that was made is never made again, whatever happens to the process. */
export class Report extends WorkflowEntrypoint<Env, Params> {
  override async run({ payload, instanceId }: WorkflowEvent<Params>, step: WorkflowStep) {
    const { owner, title, parts } = payload;
    const channel = this.env.CHANNEL.getByName("all");
    for (let done = 1; done <= parts; done++) {
      await step.sleep(`making part ${done}`, "1 second");
      await step.do(`part ${done} of ${parts}`, () => channel.publish({ id: instanceId, owner, title, done, parts }));
    }
    return { title, parts };
  }
}

export default class extends WorkerEntrypoint<Env, { caller?: string }> {
  /** The channel's WebSocket, for the gateway. Who comes in any other way than its binding brings no props. */
  override async fetch(request: Request): Promise<Response> {
    if (this.ctx.props?.caller !== "csrf-pipeline") return new Response("there is nothing here", { status: 404 });
    return this.env.CHANNEL.getByName("all").fetch(request);
  }

  /** Starts a report and returns the id of its instance. */
  async start(owner: string, title: string, parts: number): Promise<string> {
    const id = crypto.randomUUID();
    await this.env.CHANNEL.getByName("all").publish({ id, owner, title, done: 0, parts });
    await this.env.REPORTS.create({ id, params: { owner, title, parts } });
    return id;
  }

  /** What became of a report; null if the owner has none with that id. */
  async report(owner: string, id: string) {
    const progress = await this.env.CHANNEL.getByName("all").progress(id);
    if (progress?.owner !== owner) return null;
    const { status } = await (await this.env.REPORTS.get(id)).status();
    const { title, done, parts } = progress;
    return { id, title, status, done, parts };
  }
}
