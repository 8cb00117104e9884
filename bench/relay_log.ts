/**
 * Logs: the same operations with and without a log in one relay, how soon an author hears that an entry
 * is safe, and how long a newcomer takes to read 10,000.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concat } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { type Child, startChild } from "./child.ts";
import { Client, fromServer, joinAll, masked, operation, quiet } from "./client.ts";
import { median, print, quantile, short, title } from "./table.ts";

const OPENERS = 20;
const PAYLOAD = 200;
/** Operations that are written at once, and that may be under way. */
const BURST = 32;
const WINDOW = 256;
const ROUND_MS = 500;
const ROUNDS = 7;
/** Rounds that do not count. */
const WARM_UP = 2;
const ACKS = 2_000;
const CATCH_UP = 10_000;

const FRAME = operation(PAYLOAD);
const extension = (payload: Uint8Array) => encodeFrame({ type: FrameType.extension, payload });
const append = extension(encodeExtension({ subtype: "sequenced", sequence: 0n, frame: FRAME }));
/** Bytes of the same operation as the relay sends it on. */
const PLAIN_BYTES = fromServer(FRAME.length);
const ENTRY_BYTES = fromServer(5 + 9 + FRAME.length);

let logs = 0;
const newLog = () => new Uint8Array(16).fill(++logs);
const open = (log: Uint8Array) =>
  masked(extension(encodeExtension({
    subtype: "open",
    log,
    key: new Uint8Array(32),
    ring: new Uint8Array(8),
    sequence: 0n,
    check: new Uint8Array(8),
  })));

/** Resolves once a client has so many bytes more. */
function more(client: Client, bytes: number): Promise<void> {
  const until = client.received + bytes;
  return new Promise((resolve) => {
    client.onBytes = () => {
      if (client.received < until) return;
      client.onBytes = () => {};
      resolve();
    };
  });
}

/** Operations a second that reach everybody. */
async function round(author: Client, openers: readonly Client[], logged: boolean): Promise<number> {
  const burst = concat(...Array(BURST).fill(masked(logged ? append : FRAME)));
  const each = (logged ? ENTRY_BYTES : PLAIN_BYTES) * openers.length;
  let [sent, received] = [0, 0];
  const since = performance.now();
  await new Promise<void>((resolve) => {
    const fill = () => {
      if (performance.now() - since < ROUND_MS) {
        while ((sent + BURST) - received / each <= WINDOW) {
          author.send(burst);
          sent += BURST;
        }
      } else if (received >= sent * each) resolve();
    };
    for (const client of openers) {
      client.onBytes = (count) => {
        received += count;
        fill();
      };
    }
    fill();
  });
  const rate = sent / (performance.now() - since) * 1000;
  for (const client of openers) client.onBytes = () => {};
  await quiet([author, ...openers]);
  return rate;
}

/** Milliseconds from an append to the end of its answer, one after the other. */
async function acks(author: Client): Promise<number[]> {
  // The entry, then `accepted`: count u32 and sequence u64.
  const bytes = ENTRY_BYTES + fromServer(5 + 13);
  const message = masked(append);
  const times: number[] = [];
  for (let i = 0; i < ACKS; i++) {
    const answered = more(author, bytes);
    const since = performance.now();
    author.send(message);
    await answered;
    times.push(performance.now() - since);
  }
  return times.slice(ACKS / 10);
}

/** Milliseconds in which a newcomer reads a log of {@linkcode CATCH_UP} operations. */
async function catchUp(port: number, author: Client): Promise<number> {
  const log = newLog();
  author.send(open(log));
  await quiet([author]);
  for (let sent = 0; sent < CATCH_UP; sent += 100) {
    const arrived = more(author, 100 * ENTRY_BYTES);
    author.send(concat(...Array(100).fill(masked(append))));
    await arrived;
  }
  await quiet([author]);
  const [newcomer] = await joinAll([{ port, database: "late", handshake: true }]);
  // `recovered` and `live` around the entries.
  const there = more(newcomer!, fromServer(5 + 58) + CATCH_UP * ENTRY_BYTES + fromServer(5 + 9));
  const since = performance.now();
  newcomer!.send(open(log));
  await there;
  const time = performance.now() - since;
  newcomer!.leave();
  return time;
}

/** What one relay does. */
interface Figures {
  readonly on: number;
  readonly off: number;
  readonly ratio: number;
  readonly p50: number;
  readonly p99: number;
  readonly reading: number;
}

async function measure(child: Child): Promise<Figures> {
  const { port } = child;
  const place = { port, database: "bench", handshake: true };
  const [author, ...openers] = await joinAll(Array(OPENERS + 1).fill(place)) as [Client];
  const rates: { on: number; off: number }[] = [];
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    const log = open(newLog());
    for (const client of [author, ...openers]) client.send(log);
    await quiet([author, ...openers]);
    const on = await round(author, openers, true);
    rates.push({ on, off: await round(author, openers, false) });
  }
  const counted = rates.slice(WARM_UP);
  author.send(open(newLog()));
  await quiet([author]);
  const times = await acks(author);
  const reading: number[] = [];
  for (let i = 0; i < 3; i++) reading.push(await catchUp(port, author));
  for (const client of [author, ...openers]) client.leave();
  return {
    on: median(counted.map(({ on }) => on)),
    off: median(counted.map(({ off }) => off)),
    ratio: median(counted.map(({ on, off }) => on / off)),
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    reading: median(reading),
  };
}

export async function relayLog(): Promise<void> {
  title(
    `Logs: one author, ${OPENERS} others, ${PAYLOAD} B`,
    `Median of ${ROUNDS} interleaved rounds; the ratio is taken round by round.`,
  );
  const folder = mkdtempSync(join(tmpdir(), "blaze-bench-"));
  const figures: Figures[] = [];
  try {
    for (const which of ["ours", "disk"] as const) {
      const child = await startChild(which, join(folder, "relay.db"));
      try {
        figures.push(await measure(child));
      } finally {
        await child.stop();
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const row = (what: string, show: (figures: Figures) => string) => [what, ...figures.map(show)];
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  print(["", "in memory", "on disk"], [
    row("operations/s, appended to a log", ({ on }) => short(on)),
    row("operations/s, passed on only", ({ off }) => short(off)),
    row("ratio", ({ ratio }) => ratio.toFixed(2)),
    row("append to `accepted`, p50", ({ p50 }) => ms(p50)),
    row("append to `accepted`, p99", ({ p99 }) => ms(p99)),
    row(`catch-up of ${CATCH_UP.toLocaleString("en")}`, ({ reading }) => ms(reading)),
  ]);
}
