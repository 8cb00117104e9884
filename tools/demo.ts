/**
 * The main job, to look at: two devices sync through a relay that cannot read along, and three
 * watchers follow a real heart. `deno task demo` or `bun run demo`.
 *
 * @module
 */
import process from "node:process";
import { startRelay } from "../main.ts";
import {
  BlazePair,
  EcgClient,
  type FieldsInput,
  type PairCollection,
  type PairIncoming,
  type Sent,
  Version,
} from "../src/client/mod.ts";
import type { Accept } from "../src/link/link.ts";
import { hex } from "../src/wire/bytes.ts";
import { FrameType, frameType } from "../src/wire/blaze/blaze_frame.ts";
import { readArgs } from "./args.ts";
import { bug, longBug, SEED_SIZES, sizes } from "./demo/bug.ts";
import { recording, strip } from "./demo/demo_recording.ts";
import { say } from "./say.ts";

readArgs({
  command: "demo",
  about:
    "Starts a relay on a free port of this machine, lets two devices sync a bug record through it,\n" +
    "plays four seconds of a real ECG to three watchers, and ends.",
  flags: {},
});

const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
const [bold, dim, green, yellow] = [paint(1), paint(2), paint(32), paint(33)];

/** The operations that have passed the relay, as it saw them. */
const seen: Uint8Array[] = [];

const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" }, { wrap: watched });
say(`${bold(`\nBlaze Relay on ${relay.runtime}`)} ${dim(relay.url)}`);
try {
  await sync();
  await table();
  await heart();
} finally {
  await relay.stop();
}
say(green("\nAll of it arrived.\n"));
process.exit(0);

/** A session whose incoming Blaze operations are noted. */
function watched(accept: Accept): Accept {
  return (link) => {
    const events = accept(link);
    return {
      message(message) {
        if (message[0] === 0xbf && frameType(message) === FrameType.operation) {
          seen.push(message.slice());
        }
        events.message(message);
      },
      text: () => events.text(),
      drained: () => events.drained(),
      closed: (code, reason) => events.closed(code, reason),
    };
  };
}

async function sync(): Promise<void> {
  say(bold("\nTwo devices, one database, end to end encrypted\n"));
  // Each device shows six digits. Here the program compares them, as two people would.
  const screens = [Promise.withResolvers<string>(), Promise.withResolvers<string>()] as const;
  const [phone, laptop] = screens.map((screen, i) =>
    BlazePair.open({
      url: relay.url,
      database: "bugs",
      confirm: async (code) => {
        screen.resolve(code);
        return code === await screens[1 - i]!.promise;
      },
    })
  ) as [BlazePair, BlazePair];
  const [seenByPhone, seenByLaptop] = await Promise.all([phone.ready, laptop.ready]);
  say(
    `  phone shows  ${bold(seenByPhone.code)}   laptop shows ${bold(seenByLaptop.code)}    ${
      dim("the same, so nobody sits in between")
    }`,
  );
  const [atPhone, atLaptop] = [phone[Symbol.asyncIterator](), laptop[Symbol.asyncIterator]()];
  const { id, ...fields } = bug;
  await step(
    "phone",
    "insert",
    fields,
    (bugs) => bugs.insert(fields, id),
    phone,
    "laptop",
    atLaptop,
  );
  const changes = { status: "closed", priority: 1 };
  await step(
    "laptop",
    "update",
    changes,
    (bugs) => bugs.update(id, changes),
    laptop,
    "phone",
    atPhone,
  );
  await step("phone", "delete", {}, (bugs) => bugs.delete(id), phone, "laptop", atLaptop);
  phone.close();
  laptop.close();
}

/** One operation: what was sent, what the relay saw of it, and what arrived. */
async function step(
  sender: string,
  kind: string,
  changes: FieldsInput,
  act: (bugs: PairCollection) => Promise<Sent>,
  device: BlazePair,
  receiver: string,
  arrivals: AsyncIterator<PairIncoming>,
): Promise<void> {
  const since = performance.now();
  const { plainLength, wireLength } = await act(device.collection("bugs"));
  const { operation } = (await arrivals.next()).value as PairIncoming;
  const took = performance.now() - since;
  const wire = seen.at(-1)!;
  const line = (who: string, what: string, note: string) =>
    say(`  ${who.padEnd(13)}${what}  ${dim(note)}`);
  say();
  const [sent, got] = [describe(kind, changes), describe(operation.kind, operation.changes)];
  line(bold(`${sender} sent`), cut(sent), `${plainLength} bytes`);
  line("relay saw", yellow(`${hex(wire.subarray(0, 42))}…`), `${wireLength} bytes`);
  line(bold(`${receiver} got`), cut(got), `${took.toFixed(1)} ms`);
  if (sent !== got) throw new Error("something else arrived");
  const plain = new TextEncoder().encode(bug.title);
  if (hex(wire).includes(hex(plain))) throw new Error("the relay could read the title");
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
