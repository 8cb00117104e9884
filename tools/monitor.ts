/**
 * The performance monitor: latency, rate, losses and sizes of a live stream.
 *
 * @module
 */
import process from "node:process";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { fail, readArgs } from "./args.ts";
import { interrupted } from "./interrupt.ts";
import { StreamWatch } from "./stream_watch.ts";

const { flags } = readArgs({
  command: "monitor [flags]",
  about: "Watches a stream: how late its messages come, how many, how large, and what is missing.",
  flags: {
    url: { help: "the relay", fallback: "ws://127.0.0.1:8080" },
    stream: { help: "name of the stream", fallback: "demo" },
    token: {
      help: "token, if the relay wants one; TOKEN in the environment does too",
      fallback: "",
    },
    every: { help: "seconds between lines", fallback: 5 },
    seconds: { help: "end after so many; 0 goes on", fallback: 0 },
    slow: { help: "report messages later than so many milliseconds; 0 reports none", fallback: 0 },
    json: { help: "lines of JSON" },
  },
});
if (!(flags.every > 0)) fail(`--every ${flags.every}: want more than 0 seconds.`);

const token = flags.token || process.env.TOKEN;
const client = EcgClient.open({
  url: flags.url,
  stream: flags.stream,
  ...(token ? { token } : {}),
});
client.onStatus((status) => {
  if (status.kind === "offline") console.error(`offline (${status.code} ${status.reason})`);
  if (status.kind === "fault") {
    console.error(`fault 0x${status.code.toString(16)}: ${status.message}`);
  }
});
const watch = new StreamWatch();
const began = performance.now();
const timer = setInterval(() => void report(), 1000 * flags.every);
const stop = () => {
  clearInterval(timer);
  client.close();
};
interrupted().addEventListener("abort", stop);
if (flags.seconds > 0) setTimeout(stop, 1000 * flags.seconds);

try {
  for await (const message of await client.watch()) {
    const late = watch.take(message, Date.now());
    if (flags.slow > 0 && late !== undefined && late > flags.slow) {
      console.error(
        `slow: ${watch.typeName(message.type)} came ${late.toFixed(0)} ms after it was sent`,
      );
    }
  }
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
}
show("in all", watch.total());
process.exit(0);

async function report(): Promise<void> {
  const since = performance.now();
  const trip = await Promise.race([
    client.ping().then(() => performance.now() - since, () => undefined),
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 2_000)),
  ]);
  show(`${((performance.now() - began) / 1000).toFixed(0)} s`.padStart(7), watch.lap(), trip);
}

function show(title: string, lap: ReturnType<StreamWatch["lap"]>, trip?: number): void {
  if (flags.json) return console.log(JSON.stringify({ ...lap, roundTripMs: trip ?? null }));
  const ms = (value: number) => Number.isFinite(value) ? `${value.toFixed(1)}` : "–";
  const { messages, perSecond, bytesPerSecond, latency, gap, lost, alarms, trouble } = lap;
  console.log(
    `${title}  ${messages} messages, ${perSecond.toFixed(1)}/s, ${
      (bytesPerSecond / 1024).toFixed(1)
    } KiB/s · ` +
      `latency ms p50 ${ms(latency.p50)} p95 ${ms(latency.p95)} p99 ${ms(latency.p99)} max ${
        ms(latency.max)
      } · ` +
      `longest pause ${ms(gap)} ms · lost ${lost} samples · ${alarms} alarms` +
      (trip === undefined ? "" : ` · round trip ${ms(trip)} ms`) + (trouble ? ` · ${trouble}` : ""),
  );
}
