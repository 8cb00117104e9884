/**
 * Fan-out with a log and without, in one relay and one run: the same members send the same operations,
 * appended to a log that all have open, or passed on only.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { sequencedMessage } from "../src/wire/blaze/sequenced.ts";
import { concat } from "../src/wire/bytes.ts";
import type { Child } from "./child.ts";
import { type Client, fromServer, joinAll, masked, operation, quiet } from "./client.ts";
import { median, quantile, short } from "./table.ts";

/** Groups in which one member writes and the others listen. */
interface LogCase {
  readonly name: string;
  readonly groups: number;
  readonly listeners: number;
  /** Bytes of payload in each Operation frame. */
  readonly payload: number;
  /** Messages that are written at once, and such bursts that may be under way. */
  readonly burst: number;
  readonly bursts: number;
}

const CASES: readonly LogCase[] = [
  { name: "1 to 20, 200 B", groups: 1, listeners: 20, payload: 200, burst: 32, bursts: 8 },
  { name: "1 to 100, 200 B", groups: 1, listeners: 100, payload: 200, burst: 32, bursts: 4 },
  { name: "1 to 100, 16 KiB", groups: 1, listeners: 100, payload: 16_384, burst: 2, bursts: 4 },
  { name: "50 groups of 5, 200 B", groups: 50, listeners: 4, payload: 200, burst: 8, bursts: 4 },
  {
    name: "50 groups of 5, 16 KiB",
    groups: 50,
    listeners: 4,
    payload: 16_384,
    burst: 1,
    bursts: 2,
  },
];

const ROUNDS = 7;
/** Rounds that do not count. */
const WARM_UP = 3;
/** With and without take turns within a round. */
const TURNS = 3;
const TURN_MS = 100;
/** Time without a delivery after which a turn has lost some. */
const LOST_MS = 5_000;

/** What was done in one round, or in one turn of it. */
interface Done {
  readonly deliveries: number;
  /** Milliseconds, of the clock and of the relay's processor time. */
  readonly time: number;
  readonly cpu: number;
}

let logs = 0;

/** Opens a log that nobody has opened: a number makes its id. */
const openMessage = (log: number): Uint8Array => {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(0, log + 1);
  const nothing = new Uint8Array(8);
  const key = new Uint8Array(32);
  const from = { ring: nothing, sequence: 0n, check: nothing };
  const payload = encodeExtension({ subtype: "open", log: id, key, ...from });
  return masked(encodeFrame({ type: FrameType.extension, payload }));
};

class LogGroup {
  readonly #burst: Record<"on" | "off", Uint8Array>;
  readonly #bytes: Record<"on" | "off", number>;
  #mode: "on" | "off" = "off";
  #running = false;
  #sent = 0;
  #received = 0;

  constructor(
    private readonly author: Client,
    private readonly listeners: readonly Client[],
    private readonly one: LogCase,
  ) {
    const frame = operation(one.payload);
    const append = sequencedMessage(0n, frame);
    const burst = (message: Uint8Array) => concat(...Array(one.burst).fill(masked(message)));
    this.#burst = { on: burst(append), off: burst(frame) };
    // Only those who listen are counted: an author gets answers as well, joined as they come.
    const bytes = (message: Uint8Array) => fromServer(message.length) * listeners.length;
    this.#bytes = { on: bytes(append), off: bytes(frame) };
    for (const client of listeners) {
      client.onBytes = (count) => {
        this.#received += count;
        if (this.#running) this.#fill();
      };
    }
  }

  /** Of a log its author reads every entry too. */
  get deliveries(): number {
    const readers = this.listeners.length + (this.#mode === "on" ? 1 : 0);
    return this.#received / this.#bytes[this.#mode] * readers;
  }

  get missing(): number {
    return this.#sent - this.#received / this.#bytes[this.#mode];
  }

  open(): void {
    const message = openMessage(logs++);
    for (const client of [this.author, ...this.listeners]) client.send(message);
  }

  reset(): void {
    this.#sent = this.#received = 0;
  }

  start(mode: "on" | "off"): void {
    this.reset();
    this.#mode = mode;
    this.#running = true;
    this.#fill();
  }

  stop(): void {
    this.#running = false;
  }

  #fill(): void {
    const { burst, bursts } = this.one;
    const each = this.#bytes[this.#mode];
    while ((this.#sent + burst) * each - this.#received <= burst * bursts * each) {
      this.author.send(this.#burst[this.#mode]);
      this.#sent += burst;
    }
  }
}

async function turn(child: Child, groups: readonly LogGroup[], mode: "on" | "off"): Promise<Done> {
  const { cpu } = await child.report();
  const since = performance.now();
  for (const group of groups) group.start(mode);
  await delay(TURN_MS);
  for (const group of groups) group.stop();
  const missing = () => sum(groups.map((group) => group.missing));
  let [before, changed] = [missing(), performance.now()];
  while (before > 0) {
    await delay(1);
    const now = missing();
    if (now !== before) [before, changed] = [now, performance.now()];
    else if (performance.now() - changed > LOST_MS) throw new Error(`${now} were lost`);
  }
  const time = performance.now() - since;
  const deliveries = sum(groups.map((group) => group.deliveries));
  return { deliveries, time, cpu: (await child.report()).cpu - cpu };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const rate = ({ deliveries, time }: Done): number => deliveries / time * 1000;
const cpuRate = ({ deliveries, cpu }: Done): number => deliveries / cpu;

const add = (a: Done, b: Done): Done => ({
  deliveries: a.deliveries + b.deliveries,
  time: a.time + b.time,
  cpu: a.cpu + b.cpu,
});

/** Runs one case. Answers its row: deliveries a second, and ratios round by round. */
async function runCase(child: Child, one: LogCase): Promise<string[]> {
  const size = one.listeners + 1;
  const clients = await joinAll(Array.from({ length: one.groups * size }, (_, i) => ({
    port: child.port,
    database: `log-${one.name.length}-${one.payload}-${Math.floor(i / size)}`,
    handshake: true,
  })));
  const groups = Array.from({ length: one.groups }, (_, i) => {
    const [author, ...listeners] = clients.slice(i * size, (i + 1) * size);
    return new LogGroup(author!, listeners, one);
  });
  const rounds: { on: Done; off: Done }[] = [];
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    for (const group of groups) group.open();
    await quiet(clients, 50);
    const done = {
      on: { deliveries: 0, time: 0, cpu: 0 },
      off: { deliveries: 0, time: 0, cpu: 0 },
    };
    for (let j = 0; j < TURNS; j++) {
      for (const mode of ["on", "off"] as const) {
        done[mode] = add(done[mode], await turn(child, groups, mode));
      }
    }
    if (i >= WARM_UP) rounds.push(done);
  }
  for (const client of clients) client.leave();
  const ratios = rounds.map(({ on, off }) => rate(on) / rate(off));
  const busy = ({ cpu, time }: Done) => cpu / time;
  return [
    one.name,
    short(median(rounds.map(({ on }) => rate(on)))),
    short(median(rounds.map(({ off }) => rate(off)))),
    median(ratios).toFixed(2),
    [0.25, 0.75].map((share) => quantile(ratios, share).toFixed(2)).join(" … "),
    median(rounds.map(({ on, off }) => cpuRate(on) / cpuRate(off))).toFixed(2),
    `${Math.round(100 * median(rounds.map(({ on }) => busy(on))))} %`,
  ];
}

export const LOG_COLUMNS = ["", "logged/s", "passed on/s", "ratio", "quartiles", "per CPU", "busy"];

/** Rows of {@linkcode LOG_COLUMNS} for one relay. */
export async function logFanout(child: Child): Promise<string[][]> {
  const rows: string[][] = [];
  for (const one of CASES) rows.push(await runCase(child, one));
  return rows;
}
