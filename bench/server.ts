/**
 * One server in a process of its own: `server.ts ours`, `server.ts disk FILE` or `server.ts bare`.
 *
 * Prints one line of JSON once it listens, and one more for each line that it reads.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { startRelay } from "../main.ts";
import { limits } from "../src/limits.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { startBare } from "./bare.ts";

/** What a server says of itself. Sizes in bytes, times in milliseconds since it started. */
export interface Report {
  readonly port: number;
  readonly rss: number;
  /** Processor time of user and system. */
  readonly cpu: number;
}

/** A load that no device may bring: no rate, no silence and no crowd ends a link, no log is full. */
const lifted = {
  messagesPerSecond: 0,
  bytesPerSecond: 0,
  bufferedBytes: 1024 ** 3,
  idleSeconds: 0,
  links: 100_000,
  linksPerAddress: 100_000,
  logBytes: 1e12,
  tenantLogBytes: 1e12,
};

const [which, file] = process.argv.slice(2);

/** With logs in memory, or in a file. */
const ours = async () => {
  const store = which === "disk" &&
    await openSqlite({ path: file!, limits: limits(lifted) });
  const options = { limits: lifted, ...(store && { store }) };
  return (await startRelay({ host: "127.0.0.1", port: 0, token: "" }, options)).port;
};

const port = which === "bare" ? startBare() : await ours();

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
