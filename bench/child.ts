/**
 * Starts and asks the servers that are measured.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { here, script } from "../tools/runtimes.ts";
import type { Report } from "./server.ts";

/** Our relay, the same with logs in a file, or a bare server of the same runtime. */
export type Which = "ours" | "disk" | "bare";

export interface Child {
  readonly which: Which;
  readonly port: number;
  /** Asks for processor time and memory; `collect` has garbage collected first. */
  report(collect?: boolean): Promise<Report>;
  stop(): Promise<void>;
}

/** Starts a server on the runtime of this process. `file`: that of the logs, for `disk`. */
export async function startChild(which: Which, file = ""): Promise<Child> {
  const [program, ...first] = script(here)!;
  const flags = here === "deno" ? ["--v8-flags=--expose-gc"] : [];
  const server = fileURLToPath(new URL("server.ts", import.meta.url));
  const child = spawn(program!, [...first, ...flags, server, which, file], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const gone = new Promise<never>((_, reject) =>
    child.once("exit", (code) => reject(new Error(`the ${which} server ended with ${code}`)))
  );
  const waiting: ((report: Report) => void)[] = [];
  createInterface({ input: child.stdout }).on(
    "line",
    (line) => waiting.shift()?.(JSON.parse(line)),
  );
  const next = () => Promise.race([new Promise<Report>((resolve) => waiting.push(resolve)), gone]);
  const { port } = await next();
  return {
    which,
    port,
    report(collect = false) {
      const answer = next();
      child.stdin.write(collect ? "collect\n" : "report\n");
      return answer;
    },
    async stop() {
      const ended = gone.catch(() => {});
      child.kill("SIGKILL");
      await ended;
    },
  };
}
