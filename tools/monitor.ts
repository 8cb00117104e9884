/**
 * The performance monitor: latency, rate, losses and sizes of a live stream.
 *
 * @module
 */
import { fail, readArgs } from "./args.ts";
import { interrupted, leave } from "./interrupt.ts";
import { openStream, STREAM_FLAGS } from "./relay_flags.ts";
import { note, say } from "./say.ts";
import { StreamWatch } from "./stream_watch.ts";

const { flags } = readArgs({
  command: "monitor [flags]",
  about: "Watches a stream: how late its messages come, how many, how large, and what is missing.",
  flags: {
    ...STREAM_FLAGS,
    every: { help: "seconds between lines", fallback: 5, least: 0.1, most: 86_400 },
    seconds: { help: "end after so many; 0 goes on", fallback: 0, least: 0, most: 2_000_000 },
    slow: {
      help: "report messages later than so many milliseconds; 0 reports none",
      fallback: 0,
      least: 0,
    },
    json: { help: "lines of JSON" },
  },
});

const client = openStream(flags);
client.onStatus((status) => {
  if (status.kind === "offline") note(`offline (${status.code} ${status.reason})`);
  if (status.kind === "fault") note(`fault 0x${status.code.toString(16)}: ${status.message}`);
});
const watch = new StreamWatch();
const began = performance.now();
const timer = setInterval(() => void report(), 1000 * flags.every);
const stop = interrupted(flags.seconds);
stop.addEventListener("abort", () => {
  clearInterval(timer);
  client.close();
});

try {
  for await (const message of await client.watch()) {
    const late = watch.take(message, Date.now());
    if (flags.slow > 0 && late !== undefined && late > flags.slow) {
      note(
        `slow: ${watch.typeName(message.type)} came ${late.toFixed(0)} ms after it was sent`,
      );
    }
  }
} catch (error) {
  // Before it was online, our own end of it is an error too.
  if (!stop.aborted) fail(error instanceof Error ? error.message : String(error));
}
show("in all", watch.total());
leave();

async function report(): Promise<void> {
  const since = performance.now();
  const trip = await Promise.race([
    client.ping().then(() => performance.now() - since, () => undefined),
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 2_000)),
  ]);
  show(`${((performance.now() - began) / 1000).toFixed(0)} s`.padStart(7), watch.lap(), trip);
}

function show(title: string, lap: ReturnType<StreamWatch["lap"]>, trip?: number): void {
  if (flags.json) return say(JSON.stringify({ ...lap, roundTripMs: trip ?? null }));
  const ms = (value: number) => Number.isFinite(value) ? `${value.toFixed(1)}` : "–";
  const { messages, perSecond, bytesPerSecond, latency, gap, lost, alarms, trouble } = lap;
  say(
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
