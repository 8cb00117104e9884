/**
 * Plays an ECG into a stream of a relay: `deno task play [FILE]`.
 *
 * @module
 */
import type { Version } from "../src/wire/ecg/codes.ts";
import { fail, readArgs } from "./args.ts";
import { type Arrhythmia, ARRHYTHMIAS, Heart, LEADS } from "./formats/heart.ts";
import { interrupted, leave } from "./interrupt.ts";
import { ENDINGS, loadRecording } from "./formats/open.ts";
import { heartSource, play, recordingSource, scaleOf, type Source } from "./player.ts";
import { Progress } from "./progress.ts";
import { openStream, STREAM_FLAGS } from "./relay_flags.ts";
import { note, say } from "./say.ts";

const { flags, rest, misplaced } = readArgs({
  command: "play [FILE] [flags]",
  about:
    "Plays an ECG into a stream of a relay: a recording, or without a file a synthetic heart.\n" +
    `Files: ${ENDINGS}.`,
  most: 1,
  flags: {
    ...STREAM_FLAGS,
    version: { help: "protocol version", fallback: 3, least: 1, most: 3, whole: true },
    packed: { help: "send packed signals: lossless, about a tenth of JSON" },
    speed: { help: "1 is real time, 10 ten times as fast, max as fast as it goes", fallback: "1" },
    chunk: { help: "seconds of signal in a message", fallback: 0.2, least: 0.001, most: 10 },
    loop: { help: "play a file again and again" },
    from: { help: "second of the file to begin with", fallback: 0, least: 0 },
    seconds: { help: "how much to play; 0 for all", fallback: 0, least: 0 },
    drop: {
      help: "part of the messages to leave out, to see gaps",
      fallback: 0,
      least: 0,
      most: 1,
    },
    alarm: { help: "send a test alarm every so many seconds; 0 for none", fallback: 0, least: 0 },
    rate: {
      help: "samples a second of a heart (500), or of a CSV file without times",
      fallback: 0,
      least: 1,
      most: 100_000,
    },
    leads: {
      help: "leads of a heart",
      fallback: 2,
      least: 1,
      most: Object.keys(LEADS).length,
      whole: true,
    },
    bpm: { help: "beats a minute of a heart", fallback: 72, least: 20, most: 250 },
    noise: { help: "noise of a heart in mV", fallback: 0.02, least: 0, most: 10 },
    arrhythmia: {
      help: `of a heart: ${ARRHYTHMIAS.join(", ")}`,
      fallback: "none",
      of: ARRHYTHMIAS,
    },
    seed: { help: "equal seeds give equal hearts", fallback: 1 },
    quiet: { help: "no progress" },
  },
});

const speed = flags.speed === "max" ? Infinity : Number(flags.speed);
if (!(speed > 0)) fail(`--speed ${flags.speed}: want a number above 0, or max.`);

const source = rest[0] === undefined ? heart() : file(rest[0]);
const stop = interrupted();
const client = openStream(flags, {
  version: flags.version as Version,
  ...(flags.packed ? { scale: scaleOf(source) } : {}),
});
const progress = new Progress(source.length / source.rate, !flags.quiet);
let online = false;
let code = 0;
client.onStatus((status) => {
  if (status.kind === "online") online = true;
  if (status.kind === "offline") online = false;
  if (status.kind === "offline") progress.note(`offline (${status.code} ${status.reason})`);
  if (status.kind === "fault") progress.note(`refused: ${status.message}`);
});
// With nobody there, nothing that waits can still leave.
stop.addEventListener("abort", () => {
  if (!online) client.close();
});
try {
  await client.ready;
  const names = source.leads.map(({ name }) => name).join(", ");
  if (!flags.quiet) {
    say(`${source.name}: ${names} at ${source.rate} Hz, into "${flags.stream}"`);
  }
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
  if (!stop.aborted) {
    progress.note(error instanceof Error ? error.message : String(error));
    code = 2;
  }
} finally {
  client.close();
}
leave(code);

function heart(): Source {
  misplaced(["loop", "from"], "goes with a file");
  const { leads, bpm, noise, seed, seconds } = flags;
  const rate = flags.rate || 500;
  if (rate < 50 || rate > 10_000) fail(`--rate ${rate}: want 50 to 10000 for a heart.`);
  const arrhythmia = flags.arrhythmia as Arrhythmia;
  const made = new Heart({ rate, leads, bpm, noise, arrhythmia, seed });
  return heartSource(made, seconds ? Math.round(seconds * rate) : Infinity);
}

function file(path: string): Source {
  misplaced(["leads", "bpm", "noise", "arrhythmia", "seed"], "goes with a heart, not with a file");
  const recording = loadRecording(path, flags.rate || undefined);
  for (const text of recording.notes) note(text);
  const { rate, samples } = recording;
  const from = Math.round(flags.from * rate);
  const length = samples[0]!.length;
  if (from > 0 && from >= length) {
    fail(`--from ${flags.from}: ${path} ends at ${length / rate} seconds.`);
  }
  const to = flags.seconds ? from + Math.round(flags.seconds * rate) : Infinity;
  return recordingSource(recording, { from, to, loop: flags.loop });
}
