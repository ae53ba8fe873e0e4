// Point-in-time recovery of Durable Objects, which the runtime's own storage does
// not have: recovery.go keeps the states. This module is evaluated before the
// Worker's own ones. It puts the three methods of ctx.storage there, and sees to it
// that a session which is to begin with an earlier state does.
import { fetch, short } from "selvage:ask";
import context from "cloudflare-internal:env";

const env = context.getCurrentEnv();
const host = env["selvage recovery"];
delete env["selvage recovery"];

const objects = new WeakMap(); // by storage: { ctx, class, id, name }
const pending = new Set(); // the objects whose next session begins with a restore
const address = ({ class: type, id }) => type + " " + id;

async function ask(operation, { class: type, id, name }, question) {
  const response = await fetch.call(host, `http://recovery/${operation}?` + encodeURIComponent(JSON.stringify({ class: type, id, name, ...question })));
  const answer = JSON.parse(short(response) ?? (await response.text()));
  if (answer.over) pending.delete(address({ class: type, id }));
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer;
}

// asked is ask for what reads the object's file, which cannot be read while it is
// written all the time: then nothing else of the object runs meanwhile.
async function asked(operation, object, question) {
  let answer = await ask(operation, object, question);
  if (answer.busy) {
    let failed;
    answer = await object.ctx.blockConcurrencyWhile(() => ask(operation, object, question).catch((e) => { failed = e }));
    if (failed) throw failed;
  }
  if (answer.busy) throw new Error("The storage of this Durable Object is being written faster than it can be read. Try again.");
  return answer;
}

let native; // the runtime's methods
const none = "This Durable Object's storage back-end does not implement point-in-time recovery.";

// checked has the runtime look at the argument of a method, if it has one.
async function checked(storage, method, ...args) {
  const object = objects.get(storage);
  if (object === undefined) throw new Error(none);
  try {
    if (args.length > 0) await native[method].apply(storage, args);
  } catch (e) {
    if (e.message !== none) throw e;
  }
  // What was written without being confirmed is part of the state, too.
  await native.sync.call(storage);
  return object;
}

const methods = {
  async getCurrentBookmark() {
    const object = await checked(this, "getCurrentBookmark");
    return (await asked("current", object)).bookmark;
  },
  async getBookmarkForTime(timestamp) {
    const object = await checked(this, "getBookmarkForTime", timestamp);
    return (await asked("time", object, { time: Number(timestamp) })).bookmark;
  },
  async onNextSessionRestoreBookmark(bookmark) {
    const object = await checked(this, "onNextSessionRestoreBookmark", bookmark);
    const answer = await asked("next", object, { bookmark: String(bookmark) });
    if (answer.restores) pending.add(address(object));
    return answer.bookmark;
  },
};

function equip(storage) {
  const type = Object.getPrototypeOf(storage);
  native = {};
  for (const name of ["sync", "setAlarm", "deleteAlarm", "delete", ...Object.keys(methods)]) native[name] = type[name];
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(type, name, { ...Object.getOwnPropertyDescriptor(type, name), value });
  }
}

// restore puts the earlier state into the database that the runtime has open. The
// runtime knows some of it by heart: the alarm, and which of its tables there are.
async function restore(object) {
  const { storage } = object.ctx;
  const answer = await asked("restore", object);
  if (!answer.over) {
    await (typeof answer.alarm === "number" ? native.setAlarm.call(storage, answer.alarm) : native.deleteAlarm.call(storage));
    await native.delete.call(storage, "selvage " + crypto.randomUUID());
    await native.sync.call(storage);
    await ask("restored", object);
  }
}

// What the runtime looks for when an object is made, and calls on its own.
const events = ["fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"];

// later stands for an object that is made when its state has been restored. Until
// then no event reaches it.
function later(type, object, env) {
  const { ctx } = object;
  let instance;
  const call = (name) => function (...args) {
    const value = instance[name];
    return Reflect.apply(value, this === proxy || this === undefined ? instance : this, args);
  };
  const proxy = new Proxy(Object.create(type.prototype), {
    get(target, name) {
      if (instance === undefined) return events.includes(name) ? call(name) : Reflect.get(target, name);
      const value = Reflect.get(instance, name);
      return typeof value === "function" && name !== "constructor" ? call(name) : value;
    },
    set: (target, name, value) => Reflect.set(instance ?? target, name, value),
    has: (target, name) => Reflect.has(instance ?? target, name),
    getOwnPropertyDescriptor(target, name) {
      const property = Reflect.getOwnPropertyDescriptor(instance ?? target, name);
      if (property !== undefined) property.configurable = true;
      return property;
    },
  });
  ctx.blockConcurrencyWhile(async () => {
    await restore(object);
    // What the constructor wants to have finished before the first event is part
    // of this.
    const begun = [];
    Object.defineProperty(ctx, "blockConcurrencyWhile", {
      configurable: true,
      value(callback) {
        const done = (async () => callback())();
        begun.push(done);
        return done;
      },
    });
    try {
      instance = Reflect.construct(type, [ctx, env]);
    } finally {
      delete ctx.blockConcurrencyWhile;
    }
    for (const done of begun) await done;
  }).catch(() => {}); // the runtime tells whoever called the object
  return proxy;
}

// recoverable wraps an exported class of Durable Objects. One that is not of
// SQLite has no recovery.
export function recoverable(type, name, sqlite) {
  if (typeof type !== "function") return type;
  const outer = new Proxy(type, {
    construct(target, args, self) {
      const [ctx, env] = args;
      const storage = ctx?.storage;
      if (storage) {
        if (native === undefined) equip(storage);
        if (sqlite) {
          const object = { ctx, class: name, id: ctx.id.toString(), name: ctx.id.name };
          objects.set(storage, object);
          if (pending.has(address(object))) return later(target, object, env);
        }
      }
      return Reflect.construct(target, args, self === outer ? target : self);
    },
  });
  return outer;
}
