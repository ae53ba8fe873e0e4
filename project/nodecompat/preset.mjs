// Says as JSON what wrangler would have esbuild replace. Runs in an interpreter
// that has neither files nor network.
import { defineEnv } from "unenv";
import * as preset from "@cloudflare/unenv-preset";

export function evaluate(compatibilityDate, compatibilityFlags) {
  if (typeof preset.getCloudflarePreset !== "function") return null; // before it knew dates
  const { env } = defineEnv({
    npmShims: true,
    presets: [
      preset.getCloudflarePreset({ compatibilityDate, compatibilityFlags }),
      { alias: { debug: "debug" } }, // the real one, for Node.js
    ],
  });
  const inject = new Map();
  for (const [global, from] of Object.entries(env.inject)) {
    const [module, name] = Array.isArray(from) ? from : [from, "default"];
    if (!inject.has(module)) inject.set(module, { module, globals: [] });
    inject.get(module).globals.push({ global, name });
  }
  return JSON.stringify({ ...env, inject: [...inject.values()] });
}
