/**
 * What it costs to keep a log on disk: entries a second, how long one waits to be safe, and what the
 * rest of the process notices of it; beside the same file on the main thread.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { host } from "../src/host.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { SqliteEngine } from "../src/store/sqlite_engine.ts";
import { openFile } from "../src/store/sqlite_file.ts";
import type { LogName, StoreLimits } from "../src/store/store.ts";
import { type Bytes, concatAll } from "../src/wire/bytes.ts";
import { print, quantile, short, title } from "./table.ts";

const FRAME_BYTES = 200;
const PACED_PER_SECOND = 1_000;
const PACED_MS = 4_000;
/** Appends on their way at once, where the engine is to be kept busy. */
const AT_ONCE = 500;
const BUSY_MS = 3_000;
const TICK_MS = 5;

const LOG: LogName = { tenant: "default", id: "a5".repeat(16) };
const KEY: Bytes = new Uint8Array(32);
const FOREVER_MS = 1e12;
const LIMITS: StoreLimits = {
  logBytes: 1e12,
  tenantLogBytes: 1e12,
  logGraceMs: FOREVER_MS,
  logIdleMs: FOREVER_MS,
  logClosedMs: FOREVER_MS,
};

/** One way to keep a log. */
interface Keeper {
  append(frame: Bytes): Promise<unknown>;
  close(): Promise<void> | void;
}

const ways: Readonly<Record<string, (path: string) => Promise<Keeper> | Keeper>> = {
  "in a worker": async (path) => {
    const store = await openSqlite({ path, limits: LIMITS });
    await store.open(LOG, KEY, true);
    return {
      append: async (frame) => await store.append(LOG, { frame, at: 0n, closing: false }),
      close: () => store.close(),
    };
  },
  "on the main thread": (path) => {
    const engine = new SqliteEngine(openFile(path), LIMITS);
    const now = Date.now();
    const open = { kind: "open", log: LOG, key: KEY, create: true } as const;
    engine.run({ requests: [open], frames: concatAll([]), now });
    let waiting: { frame: Bytes; done: () => void }[] = [];
    const commit = () => {
      const due = waiting;
      waiting = [];
      const requests = due.map(({ frame }) => {
        const lengths = [frame.length];
        return { kind: "append", log: LOG, lengths, at: 0, closing: false } as const;
      });
      engine.run({ requests, frames: concatAll(due.map(({ frame }) => frame)), now });
      for (const { done } of due) done();
    };
    return {
      append: (frame) =>
        new Promise<void>((done) => {
          if (waiting.push({ frame, done }) === 1) host.afterTurn(commit);
        }),
      close: () => engine.close(),
    };
  },
};

/** Runs something, and answers how late the ticks of this thread came meanwhile, in milliseconds. */
async function lagging(run: () => Promise<void>): Promise<number[]> {
  const late: number[] = [];
  let due = performance.now() + TICK_MS;
  const timer = setInterval(() => {
    late.push(Math.max(0, performance.now() - due));
    due = performance.now() + TICK_MS;
  }, TICK_MS);
  await run();
  clearInterval(timer);
  return late;
}

async function paced(keeper: Keeper, frame: Bytes): Promise<number[]> {
  const took: number[] = [];
  const all: Promise<void>[] = [];
  const began = performance.now();
  for (let sent = 0; performance.now() - began < PACED_MS;) {
    const due = (performance.now() - began) * PACED_PER_SECOND / 1_000;
    for (; sent < due; sent++) {
      const at = performance.now();
      all.push(keeper.append(frame).then(() => void took.push(performance.now() - at)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(all);
  return took;
}

/** Entries a second. */
async function busy(keeper: Keeper, frame: Bytes): Promise<number> {
  let count = 0;
  const began = performance.now();
  const one = async () => {
    for (; performance.now() - began < BUSY_MS; count++) await keeper.append(frame);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return count / (performance.now() - began) * 1_000;
}

export async function appends(): Promise<void> {
  title(
    "A log on disk",
    `Entries of ${FRAME_BYTES} B, SQLite with fsync at each commit. Paced: ${PACED_PER_SECOND} a second;`,
    `busy: ${AT_ONCE} on their way at once. Lag: how late a tick of the main thread comes.`,
  );
  const rows: string[][] = [];
  for (const [name, open] of Object.entries(ways)) {
    const folder = mkdtempSync(join(tmpdir(), "blaze-bench-"));
    const keeper = await open(join(folder, "relay.db"));
    const frame: Bytes = crypto.getRandomValues(new Uint8Array(FRAME_BYTES));
    try {
      await keeper.append(frame);
      let took: number[] = [];
      const late = await lagging(async () => {
        took = await paced(keeper, frame);
      });
      let rate = 0;
      const busyLate = await lagging(async () => {
        rate = await busy(keeper, frame);
      });
      const ms = (values: readonly number[], share: number) => quantile(values, share).toFixed(2);
      rows.push([
        ...[name, ms(took, 0.5), ms(took, 0.99), ms(late, 0.99), short(rate)],
        ms(busyLate, 0.99),
      ]);
    } finally {
      await keeper.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  print(["", "safe p50 ms", "p99 ms", "lag p99 ms", "busy: entries/s", "lag p99 ms"], rows);
}
