// What a Worker sees of Workflows. behaviour.golden has the answers; wrangler dev gives the same, but for
// its __LOCAL_DEV_STEP_OUTPUTS and what docs/compatibility.md names.
import { WorkflowEntrypoint } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";
export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    const p = event.payload;
    const out = [];
    const t = async (name, f) => { try { out.push([name, await f()]); } catch (e) { out.push([name, "threw", e.name, e.message, String(e.stack).split("\n")[0]]); } };
    switch (p?.mode) {
      case "ctx": await t("ctx", () => step.do("a", async (ctx) => ctx)); await t("cfg", () => step.do("a", {retries:{limit:1,delay:"1 second"},timeout:1000}, async (ctx) => ctx)); await t("undef", () => step.do("u", async () => {})); return out;
      case "nonretry": return await step.do("n", async () => { throw new NonRetryableError("no way"); });
      case "nonretrycaught": await t("n", () => step.do("n", async () => { throw new NonRetryableError("no way"); })); return out;
      case "nonretryname": await t("n", () => step.do("n", async () => { throw new NonRetryableError("no way", "Special"); })); return out;
      case "err": await t("e", () => step.do("e", {retries:{limit:0,delay:0}}, async () => { throw new TypeError("boom"); }));
        await t("e2", () => step.do("e2", {retries:{limit:0,delay:0}}, async () => { throw Object.assign(new Error("mine"),{name:"MyError",code:7}); }));
        await t("e3", () => step.do("e3", {retries:{limit:0,delay:0}}, async () => { throw "text"; }));
        await t("timeout", () => step.do("slow", {retries:{limit:0,delay:0},timeout:50}, async () => { await scheduler.wait(1000); }));
        await t("badname", () => step.do("a\nb", async () => 1)); await t("longname", () => step.do("x".repeat(257), async () => 1));
        await t("badcfg", () => step.do("bad", {retries:{limit:-1,delay:0}}, async () => 1));
        await t("badcfg2", () => step.do("bad", {foo:1}, async () => 1));
        await t("nofn", () => step.do("nofn"));
        await t("past", () => step.sleepUntil("past", new Date(0)));
        await t("evto", () => step.waitForEvent("ev", {type:"x", timeout:50}));
        await t("evbad", () => step.waitForEvent("ev2", {type:"a b!", timeout:50}));
        return out;
      case "throw": throw new RangeError("outside");
      case "throwstep": return await step.do("e", {retries:{limit:0,delay:0}}, async () => { throw new TypeError("boom"); });
      case "fnresult": return await step.do("f", async () => () => 1);
      case "classresult": class X { constructor() { this.a = 1; } } return await step.do("f", async () => new X());
      case "big": return (await step.do("b", async () => "x".repeat(p.n))).length;
      case "fnreturn": return () => 1;
      case "types": { const r = await step.do("t", async () => ({ d: new Date(5), m: new Map([[1,{a:2}]]), s: new Set([1]), b: new Uint8Array([1,2]), u: undefined, big: 5n, nan: NaN })); return [r.d instanceof Date, r.m instanceof Map, r.s instanceof Set, r.b instanceof Uint8Array, "u" in r, typeof r.big, r.nan]; }
      case "typesout": return { d: new Date(5), m: new Map([[1,2]]), u: undefined };
      case "event": { const e = await step.waitForEvent("w", {type:"go", timeout:"1 minute"}); return [e.type, e.payload, e.timestamp instanceof Date, Object.keys(e).sort()]; }
      case "sleep": await step.sleep("s", p.d ?? "1 second"); return "slept";
      case "busy": await step.do("b", async () => { await scheduler.wait(1000); }); await step.do("c", async()=>1); return "done";
      case "ev": return [event.payload, event.timestamp instanceof Date, typeof event.instanceId, event.workflowName, Object.keys(event).sort()];
    }
    return typeof event;
  }
}
const r = async (f) => { try { const v = await f(); return v === undefined ? "undefined" : v; } catch (e) { return { threw: [e.name, e.message, e.constructor.name] }; } };
export default {
  async fetch(req, env) {
    const u = new URL(req.url), q = Object.fromEntries(u.searchParams);
    const W = env.WF;
    const wait = async (i, want) => { for (let n = 0; n < 100; n++) { const s = await i.status(); if (want ? s.status === want : ["complete","errored","terminated"].includes(s.status)) return s; await scheduler.wait(50); } return i.status(); };
    switch (u.pathname) {
      case "/mode": return Response.json(await r(async () => { const i = await W.create({ params: { ...q, n: +q.n } }); return wait(i); }));
      case "/misc": {
        const out = {};
        out.class = W.constructor.name;
        out.missing = await r(() => W.get("nope"));
        out.badget = await r(() => W.get("a b"));
        for (const [k,id] of Object.entries({empty:"", space:"a b", long:"x".repeat(101), dash:"-a", num:5, dot:"a.b", nul:null, undef:undefined})) out["id-"+k] = await r(async () => { const x = await W.create({ id, params: {mode:"sleep"} }); return typeof x.id; });
        out.dup = await r(async () => { await W.create({ id: "dup" + q.s, params: {mode:"sleep"} }); return (await W.create({ id: "dup" + q.s })).id; });
        out.noargs = await r(async () => { const i = await W.create(); return [typeof i.id, i.constructor.name, (await wait(i)).output]; });
        out.batch0 = await r(() => W.createBatch([]));
        out.batch101 = await r(() => W.createBatch(Array.from({length:101},()=>({}))));
        out.batchdup = await r(async () => (await W.createBatch([{id:"q"+q.s},{id:"q"+q.s},{id:"dup"+q.s}])).map(x=>x.id));
        out.batchbad = await r(() => W.createBatch([{id:"a b"}]));
        out.batchnone = await r(() => W.createBatch());
        out.batchobj = await r(async () => { const b = await W.createBatch({count:2, params:{mode:"ev"}}); return [b.created.length, b.errors]; });
        out.batchobj2 = await r(async () => { const b = await W.createBatch({instances:[{id:"q"+q.s},{id:"z"+q.s},{id:"z"+q.s}]}); return [b.created.map(x=>x.id), b.errors]; });
        const i = await W.create({ params: {mode:"sleep"} });
        out.st = await r(() => wait(i, "running"));
        await scheduler.wait(300);
        out.st2 = await r(() => i.status());
        out.pause = await r(() => i.pause()); out.st3 = await r(() => i.status());
        out.pause2 = await r(() => i.pause());
        out.resume = await r(() => i.resume()); out.st4 = await r(() => wait(i, "running"));
        out.resume2 = await r(() => i.resume());
        out.term = await r(() => i.terminate()); out.st5 = await r(() => i.status());
        out.term2 = await r(() => i.terminate()); out.pause3 = await r(() => i.pause()); out.resume3 = await r(() => i.resume());
        out.sendterm = await r(() => i.sendEvent({type:"go",payload:1}));
        out.restart = await r(() => i.restart()); out.st6 = await r(() => wait(i, "running")); out.fin = await wait(i);
        out.restartfrom = await r(() => i.restart({from:{name:"nope"}}));
        const b = await W.create({ params: {mode:"busy"} }); await scheduler.wait(200); out.bst = await wait(b, "running"); await scheduler.wait(100); await b.pause(); out.bp = await b.status(); out.bp2 = await wait(b, "paused"); await b.resume(); out.bfin = await wait(b);
        const e = await W.create({ params: {mode:"event"} }); await scheduler.wait(300); out.est = await wait(e, "running"); out.send = await r(() => e.sendEvent({type:"go", payload:{d:new Date(3)}})); out.efin = await wait(e);
        out.del = await r(() => e.delete()); out.delst = await r(() => e.status()); out.delb = await r(async () => { const d = await W.deleteBatch(["nope", b.id]); return [d.deleted.map(x => x.id === b.id), d.errors]; });
        return Response.json(out);
      }
    }
    return new Response("?", {status:404});
  }
}
