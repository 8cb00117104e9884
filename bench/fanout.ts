/**
 * Fan-out: our relay against a bare server of the same runtime.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Child, startChild, type Which } from "./child.ts";
import { type Client, fromServer, joinAll, masked, operation } from "./client.ts";
import { concat } from "../src/wire/bytes.ts";
import { median, print, quantile, short, title } from "./table.ts";

/** Who talks to whom, and how much. */
interface Scenario {
  readonly name: string;
  readonly groups: number;
  readonly listeners: number;
  /** Members of a group that publish; a publisher hears the other publishers too. */
  readonly publishers: number;
  /** Bytes of payload in each Operation frame. */
  readonly payload: number;
  /** Messages that a publisher writes at once. */
  readonly burst: number;
  /** Bursts of a publisher that may be under way. */
  readonly bursts: number;
}

const one = { groups: 1, listeners: 100, publishers: 1 };
const many = { groups: 50, listeners: 0, publishers: 5 };
const SCENARIOS: readonly Scenario[] = [
  { name: "1 to 100, 200 B", ...one, payload: 200, burst: 32, bursts: 4 },
  { name: "1 to 100, 16 KiB", ...one, payload: 16_384, burst: 2, bursts: 4 },
  { name: "50 groups of 5, 200 B", ...many, payload: 200, burst: 8, bursts: 2 },
  { name: "50 groups of 5, 16 KiB", ...many, payload: 16_384, burst: 1, bursts: 2 },
];

const ROUNDS = 9;
/** Rounds that do not count: the compilers need some seconds to find out what is hot. */
const WARM_UP = 3;
/** Both servers take turns within a round too, since a busy machine changes its mood in no time. */
const TURNS = 5;
const TURN_MS = 100;
/** Time without a single delivery after which the rest counts as lost. */
const LOST_MS = 2_000;

/** What one server did in one round, or in one turn of it. */
interface Work {
  readonly deliveries: number;
  readonly lost: number;
  /** Milliseconds, of the clock and of the server's processor time. */
  readonly time: number;
  readonly cpu: number;
}

/** Deliveries per second. */
const rate = ({ deliveries, time }: Work): number => deliveries / time * 1000;
/** Deliveries per second of the server's processor time. */
const cpuRate = ({ deliveries, cpu }: Work): number => deliveries / cpu * 1000;

/** Members of one group, with a window of messages under way. */
class Group {
  #sent = 0;
  #received = 0;
  #running = false;
  readonly #burst: Uint8Array;
  /** Bytes that one message of a publisher becomes. */
  readonly #spread: number;

  constructor(private readonly clients: readonly Client[], private readonly scenario: Scenario) {
    const message = operation(scenario.payload);
    this.#burst = concat(...Array(scenario.burst).fill(masked(message)));
    this.#spread = fromServer(message.length) * (clients.length - 1);
    for (const client of clients) {
      client.onBytes = (count) => {
        this.#received += count;
        if (this.#running) this.#fill();
      };
    }
  }

  get deliveries(): number {
    return this.#received / this.#spread * (this.clients.length - 1);
  }

  /** Deliveries that have not arrived; negative when there were more than sent. */
  get missing(): number {
    return this.#sent * (this.clients.length - 1) - this.deliveries;
  }

  get idle(): boolean {
    return this.#received >= this.#sent * this.#spread;
  }

  start(): void {
    this.#sent = this.#received = 0;
    this.#running = true;
    this.#fill();
  }

  stop(): void {
    this.#running = false;
  }

  /** Every publisher sends, as long as the whole answer to it fits the window. */
  #fill(): void {
    const { publishers, burst, bursts } = this.scenario;
    const step = publishers * burst;
    while ((this.#sent + step) * this.#spread - this.#received <= bursts * step * this.#spread) {
      for (let i = 0; i < publishers; i++) this.clients[i]!.send(this.#burst);
      this.#sent += step;
    }
  }
}

/** Both servers with the members of a scenario. */
class Side {
  readonly #groups: readonly Group[];

  private constructor(
    private readonly child: Child,
    private readonly clients: readonly Client[],
    scenario: Scenario,
  ) {
    const size = scenario.listeners + scenario.publishers;
    this.#groups = Array.from(
      { length: scenario.groups },
      (_, i) => new Group(clients.slice(i * size, (i + 1) * size), scenario),
    );
  }

  static async start(which: Which, scenario: Scenario): Promise<Side> {
    const child = await startChild(which);
    const size = scenario.listeners + scenario.publishers;
    const places = Array.from({ length: scenario.groups * size }, (_, i) => ({
      port: child.port,
      database: `bench-${Math.floor(i / size)}`,
      handshake: which === "ours",
    }));
    return new Side(child, await joinAll(places), scenario);
  }

  async turn(): Promise<Work> {
    const before = await this.child.report();
    const since = performance.now();
    for (const group of this.#groups) group.start();
    await delay(TURN_MS);
    for (const group of this.#groups) group.stop();
    await this.#drained();
    const time = performance.now() - since;
    return {
      deliveries: sum(this.#groups.map((group) => group.deliveries)),
      lost: sum(this.#groups.map((group) => Math.abs(group.missing))),
      time,
      cpu: (await this.child.report()).cpu - before.cpu,
    };
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.leave();
    await this.child.stop();
  }

  /** Waits for what is under way, as long as anything still arrives. */
  async #drained(): Promise<void> {
    const received = () => sum(this.clients.map((client) => client.received));
    let [before, since] = [received(), performance.now()];
    while (!this.#groups.every((group) => group.idle) && performance.now() - since < LOST_MS) {
      await delay(1);
      const now = received();
      if (now !== before) [before, since] = [now, performance.now()];
    }
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** One after the other, turn by turn. */
async function round(sides: readonly Side[]): Promise<Work[]> {
  const work: Work[] = sides.map(() => ({ deliveries: 0, lost: 0, time: 0, cpu: 0 }));
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [i, side] of sides.entries()) work[i] = add(work[i]!, await side.turn());
  }
  return work;
}

const add = (a: Work, b: Work): Work => ({
  deliveries: a.deliveries + b.deliveries,
  lost: a.lost + b.lost,
  time: a.time + b.time,
  cpu: a.cpu + b.cpu,
});

/** Runs all scenarios and prints their table. Answers false when a delivery was lost. */
export async function fanout(): Promise<boolean> {
  title(
    "Fan-out: ours against a bare server of the same runtime",
    `Median of ${ROUNDS} interleaved rounds, with quartiles; ratios are taken round by round. "busy" is`,
    "the server's processor time over the clock's: far below 100 % something else set the pace, the",
    'load or other work on this machine, and "per CPU second" is the figure to compare.',
  );
  const rows: string[][] = [];
  let lost = 0;
  for (const scenario of SCENARIOS) {
    const sides = [await Side.start("ours", scenario), await Side.start("bare", scenario)];
    for (let i = 0; i < WARM_UP; i++) await round(sides);
    const rounds: Work[][] = [];
    while (rounds.length < ROUNDS) rounds.push(await round(sides));
    for (const side of sides) await side.stop();
    lost += sum(rounds.flat().map((work) => work.lost));
    rows.push(...describe(scenario.name, rounds));
  }
  print(["", "server", "deliveries/s", "quartiles", "busy", "per CPU second"], rows);
  if (lost > 0) console.error(`\n  ${Math.round(lost)} deliveries were lost or came twice`);
  return lost === 0;
}

function describe(name: string, rounds: readonly (readonly Work[])[]): string[][] {
  const server = (word: string, works: readonly Work[]) => {
    const busy = median(works.map(({ cpu, time }) => cpu / time));
    const rates = works.map(rate);
    const cells = [short(median(rates)), quartiles(rates, short), `${Math.round(100 * busy)} %`];
    return [word, ...cells, short(median(works.map(cpuRate)))];
  };
  const ratios = (of: (work: Work) => number) => rounds.map(([our, bare]) => of(our!) / of(bare!));
  const two = (value: number) => value.toFixed(2);
  const wall = ratios(rate);
  return [
    [name, ...server("ours", rounds.map(([our]) => our!))],
    ["", ...server("bare", rounds.map(([, bare]) => bare!))],
    ["", "ratio", two(median(wall)), quartiles(wall, two), "", two(median(ratios(cpuRate)))],
  ];
}

const quartiles = (values: readonly number[], show: (value: number) => string): string =>
  `${show(quantile(values, 0.25))} … ${show(quantile(values, 0.75))}`;
