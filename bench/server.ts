/**
 * One server in a process of its own: `server.ts ours` or `server.ts bare`.
 *
 * Prints one line of JSON once it listens, and one more for each line that it reads.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { startRelay } from "../main.ts";
import { startBare } from "./bare.ts";

/** What a server says of itself. Sizes in bytes, times in milliseconds since it started. */
export interface Report {
  readonly port: number;
  readonly rss: number;
  /** Processor time of user and system. */
  readonly cpu: number;
}

/** A load that no device may bring: no rate, no silence and no crowd ends a link. */
const lifted = {
  messagesPerSecond: 0,
  bytesPerSecond: 0,
  bufferedBytes: 1024 ** 3,
  idleSeconds: 0,
  links: 100_000,
  linksPerAddress: 100_000,
};

const ours = async () =>
  (await startRelay({ host: "127.0.0.1", port: 0, token: "" }, { limits: lifted })).port;

const port = process.argv[2] === "ours" ? await ours() : startBare();

/** Present in Bun, and in Deno with `--v8-flags=--expose-gc`. */
const { Bun: bun, gc } = globalThis as unknown as {
  Bun?: { gc(wait: boolean): void };
  gc?: () => void;
};

function report(): void {
  const { user, system } = process.cpuUsage();
  const { rss } = process.memoryUsage();
  console.log(JSON.stringify({ port, rss, cpu: (user + system) / 1000 } satisfies Report));
}

report();
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "collect") bun ? bun.gc(true) : gc?.();
  report();
}
process.exit(0);
