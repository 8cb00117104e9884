/**
 * Logs: fan-out with and without one, how soon an author hears that an entry is safe, and how long a
 * newcomer takes to read 10,000.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concat } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { sequencedMessage } from "../src/wire/blaze/sequenced.ts";
import { type Child, startChild } from "./child.ts";
import { Client, fromServer, joinAll, masked, operation, quiet } from "./client.ts";
import { LOG_COLUMNS, logFanout } from "./log_fanout.ts";
import { median, print, quantile, title } from "./table.ts";

const READERS = 20;
const PAYLOAD = 200;
const ACKS = 2_000;
const CATCH_UP = 10_000;

const FRAME = operation(PAYLOAD);
const extension = (payload: Uint8Array) => encodeFrame({ type: FrameType.extension, payload });
const append = sequencedMessage(0n, FRAME);
/** Bytes of an entry as the relay sends it on. */
const ENTRY_BYTES = fromServer(append.length);

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

/** What one relay does for one author. */
interface Figures {
  readonly p50: number;
  readonly p99: number;
  readonly reading: number;
}

async function measure(child: Child): Promise<Figures> {
  const { port } = child;
  const places = Array(READERS + 1).fill({ port, database: "bench", handshake: true });
  const clients = await joinAll(places);
  const [author] = clients as [Client];
  const log = open(newLog());
  for (const client of clients) client.send(log);
  await quiet(clients);
  const times = await acks(author);
  const reading: number[] = [];
  for (let i = 0; i < 3; i++) reading.push(await catchUp(port, author));
  for (const client of clients) client.leave();
  return {
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    reading: median(reading),
  };
}

export async function relayLog(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "blaze-bench-"));
  const figures: Figures[] = [];
  try {
    for (const which of ["ours", "disk"] as const) {
      const child = await startChild(which, join(folder, "relay.db"));
      try {
        title(
          `Fan-out with a log ${which === "ours" ? "in memory" : "on disk"}, and without`,
          "Deliveries a second in one relay, in turns; medians, ratios taken round by round. Of a log",
          "its author gets each entry too. Busy: the relay's processor time, of all its threads, over",
          "the clock's.",
        );
        print(LOG_COLUMNS, await logFanout(child));
        figures.push(await measure(child));
      } finally {
        await child.stop();
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  title(`Logs: one author, ${READERS} others, ${PAYLOAD} B`);
  const row = (what: string, show: (figures: Figures) => string) => [what, ...figures.map(show)];
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  print(["", "in memory", "on disk"], [
    row("append to `accepted`, p50", ({ p50 }) => ms(p50)),
    row("append to `accepted`, p99", ({ p99 }) => ms(p99)),
    row(`catch-up of ${CATCH_UP.toLocaleString("en")}`, ({ reading }) => ms(reading)),
  ]);
}
