/**
 * How fast it is: `deno task bench` or `bun run bench`, with names of benchmarks as arguments.
 *
 * @module
 */
import { cpus, loadavg, release, totalmem, type } from "node:os";
import process from "node:process";
import { here } from "../tools/runtimes.ts";
import { appends } from "./appends.ts";
import { bmp } from "./bmp.ts";
import { codecs } from "./codecs.ts";
import { ecg } from "./ecg.ts";
import { fanout } from "./fanout.ts";
import { group } from "./group.ts";
import { memory } from "./memory.ts";
import { stream } from "./stream.ts";
import { meter } from "./metering.ts";
import { relayLog } from "./relay_log.ts";
import { viewer } from "./viewer.ts";

/** Each answers false when what it measured did not work. */
const benchmarks: Readonly<Record<string, () => Promise<boolean | void>>> = {
  fanout,
  codecs,
  memory,
  stream,
  group,
  bmp,
  ecg,
  meter,
  viewer,
  log: relayLog,
  appends,
};

const names = process.argv.slice(2);
const known = Object.keys(benchmarks);
if (names.includes("--help") || names.includes("-h")) {
  console.log(
    `Measures the relay on the runtime that runs this, beside a bare server of that runtime.

  deno task bench [NAME …]
  bun run bench [NAME …]

  fanout   deliveries per second: 1 to 100 and 50 groups of 5, 200 B and 16 KiB
  codecs   MB/s and operations per second, beside JSON and MessagePack
  memory   resident memory per idle member
  stream   WebSocket over HTTP beside a native one, and a million frames through random cuts
  group    bytes of an operation, seals and opens, joining, catching up, changes by MLS
  log      fan-out with a log and without, time to an answer, 10,000 to catch up
  appends  entries that a log on disk takes, how soon they are safe, and what others notice
  bmp      requests beside the real Blazeio, memory of idle streams, one stream over a slow line
  ecg      bytes of five encodings, messages per second, alarms to slow readers
  meter    what counting a message costs
  viewer   main-thread work of the ECG viewer for each frame, in Chromium

Without a name all of them, in a few minutes. See bench/README.md.`,
  );
  process.exit(0);
}
const unknown = names.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`${unknown.join(", ")}: no such benchmark; there are ${known.join(", ")}`);
  process.exit(2);
}

const { deno, bun } = process.versions as Record<string, string | undefined>;
const cores = cpus();
const memoryGiB = Math.round(totalmem() / 2 ** 30);
console.log([
  `Blaze Relay, ${here === "bun" ? `Bun ${bun}` : `Deno ${deno}`}`,
  new Date().toISOString().slice(0, 10),
].join(", "));
console.log([
  `${cores.length} × ${cores[0]?.model.trim()}`,
  `${memoryGiB} GiB`,
  `${type()} ${release()}`,
  // What others are doing here: above 0 on an idle machine, every figure suffers.
  `load average ${loadavg()[0]!.toFixed(1)}`,
].join(", "));

let worked = true;
for (const name of names.length > 0 ? names : known) {
  if (await benchmarks[name]!() === false) worked = false;
}
process.exit(worked ? 0 : 1);
