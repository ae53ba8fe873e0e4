// Stands in for the helper by which the fixtures of workers-sdk start
// `wrangler dev`: it starts `selvage dev`. SELVAGE is the program, SELVAGE_DATA
// where it keeps its data.
import { spawn } from "node:child_process";
import { once } from "node:events";

export const wranglerEntryPath = "";

export async function runWranglerDev(project: string) {
  const child = spawn(process.env.SELVAGE!, ["dev", project, "--port", "0"], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk;
      const ready = /Ready on (http:\S+)/.exec(output);
      if (ready) resolve(ready[1]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", () => reject(new Error(output)));
  });
  const { hostname, port } = new URL(url);
  return {
    ip: hostname,
    port: Number(port),
    getOutput: () => output,
    clearOutput: () => (output = ""),
    async stop() {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}
