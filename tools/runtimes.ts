/**
 * Where the two runtimes are on this machine, for tools and tests that run both.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The version of Deno that the project is tested with. */
export const DENO_VERSION = "2.9.6";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** How to start something: a program and its first arguments. */
export type Command = readonly string[];

/** Which runtime this very process is. */
export const here: "bun" | "deno" = "Bun" in globalThis ? "bun" : "deno";

/** Bun: this process, the one in `node_modules`, or the one on the path. */
export function bunCommand(): Command | undefined {
  if (here === "bun") return [process.execPath];
  // A bare `bun` inside a Deno task is taken for JavaScript, hence the path.
  const installed = `${root}node_modules/bun/bin/bun.exe`;
  if (existsSync(installed)) return [installed];
  return works("bun") ? ["bun"] : undefined;
}

/** Deno: this process, the one on the path, or the npm package. */
export function denoCommand(): Command | undefined {
  if (here === "deno") return [process.execPath];
  if (works("deno")) return ["deno"];
  const npx = ["npx", "-y", `deno@${DENO_VERSION}`];
  return works("npx") ? npx : undefined;
}

const works = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;

/** How to run a TypeScript file on a runtime. */
export function script(runtime: "bun" | "deno"): Command | undefined {
  const command = runtime === "bun" ? bunCommand() : denoCommand();
  return command && (runtime === "bun" ? command : [...command, "run", "-A", "-q"]);
}
