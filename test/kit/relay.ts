/**
 * Real relays for socket tests: one in this process, or a process of its own on either runtime.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { type Relay, type RelayOptions, startRelay } from "../../main.ts";
import { root, script } from "../../tools/runtimes.ts";

/** Starts a relay on a free port, hands it over, and stops it whatever happens. */
export async function withRelay(
  run: (relay: Relay) => Promise<void>,
  { token = "", ...options }: { token?: string } & RelayOptions = {},
): Promise<void> {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token }, options);
  try {
    await run(relay);
  } finally {
    await relay.stop();
  }
}

/** A relay as a process. */
export interface RelayProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Everything it has printed. */
  readonly output: () => string;
}

/**
 * Runs `main.ts` on a runtime, or whatever `start` says, hands it over once it listens, and ends it
 * whatever happens.
 */
export async function withRelayProcess(
  runtime: "bun" | "deno",
  run: (relay: RelayProcess) => Promise<void>,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  start = { cwd: root, command: [...script(runtime)!, "main.ts"] },
): Promise<void> {
  const [program, ...first] = start.command;
  const child = spawn(program!, [...first, "--port", "0", ...args], {
    cwd: start.cwd,
    // Nothing of a test stays in the folder of the project.
    env: { ...process.env, NO_COLOR: "1", STORE: "memory", ...env },
  });
  let output = "";
  const listening = new Promise<string>((resolve, reject) => {
    const read = (chunk: unknown) => {
      output += String(chunk);
      const url = output.match(/what is here +(http\S+?)\/?\s/)?.[1];
      if (url) resolve(url);
    };
    child.stdout!.on("data", read);
    child.stderr!.on("data", read);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the relay ended with ${code}:\n${output}`)));
  });
  try {
    await run({ url: await listening, child, output: () => output });
  } finally {
    await end(child);
  }
}

/** Ends a process that was started here, and waits until it is gone. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}
