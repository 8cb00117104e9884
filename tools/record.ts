/**
 * Records a stream to a file that other software opens: EDF+ or WFDB.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { WireError } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { interrupted, leave } from "./interrupt.ts";
import { writeEdf } from "./formats/edf.ts";
import { writeWfdb } from "./formats/wfdb.ts";
import { OutputFile } from "./files.ts";
import { Progress } from "./progress.ts";
import { Recorder } from "./recorder.ts";
import { openStream, STREAM_FLAGS } from "./relay_flags.ts";

const { flags, rest } = readArgs({
  command: "record FILE [flags]",
  about: "Records a stream: FILE.edf is EDF+, FILE.hea is WFDB (with FILE.dat beside it).\n" +
    "Ctrl-C ends the recording and writes it.",
  most: 1,
  flags: {
    ...STREAM_FLAGS,
    seconds: { help: "how much of the signal to record; 0 until Ctrl-C", fallback: 0, least: 0 },
    overwrite: { help: "replace a file that is there" },
    quiet: { help: "no progress" },
  },
});
const path = rest[0] ?? fail("Name the file to write: out.edf or out.hea. --help shows more.");
const kind = /\.(edf|hea)$/i.exec(path)?.[1]?.toLowerCase() ??
  fail(`${path}: want a name that ends in .edf or .hea.`);
const name = path.replace(/^.*[\\/]|\.\w+$/g, "");
if (!/^[\w-]+$/.test(name)) fail(`${name}: want a name of letters, digits, _ and -.`);

const stop = interrupted();
const client = openStream(flags);
const file = new OutputFile(path, flags.overwrite);
const samplesFile = kind === "hea"
  ? new OutputFile(join(dirname(path), `${name}.dat`), flags.overwrite)
  : undefined;
const recorder = new Recorder(name);
const total = flags.seconds > 0 ? flags.seconds : Infinity;
const progress = new Progress(total, !flags.quiet);
client.onStatus((status) => {
  if (status.kind === "offline") progress.note(`offline (${status.code} ${status.reason})`);
});
stop.addEventListener("abort", () => client.close());

try {
  for await (const message of await client.watch()) {
    const problem = recorder.take(message, Date.now());
    if (problem) progress.note(problem);
    progress.show(recorder.seconds);
    if (recorder.full || recorder.seconds >= total) break;
  }
} catch (error) {
  if (!stop.aborted) {
    progress.note(error instanceof Error ? error.message : String(error));
    if (recorder.seconds > 0) progress.note("Writing what came before.");
  }
}
client.close();
if (recorder.seconds === 0) fail("No samples came; nothing is written.");
const recording = recorder.finish(total);
try {
  if (samplesFile) {
    const { header, data } = writeWfdb(recording);
    samplesFile.finish(data);
    file.finish(header);
  } else file.finish(writeEdf(recording));
} catch (error) {
  if (error instanceof WireError) fail(`${path}: ${error.message}`);
  throw error;
}
const [samples, leads] = [recording.samples[0]!.length, recording.leads.length];
progress.end(`${path}: ${samples} samples of ${leads} leads, ${recorder.missing} of them missing,`);
leave();
