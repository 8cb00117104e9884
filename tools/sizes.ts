/**
 * The size analyzer: what a recording takes in each encoding.
 *
 * @module
 */
import { fail, readArgs } from "./args.ts";
import { sizesOf } from "./encodings.ts";
import { ENDINGS, loadRecording } from "./formats/open.ts";
import type { Recording } from "./formats/recording.ts";
import { root } from "./runtimes.ts";
import { say } from "./say.ts";

const { flags, rest } = readArgs({
  command: "sizes [FILE …] [flags]",
  about: `What a recording takes in each encoding. Files: ${ENDINGS}.\n` +
    "Without one, a minute of MIT-BIH record 100.",
  most: 32,
  flags: {
    seconds: { help: "seconds of signal in a message; several with commas", fallback: "1,4" },
    lead: { help: "only this lead", fallback: "" },
    rate: {
      help: "samples a second of a CSV file without times",
      fallback: 0,
      least: 1,
      most: 100_000,
    },
    json: { help: "one line of JSON for each recording" },
  },
});
const seconds = flags.seconds.split(",").map(Number);
if (!seconds.every((one) => one >= 0.01 && one <= 60)) {
  fail(`--seconds ${flags.seconds}: want numbers from 0.01 to 60, with commas between them.`);
}

for (const path of rest.length > 0 ? rest : [`${root}data/ecg/mitdb100_60s.json`]) {
  const recording = only(loadRecording(path, flags.rate || undefined));
  const tables = seconds.map((one) => ({ seconds: one, rows: sizesOf(recording, one) }));
  const { name, rate, leads } = recording;
  if (flags.json) say(JSON.stringify({ name, rate, leads: leads.length, tables }));
  else print(`${name}: ${leads.map((lead) => lead.name).join(", ")} at ${rate} Hz`, tables);
}

function only(recording: Recording): Recording {
  if (!flags.lead) return recording;
  const at = recording.leads.findIndex(({ name }) => name === flags.lead);
  if (at < 0) {
    fail(`--lead ${flags.lead}: want ${recording.leads.map(({ name }) => name).join(", ")}.`);
  }
  return { ...recording, leads: [recording.leads[at]!], samples: [recording.samples[at]!] };
}

function print(
  title: string,
  tables: readonly { seconds: number; rows: ReturnType<typeof sizesOf> }[],
): void {
  say(title);
  for (const { seconds, rows } of tables) {
    if (rows.length === 0) fail(`The recording is shorter than ${seconds} s.`);
    const json = rows[0]!.bytes;
    say(
      `\n  ${`bytes for ${seconds} s`.padEnd(24)}${"mean".padStart(10)}${"of JSON".padStart(10)}${
        "a sample".padStart(10)
      }`,
    );
    for (const { name, bytes, perSample } of rows) {
      const part = `${(100 * bytes / json).toFixed(1)} %`;
      say(
        `  ${name.padEnd(24)}${bytes.toFixed(0).padStart(10)}${part.padStart(10)}${
          perSample.toFixed(2).padStart(10)
        }`,
      );
    }
  }
  say();
}
