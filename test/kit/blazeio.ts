/**
 * The real Blazeio as a process: looked for in `BLAZEIO_PYTHON`, then where `test/peers/install.sh`
 * puts it.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { skipped } from "./skip.ts";

const python = process.env.BLAZEIO_PYTHON ?? `${tmpdir()}/blaze-relay-blazeio/bin/python`;
const script = (name: string) => fileURLToPath(new URL(`../peers/${name}.py`, import.meta.url));

/** The version, or `undefined` where there is none. */
export const blazeio: string | undefined = (() => {
  if (!existsSync(python)) return undefined;
  const { stdout } = spawnSync(python, ["-c", "import Blazeio; print(Blazeio.__version__)"]);
  return /^\d[\d.]*/.exec(String(stdout))?.[0];
})();

/** For the `skip` option of a test. */
export const withoutBlazeio: string | false = blazeio === undefined &&
  skipped("the real Blazeio is not here; `sh test/peers/install.sh` brings it");

/** Runs the client against a port and answers what it printed, parsed. Ends it after `ms`. */
export async function blazeioClient(
  port: number,
  args: readonly string[],
  ms = 60_000,
): Promise<unknown> {
  const child = spawn(python, [script("blazeio_client"), String(port), ...args]);
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  let output = "";
  let errors = "";
  child.stdout!.on("data", (chunk: unknown) => output += String(chunk));
  child.stderr!.on("data", (chunk: unknown) => errors += String(chunk));
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`Blazeio's client ended with ${code}:\n${output}${errors}`);
  return JSON.parse(output.trim().split("\n").at(-1)!);
}

/** Runs the server on a free port, hands that over once it listens, and ends it whatever happens. */
export async function withBlazeioServer(run: (port: number) => Promise<void>): Promise<void> {
  const port = await freePort();
  const child = spawn(python, [script("blazeio_server"), String(port)], { stdio: "ignore" });
  try {
    await listening(port, child);
    await run(port);
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

/** It cannot choose a port by itself, so one is chosen for it. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`Blazeio's server ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
