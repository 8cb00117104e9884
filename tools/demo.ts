/**
 * The main job, to look at: two devices that are never there together sync through a relay that cannot
 * read what it keeps, and three watchers follow a real heart. `deno task demo` or `bun run demo`.
 *
 * @module
 */
import process from "node:process";
import { startRelay } from "../main.ts";
import {
  BlazeGroup,
  BlazePair,
  EcgClient,
  type FieldsInput,
  memoryStorage,
  Version,
} from "../src/client/mod.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import type { Append, LogName } from "../src/store/store.ts";
import { type Bytes, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { FrameType, frameType } from "../src/wire/blaze/blaze_frame.ts";
import { readArgs } from "./args.ts";
import { bug, longBug, SEED_SIZES, sizes } from "./demo/bug.ts";
import { recording, strip } from "./demo/demo_recording.ts";
import { say } from "./say.ts";

readArgs({
  command: "demo",
  about:
    "Starts a relay on a free port of this machine, lets two devices sync through it that are never\n" +
    "there together, plays four seconds of a real ECG to three watchers, and ends.",
  flags: {},
});

const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
const [bold, dim, green, yellow] = [paint(1), paint(2), paint(32), paint(33)];

/** What devices gave the relay to keep, as it got it. */
const kept: Bytes[] = [];

class Watched extends MemoryStore {
  override append(log: LogName, append: Append) {
    kept.push(append.frame.slice());
    return super.append(log, append);
  }
}

const store = new Watched(host, limits());
const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" }, { store });
say(`${bold(`\nBlaze Relay on ${relay.runtime}`)} ${dim(relay.url)}`);
try {
  await group();
  await pair();
  await table();
  await heart();
} finally {
  await relay.stop();
}
say(green("\nAll of it arrived.\n"));
process.exit(0);

function line(who: string, what: string, note: string, shown = bold): void {
  say(`  ${shown(who.padEnd(13))}${what}  ${dim(note)}`);
}

async function group(): Promise<void> {
  say(bold("\nTwo devices, one database, never there together\n"));
  const { url } = relay;
  const storage = memoryStorage();
  const phone = BlazeGroup.create({ url, database: "bugs", name: "phone" });
  const invited = BlazeGroup.open({
    url,
    storage,
    name: "laptop",
    invitation: await phone.invite(),
  });
  await invited.ready;
  await invited.close();
  say(`  The laptop was let in with an invitation, and has gone.\n`);

  const bugs = phone.collection("bugs");
  const { id, ...fields } = bug;
  const changes = { status: "closed", priority: 1 };
  await wrote(phone, describe("insert", fields), () => bugs.insert(fields, id));
  await wrote(phone, describe("update", changes), () => bugs.update(id, changes));
  const { mailbox } = phone.counts;
  const there = bugs.get(id)!;
  await phone.close();
  const bytes = kept.reduce((sum, frame) => sum + frame.length, 0);
  say(
    `\n  The phone has gone: nobody is here. The relay keeps ${mailbox} changes that nobody else has,`,
  );
  say(`  ${kept.length} sealed entries and ${bytes.toLocaleString("en")} bytes in all.\n`);

  const since = performance.now();
  const laptop = BlazeGroup.open({ url, storage });
  let left = mailbox;
  for await (const { operation } of laptop) {
    const took = `${(performance.now() - since).toFixed(0)} ms after it came`;
    line("laptop got", cut(describe(operation.kind, operation.changes)), took);
    if (--left === 0) break;
  }
  const here = laptop.collection("bugs").get(id)!;
  if (describe("", here) !== describe("", there)) throw new Error("the records differ");
  await laptop.close();
}

/** One change: what was written, and what the relay keeps of it. */
async function wrote(
  phone: BlazeGroup,
  what: string,
  act: () => Promise<{ plainLength: number }>,
): Promise<void> {
  const before = kept.length;
  const { plainLength } = await act();
  await phone.sent();
  const wire = kept.slice(before).find((frame) => frameType(frame) === FrameType.operation)!;
  line("phone wrote", cut(what), `${plainLength} bytes`);
  line("relay keeps", yellow(`${hex(wire.subarray(0, 42))}…`), `${wire.length} bytes`, String);
  if (hex(wire).includes(hex(utf8Bytes(bug.title)))) throw new Error("the relay could read it");
}

async function pair(): Promise<void> {
  say(bold("\nOr two devices that compare six digits, and are there together\n"));
  // Here the program compares, as two people would.
  const screens = [Promise.withResolvers<string>(), Promise.withResolvers<string>()] as const;
  const [phone, laptop] = screens.map((screen, i) =>
    BlazePair.open({
      url: relay.url,
      database: "notes",
      confirm: async (code) => {
        screen.resolve(code);
        return code === await screens[1 - i]!.promise;
      },
    })
  ) as [BlazePair, BlazePair];
  const arrivals = laptop[Symbol.asyncIterator]();
  const codes = await Promise.all([phone.ready, laptop.ready]);
  const [atPhone, atLaptop] = codes.map(({ code }) => bold(code));
  say(`  phone shows  ${atPhone}   laptop shows ${atLaptop}   ${dim("nobody sits in between")}`);
  const since = performance.now();
  await phone.collection("notes").insert({ text: "hello" });
  const { operation } = (await arrivals.next()).value!;
  const took = `${(performance.now() - since).toFixed(1)} ms`;
  line("laptop got", describe(operation.kind, operation.changes), took);
  phone.close();
  laptop.close();
}

function describe(kind: string, changes: FieldsInput): string {
  return `${kind} ${JSON.stringify(Object.fromEntries(Object.entries(changes).sort()))}`;
}

function cut(text: string): string {
  return text.length > 84 ? `${text.slice(0, 83)}…` : text;
}

async function table(): Promise<void> {
  const [short, long] = [await sizes(bug), await sizes(longBug)];
  const row = (name: string, ...cells: (number | string)[]) =>
    say(`  ${name.padEnd(28)}${cells.map((cell) => String(cell).padStart(16)).join("")}`);
  say(bold("\nBytes for one insert\n"));
  row("", "the seed's claim", "a bug record", "a long one");
  row("the record itself", 165, short.record, long.record);
  row("REST with JSON / JSON alone", SEED_SIZES.json, short.json, long.json);
  row("gRPC", SEED_SIZES.grpc, "", "");
  row("frame, plain", SEED_SIZES.plain, short.plain, long.plain);
  row("frame, sealed", SEED_SIZES.sealed, short.sealed, long.sealed);
  row("frame, zstd and sealed", SEED_SIZES.compressed, short.compressed, long.compressed);
  say(dim("  One small record hardly compresses; the SDK compresses only where it helps."));
}

async function heart(): Promise<void> {
  const { signal, rate, lead } = recording();
  const [seconds, chunk] = [4, rate / 2];
  const count = seconds * rate / chunk;
  say(
    bold(`\nA real heart: MIT-BIH record 100, ${lead}, ${seconds} s at ${rate} Hz, live\n`),
  );
  for (const line of strip(signal.subarray(0, seconds * rate), 96)) say(`  ${green(line)}`);

  const monitor = EcgClient.open({ url: relay.url, stream: "bed-3" });
  const watchers = await Promise.all(
    [Version.V1, Version.V2, Version.V3].map(async (version) => {
      const client = EcgClient.open({ url: relay.url, stream: "bed-3", version });
      return { version, client, messages: await client.watch(), bytes: 0, latency: [] as number[] };
    }),
  );
  const sentAt: number[] = [];
  const following = Promise.all(watchers.map(async (watcher) => {
    for (let i = 0; i < count; i++) {
      const { value } = await watcher.messages.next();
      watcher.latency.push(performance.now() - sentAt[i]!);
      watcher.bytes += value.wireLength;
      const got = value.payload.signal as number[];
      for (let k = 0; k < chunk; k++) {
        if (got[k] !== signal[i * chunk + k]) throw new Error(`sample ${i * chunk + k} differs`);
      }
    }
  }));
  for (let i = 0; i < count; i++) {
    sentAt.push(performance.now());
    await monitor.publish({
      signal: signal.subarray(i * chunk, (i + 1) * chunk),
      sampling_rate: rate,
      lead,
      timestamp: Date.now() / 1000,
    }, { acknowledged: true });
    await new Promise((resolve) => setTimeout(resolve, 1000 * chunk / rate));
  }
  await following;
  say();
  for (const { version, latency, bytes, client } of watchers) {
    latency.sort((a, b) => a - b);
    const [middle, worst] = [latency[latency.length >> 1]!, latency.at(-1)!];
    say(
      `  V${version} watcher   ${seconds * rate} samples, every one equal   ${
        String(bytes).padStart(6)
      } bytes   ` + dim(`latency ${middle.toFixed(1)} ms, at most ${worst.toFixed(1)} ms`),
    );
    client.close();
  }
  const json = JSON.stringify([...signal.subarray(0, seconds * rate)]).length;
  say(
    dim(`  as JSON       the samples alone                  ${String(json).padStart(6)} bytes`),
  );
  monitor.close();
}
