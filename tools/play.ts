/**
 * Plays an ECG into a stream of a relay: `deno task play [FILE]`.
 *
 * @module
 */
import process from "node:process";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import type { Version } from "../src/wire/ecg/codes.ts";
import { WireError } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { type Arrhythmia, ARRHYTHMIAS, Heart, LEADS } from "./formats/heart.ts";
import { interrupted } from "./interrupt.ts";
import { ENDINGS, openRecording } from "./formats/open.ts";
import { heartSource, play, recordingSource, scaleOf, type Source } from "./player.ts";
import { Progress } from "./progress.ts";

const { flags, rest } = readArgs({
  command: "play [FILE] [flags]",
  about:
    "Plays an ECG into a stream of a relay: a recording, or without a file a synthetic heart.\n" +
    `Files: ${ENDINGS}.`,
  most: 1,
  flags: {
    url: { help: "the relay", fallback: "ws://127.0.0.1:8080" },
    stream: { help: "name of the stream", fallback: "demo" },
    token: {
      help: "token, if the relay wants one; TOKEN in the environment does too",
      fallback: "",
    },
    version: { help: "protocol version: 1, 2 or 3", fallback: 3 },
    packed: { help: "send packed signals: lossless, about a tenth of JSON" },
    speed: { help: "1 is real time, 10 ten times as fast, max as fast as it goes", fallback: "1" },
    chunk: { help: "seconds of signal in a message", fallback: 0.2 },
    loop: { help: "play a file again and again" },
    from: { help: "second of the file to begin with", fallback: 0 },
    seconds: { help: "how much to play; 0 for all", fallback: 0 },
    drop: { help: "part of the messages to leave out, to see gaps: 0 to 1", fallback: 0 },
    alarm: { help: "send a test alarm every so many seconds; 0 for none", fallback: 0 },
    rate: { help: "samples a second of a heart, or of a CSV file without times", fallback: 0 },
    leads: { help: `leads of a heart, 1 to ${Object.keys(LEADS).length}`, fallback: 2 },
    bpm: { help: "beats a minute of a heart", fallback: 72 },
    noise: { help: "noise of a heart in mV", fallback: 0.02 },
    arrhythmia: { help: `of a heart: ${ARRHYTHMIAS.join(", ")}`, fallback: "none" },
    seed: { help: "equal seeds give equal hearts", fallback: 1 },
    quiet: { help: "no progress" },
  },
});

const speed = flags.speed === "max" ? Infinity : Number(flags.speed);
if (!(speed > 0)) fail(`--speed ${flags.speed}: want a number above 0, or max.`);
if (![1, 2, 3].includes(flags.version)) fail(`--version ${flags.version}: want 1, 2 or 3.`);
if (!(flags.chunk > 0 && flags.chunk <= 10)) fail(`--chunk ${flags.chunk}: want 0 to 10 seconds.`);

const source = rest[0] === undefined ? heart() : file(rest[0]);
const token = flags.token || process.env.TOKEN;
const stop = interrupted();
const client = EcgClient.open({
  url: flags.url,
  stream: flags.stream,
  version: flags.version as Version,
  ...(flags.packed ? { scale: scaleOf(source) } : {}),
  ...(token ? { token } : {}),
});
let online = false;
client.onStatus((status) => {
  if (status.kind === "online") online = true;
  if (status.kind === "offline") online = false;
  if (status.kind === "offline") console.error(`\noffline (${status.code} ${status.reason})`);
  if (status.kind === "fault") console.error(`\nrefused: ${status.message}`);
});
// With nobody there, nothing that waits can still leave.
stop.addEventListener("abort", () => {
  if (!online) client.close();
});
try {
  await client.ready;
  const names = source.leads.map(({ name }) => name).join(", ");
  if (!flags.quiet) {
    console.log(`${source.name}: ${names} at ${source.rate} Hz, into "${flags.stream}"`);
  }
  const progress = new Progress(source.length / source.rate, !flags.quiet);
  const sent = await play(client, source, {
    speed,
    chunk: flags.chunk,
    drop: flags.drop,
    packed: flags.packed,
    alarmEvery: flags.alarm,
    signal: stop,
    progress: (sent) => progress.show(sent / source.rate),
  });
  // What was published last has to leave before the link does.
  await client.ping().catch(() => {});
  progress.end(`${sent} samples of ${source.leads.length} leads`);
} catch (error) {
  if (!stop.aborted) fail(`\n${error instanceof Error ? error.message : error}`);
} finally {
  client.close();
}
process.exit(0);

function heart(): Source {
  if (!ARRHYTHMIAS.includes(flags.arrhythmia as Arrhythmia)) {
    fail(`--arrhythmia ${flags.arrhythmia}: want ${ARRHYTHMIAS.join(", ")}.`);
  }
  const most = Object.keys(LEADS).length;
  if (!(Number.isInteger(flags.leads) && flags.leads >= 1 && flags.leads <= most)) {
    fail(`--leads ${flags.leads}: want 1 to ${most}.`);
  }
  const rate = flags.rate || 500;
  if (!(rate >= 50 && rate <= 10_000)) fail(`--rate ${rate}: want 50 to 10000.`);
  if (!(flags.bpm >= 20 && flags.bpm <= 250)) fail(`--bpm ${flags.bpm}: want 20 to 250.`);
  const { bpm, noise, seed } = flags;
  const arrhythmia = flags.arrhythmia as Arrhythmia;
  const made = new Heart({ rate, leads: flags.leads, bpm, noise, arrhythmia, seed });
  return heartSource(made, flags.seconds ? Math.round(flags.seconds * rate) : Infinity);
}

function file(path: string): Source {
  try {
    const recording = openRecording(path, flags.rate || undefined);
    for (const note of recording.notes) console.error(note);
    const from = Math.round(flags.from * recording.rate);
    const to = flags.seconds ? from + Math.round(flags.seconds * recording.rate) : Infinity;
    return recordingSource(recording, { from, to, loop: flags.loop });
  } catch (error) {
    if (error instanceof WireError) fail(`${path}: ${error.message}`);
    throw error;
  }
}
