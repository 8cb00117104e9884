/**
 * Records a stream to a file that other software opens: EDF+ or WFDB.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { WireError } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { interrupted } from "./interrupt.ts";
import { writeEdf } from "./formats/edf.ts";
import { writeWfdb } from "./formats/wfdb.ts";
import { Progress } from "./progress.ts";
import { Recorder } from "./recorder.ts";

const { flags, rest } = readArgs({
  command: "record FILE [flags]",
  about: "Records a stream: FILE.edf is EDF+, FILE.hea is WFDB (with FILE.dat beside it).",
  most: 1,
  flags: {
    url: { help: "the relay", fallback: "ws://127.0.0.1:8080" },
    stream: { help: "name of the stream", fallback: "demo" },
    token: {
      help: "token, if the relay wants one; TOKEN in the environment does too",
      fallback: "",
    },
    seconds: { help: "how much of the signal to record; 0 until Ctrl-C", fallback: 0 },
    quiet: { help: "no progress" },
  },
});
const path = rest[0] ?? fail("Name the file to write: out.edf or out.hea. --help shows more.");
const kind = /\.(edf|hea)$/i.exec(path)?.[1]?.toLowerCase() ??
  fail(`${path}: want a name that ends in .edf or .hea.`);
const name = path.replace(/^.*[\\/]|\.\w+$/g, "");
if (!/^[\w-]+$/.test(name)) fail(`${name}: want a name of letters, digits, _ and -.`);

const token = flags.token || process.env.TOKEN;
const stop = interrupted();
const client = EcgClient.open({
  url: flags.url,
  stream: flags.stream,
  ...(token ? { token } : {}),
});
client.onStatus((status) => {
  if (status.kind === "offline") console.error(`\noffline (${status.code} ${status.reason})`);
});
stop.addEventListener("abort", () => client.close());

const recorder = new Recorder(name);
const total = flags.seconds > 0 ? flags.seconds : Infinity;
const progress = new Progress(total, !flags.quiet);
try {
  for await (const message of await client.watch()) {
    const problem = recorder.take(message, Date.now());
    if (problem) console.error(`\n${problem}`);
    progress.show(recorder.seconds);
    if (recorder.full || recorder.seconds >= total) break;
  }
} catch (error) {
  if (recorder.seconds === 0) fail(`\n${error instanceof Error ? error.message : error}`);
  console.error(`\n${error instanceof Error ? error.message : error}; writing what came before`);
}
client.close();
if (recorder.seconds === 0) fail("No samples came.");
const recording = recorder.finish(total);
try {
  if (kind === "edf") writeFileSync(path, writeEdf(recording));
  else {
    const { header, data } = writeWfdb(recording);
    writeFileSync(join(dirname(path), `${name}.dat`), data);
    writeFileSync(path, header);
  }
} catch (error) {
  if (error instanceof WireError) fail(`${path}: ${error.message}`);
  throw error;
}
const [samples, leads] = [recording.samples[0]!.length, recording.leads.length];
progress.end(`${path}: ${samples} samples of ${leads} leads, ${recorder.missing} of them missing,`);
process.exit(0);
