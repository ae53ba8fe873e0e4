// Tells the kind of every export of every module of Node.js and of every global.
import * as m0 from "node:_http_agent";
import * as m1 from "_http_client";
import * as m2 from "node:_http_common";
import * as m3 from "_http_incoming";
import * as m4 from "node:_http_outgoing";
import * as m5 from "_http_server";
import * as m6 from "node:_stream_duplex";
import * as m7 from "_stream_passthrough";
import * as m8 from "node:_stream_readable";
import * as m9 from "_stream_transform";
import * as m10 from "node:_stream_wrap";
import * as m11 from "_stream_writable";
import * as m12 from "node:_tls_common";
import * as m13 from "_tls_wrap";
import * as m14 from "node:assert";
import * as m15 from "assert/strict";
import * as m16 from "node:async_hooks";
import * as m17 from "buffer";
import * as m18 from "node:child_process";
import * as m19 from "cluster";
import * as m20 from "node:console";
import * as m21 from "constants";
import * as m22 from "node:crypto";
import * as m23 from "dgram";
import * as m24 from "node:diagnostics_channel";
import * as m25 from "dns";
import * as m26 from "node:dns/promises";
import * as m27 from "domain";
import * as m28 from "node:events";
import * as m29 from "fs";
import * as m30 from "node:fs/promises";
import * as m31 from "http";
import * as m32 from "node:http2";
import * as m33 from "https";
import * as m34 from "node:inspector";
import * as m35 from "inspector/promises";
import * as m36 from "node:module";
import * as m37 from "net";
import * as m38 from "node:os";
import * as m39 from "path";
import * as m40 from "node:path/posix";
import * as m41 from "path/win32";
import * as m42 from "node:perf_hooks";
import * as m43 from "process";
import * as m44 from "node:punycode";
import * as m45 from "querystring";
import * as m46 from "node:readline";
import * as m47 from "readline/promises";
import * as m48 from "node:repl";
import * as m49 from "stream";
import * as m50 from "node:stream/consumers";
import * as m51 from "stream/promises";
import * as m52 from "node:stream/web";
import * as m53 from "string_decoder";
import * as m54 from "node:sys";
import * as m55 from "timers";
import * as m56 from "node:timers/promises";
import * as m57 from "tls";
import * as m58 from "node:trace_events";
import * as m59 from "tty";
import * as m60 from "node:url";
import * as m61 from "util";
import * as m62 from "node:util/types";
import * as m63 from "v8";
import * as m64 from "node:vm";
import * as m65 from "wasi";
import * as m66 from "node:worker_threads";
import * as m67 from "zlib";
import * as m68 from "node:sqlite";
const modules = {
  "_http_agent": m0,
  "_http_client": m1,
  "_http_common": m2,
  "_http_incoming": m3,
  "_http_outgoing": m4,
  "_http_server": m5,
  "_stream_duplex": m6,
  "_stream_passthrough": m7,
  "_stream_readable": m8,
  "_stream_transform": m9,
  "_stream_wrap": m10,
  "_stream_writable": m11,
  "_tls_common": m12,
  "_tls_wrap": m13,
  "assert": m14,
  "assert/strict": m15,
  "async_hooks": m16,
  "buffer": m17,
  "child_process": m18,
  "cluster": m19,
  "console": m20,
  "constants": m21,
  "crypto": m22,
  "dgram": m23,
  "diagnostics_channel": m24,
  "dns": m25,
  "dns/promises": m26,
  "domain": m27,
  "events": m28,
  "fs": m29,
  "fs/promises": m30,
  "http": m31,
  "http2": m32,
  "https": m33,
  "inspector": m34,
  "inspector/promises": m35,
  "module": m36,
  "net": m37,
  "os": m38,
  "path": m39,
  "path/posix": m40,
  "path/win32": m41,
  "perf_hooks": m42,
  "process": m43,
  "punycode": m44,
  "querystring": m45,
  "readline": m46,
  "readline/promises": m47,
  "repl": m48,
  "stream": m49,
  "stream/consumers": m50,
  "stream/promises": m51,
  "stream/web": m52,
  "string_decoder": m53,
  "sys": m54,
  "timers": m55,
  "timers/promises": m56,
  "tls": m57,
  "trace_events": m58,
  "tty": m59,
  "url": m60,
  "util": m61,
  "util/types": m62,
  "v8": m63,
  "vm": m64,
  "wasi": m65,
  "worker_threads": m66,
  "zlib": m67,
  "node:sqlite": m68,
};

// names are the properties of o and of what it inherits from, up to plain objects.
function names(o) {
  const all = new Set();
  for (let p = o; p && p !== Object.prototype && p !== Function.prototype; p = Object.getPrototypeOf(p)) {
    for (const name of Object.getOwnPropertyNames(p)) all.add(name);
  }
  return [...all];
}

function kinds(o) {
  if (o === null || (typeof o !== "object" && typeof o !== "function")) return { "": typeof o };
  const kind = (name) => { try { return typeof o[name]; } catch (e) { return "throws " + e.message; } };
  return Object.fromEntries(names(o).map((name) => [name, kind(name)]));
}

export default {
  fetch() {
    const report = { globalThis: kinds(globalThis), tag: { process: Object.prototype.toString.call(process) } };
    for (const [name, module] of Object.entries(modules)) {
      report[name] = kinds(module);
      if ("default" in module) report[name + ".default"] = kinds(module.default);
    }
    for (const name of ["process", "performance", "console", "Buffer", "navigator"]) report["globalThis." + name] = kinds(globalThis[name]);
    return Response.json(report);
  },
};
