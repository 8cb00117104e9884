/**
 * Figures of the ECG protocol: sizes and times of five encodings, messages a core passes on, and how
 * late alarms come to a slow reader.
 *
 * Figures of the relay are of this process, with memory links in place of sockets; those of alarms go
 * through real sockets and a proxy. `RECORDINGS` names a folder with longer recordings.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
import process from "node:process";
import { EcgClient } from "../src/client/mod.ts";
import { Channels } from "../src/channel/channels.ts";
import { limits } from "../src/limits.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { host } from "../src/host.ts";
import { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { MessageType, Version } from "../src/wire/ecg/codes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { packSamples, unpackSamples } from "../src/wire/ecg/samples.ts";
import { physical } from "../src/wire/ecg/scale.ts";
import { everything } from "../test/kit/blaze.ts";
import { type Recording, recording } from "../test/kit/recordings.ts";
import { withRelay } from "../test/kit/relay.ts";
import { throttle } from "../test/kit/throttle.ts";

const { RECORDINGS } = process.env;
const folder = RECORDINGS
  ? pathToFileURL(`${RECORDINGS}/`)
  : new URL("../test/data/ecg/", import.meta.url);

const row = (...cells: unknown[]) =>
  console.log(
    cells.map((one, i) => i ? String(one).padStart(13) : String(one).padEnd(30)).join(""),
  );

/**
 * Microseconds a call takes, the shortest of many rounds: whatever else runs on the machine only adds.
 * The candidates take turns.
 */
function micros<Name extends string>(runs: Record<Name, () => unknown>): Record<Name, string> {
  const entries = Object.entries<() => unknown>(runs);
  const best = new Map<string, number>();
  for (let round = 0; round < 60; round++) {
    for (const [name, run] of entries) {
      const since = performance.now();
      for (let i = 0; i < 100; i++) run();
      best.set(name, Math.min(best.get(name) ?? Infinity, (performance.now() - since) * 10));
    }
  }
  return Object.fromEntries([...best].map(([name, us]) => [name, us.toFixed(1)])) as Record<
    Name,
    string
  >;
}

function sizes(whole: Recording): void {
  const { sampling_rate: rate, leads: scales } = whole.scale;
  console.log(`\n${whole.name}, ${rate} Hz: bytes of a message, one lead, mean (of JSON)\n`);
  row("lead, seconds", "JSON", "float list", "ndarray i16", "zlib floats", "packed");
  const message = (signal: unknown, compress = false) =>
    encode({
      version: Version.V3,
      type: MessageType.ECG_DATA,
      timestamp: 0n,
      payload: { signal, sampling_rate: rate },
    }, { compress }).length;
  for (const [i, lead] of whole.leads.entries()) {
    for (const seconds of [1, 4]) {
      const length = rate * seconds;
      const sums = [0, 0, 0, 0, 0];
      let chunks = 0;
      for (let from = 0; from + length <= lead.length; from += length, chunks++) {
        const raw = lead.slice(from, from + length);
        const values = physical(raw, scales[i]!);
        const plain = { __ndarray__: Int16Array.from(raw), dtype: "int16", shape: [length] };
        const lengths = [
          JSON.stringify({ signal: Array.from(values), sampling_rate: rate }).length,
          message(values),
          message(plain),
          message(values, true),
          encode({
            version: Version.V3,
            type: MessageType.ECG_DATA,
            timestamp: 0n,
            payload: { signal: packSamples(1, from, [raw]) },
          }).length,
        ];
        lengths.forEach((one, k) => sums[k]! += one);
      }
      const share = (sum: number) => `${Math.round(sum / chunks)} (${(sum / sums[0]!).toFixed(3)})`;
      row(`${scales[i]!.name}, ${seconds} s`, ...sums.map(share));
    }
  }
  const raw = whole.leads[0]!.slice(0, rate);
  const values = Array.from(physical(raw, scales[0]!));
  const json = JSON.stringify(values);
  const { data } = packSamples(1, 0, [raw]);
  const us = micros({
    pack: () => packSamples(1, 0, [raw]),
    stringify: () => JSON.stringify(values),
    unpack: () => unpackSamples(data),
    parse: () => JSON.parse(json),
  });
  console.log(
    `\none second in microseconds: pack ${us.pack}, JSON.stringify ${us.stringify}; ` +
      `unpack ${us.unpack}, JSON.parse ${us.parse}`,
  );
}

/** Messages a second through a session to one watcher, memory links, one core, the best round. */
function passing(): void {
  console.log(
    "\nmessages a second on one core, one publisher, one watcher, one second of one lead\n",
  );
  row("from, to", "V1", "V2", "V3");
  const whole = recording("mitdb100_20s");
  const raw = whole.leads[0]!.slice(0, 360);
  const scale = { ...whole.scale, leads: whole.scale.leads.slice(0, 1) };
  const payloads: Record<string, unknown> = {
    "floats": { signal: physical(raw, scale.leads[0]!), sampling_rate: 360 },
    "packed": { signal: packSamples(1, 0, [raw]), scale },
  };
  const cases = [
    ["floats V1", "floats", "V1", false],
    ["floats V2", "floats", "V2", false],
    ["floats V3", "floats", "V3", false],
    ["packed V3, watcher packed", "packed", "V3", true],
    ["packed V3, watcher floats", "packed", "V3", false],
  ] as const;
  for (const [name, kind, from, packed] of cases) {
    const rates = ([1, 2, 3] as const).map((to) => {
      const free = limits({ messagesPerSecond: 0, bytesPerSecond: 0 });
      const sessions = new EcgSessions(new Channels(), free, host);
      const monitor = new MemoryPeer(sessions.accept({ grant: everything, stream: "a" }));
      const watcher = new MemoryPeer(sessions.accept({ grant: everything, stream: "a" }));
      const say = (peer: MemoryPeer, version: Version, type: MessageType, payload: unknown) =>
        peer.send(encode({ version, type, timestamp: version === 3 ? 0n : null, payload }));
      const capabilities = packed ? ["packed-signal"] : [];
      say(watcher, to, MessageType.VERSION_CHECK, { version: to, capabilities });
      say(watcher, to, MessageType.SUBSCRIBE, {});
      say(watcher, to, MessageType.PONG, null);
      const version = Version[from];
      const message = encode({
        version,
        type: MessageType.ECG_DATA,
        timestamp: version === 3 ? 0n : null,
        payload: payloads[kind],
      });
      const run = (ms: number) => {
        let count = 0;
        const until = performance.now() + ms;
        while (performance.now() < until) {
          for (let i = 0; i < 20; i++, count++) monitor.send(message);
          if (watcher.received.some((one) => one[1] === MessageType.PING)) {
            say(watcher, to, MessageType.PONG, null);
          }
          watcher.received.length = 0;
        }
        return count / ms * 1000;
      };
      run(150);
      const rounds = Array.from({ length: 8 }, () => run(60));
      return Math.round(Math.max(...rounds)).toLocaleString("en");
    });
    row(name, ...rates);
  }
}

/** Alarms to a watcher behind a throttle, over real sockets. */
async function alarms(): Promise<void> {
  console.log("\nmilliseconds until an alarm arrives, 10 messages of 1 kB a second, 10 s\n");
  row("watcher's share of the rate", "p50", "p99", "alarms", "samples lost");
  for (const share of [0.1, 0.5, 2]) {
    await withRelay(async ({ url }) => {
      const proxy = await throttle({ url }, share * 10_500);
      const watcher = EcgClient.open({ url: proxy.url, stream: "a" });
      const monitor = EcgClient.open({ url, stream: "a" });
      const late: number[] = [];
      let lost = 0;
      watcher.onStatus((status) => {
        if (status.kind === "gap") lost += status.gap.samples;
      });
      const loop = await watcher.watch();
      const end = Promise.withResolvers<void>();
      void (async () => {
        for await (const { type, payload } of loop) {
          if (type !== MessageType.ANOMALY_ALERT) continue;
          const { at } = payload as { at: number };
          late.push(performance.now() - at);
          if (late.length === 50) end.resolve();
        }
      })();
      const noise = new Int16Array(340);
      for (let n = 0; n < 100; n++) {
        for (let i = 0; i < noise.length; i++) noise[i] = (n * 7919 + i * 104_729) % 32_749;
        await monitor.publish({ signal: Array.from(noise) });
        await new Promise((resolve) => setTimeout(resolve, 50));
        const at = performance.now();
        if (n % 2) await monitor.publish({ at }, { type: MessageType.ANOMALY_ALERT });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await end.promise;
      late.sort((a, b) => a - b);
      const of = (part: number) => late[Math.floor(part * (late.length - 1))]!.toFixed(0);
      row(share, of(0.5), of(0.99), late.length, lost);
      watcher.close();
      monitor.close();
      await proxy.stop();
    });
  }
}

/** Sizes and times, messages a second, alarms. */
export async function ecg(): Promise<void> {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".i16")).sort()) {
    sizes(recording(file.slice(0, -4), folder));
  }
  passing();
  await alarms();
}
