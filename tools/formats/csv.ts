/**
 * CSV: one row a sample, one column a lead, in physical values. A heading names the leads, with
 * units in brackets: `time,MLII (mV),V5 [uV]`. A first column called time, seconds or t gives the
 * sampling rate; one called sample or index is passed over. Commas, semicolons or tabs.
 *
 * @module
 */
import { type LeadInfo, MAX_LEADS, numberIn, type Recording, refuse } from "./recording.ts";

const TIME = /^(?:time|seconds|sec|t)\b/i;
const COUNTER = /^(?:sample|index|n|#|)$/i;

/**
 * Reads a CSV file; `rate` (Hz) goes before what its times say.
 *
 * Throws `NO_SIGNALS`, `NO_RATE`, `COLUMNS` for a row of another width, `BAD_NUMBER`, `TOO_MANY`.
 */
export function readCsv(text: string, name: string, rate?: number): Recording {
  const lines = text.split(/\r\n|\r|\n/);
  const separator = [",", ";", "\t"].find((one) => lines[0]!.includes(one)) ?? ",";
  const cells = (line: string) =>
    line.split(separator).map((cell) => cell.trim().replace(/^["'](.*)["']$/, "$1"));
  const heading = cells(lines[0]!.replace(/^\ufeff/, ""));
  if (heading.length > MAX_LEADS) refuse("TOO_MANY", 1, `${heading.length} columns`);
  const named = heading.some((cell) => cell !== "" && !Number.isFinite(Number(cell)));
  const columns = named ? heading : heading.map((_, i) => `lead ${i + 1}`);
  const skipped =
    named && columns.length > 1 && (TIME.test(columns[0]!) || COUNTER.test(columns[0]!)) ? 1 : 0;
  const leads = columns.slice(skipped).map(lead);
  const rows: number[][] = leads.map(() => []);
  const times: number[] = [];
  for (let i = named ? 1 : 0; i < lines.length; i++) {
    if (lines[i]!.trim() === "") continue;
    const row = cells(lines[i]!);
    if (row.length !== columns.length) {
      refuse("COLUMNS", i + 1, `${row.length} columns, ${columns.length} in the first row`);
    }
    if (skipped && TIME.test(columns[0]!) && times.length < 2) {
      times.push(numberIn(row[0]!, i + 1, "time"));
    }
    rows.forEach((samples, lead) => {
      const cell = row[lead + skipped]!;
      samples.push(cell === "" || /^nan$/i.test(cell) ? NaN : numberIn(cell, i + 1, "value"));
    });
  }
  if (leads.length === 0 || rows[0]!.length === 0) refuse("NO_SIGNALS", 1, "no samples");
  const step = times.length === 2
    ? (times[1]! - times[0]!) * (/ms\b/.test(columns[0]!) ? 0.001 : 1)
    : 0;
  // 0.0028 s stands for 360 Hz, rounded by whoever wrote it.
  const hertz = rate ?? (step > 0 ? Math.round(1 / step * 100) / 100 : 0);
  if (!(hertz > 0)) refuse("NO_RATE", 1, "no column of times: say --rate");
  return {
    name: name.replace(/^.*[\\/]|\.\w+$/g, ""),
    rate: hertz,
    leads,
    samples: rows.map((row) => Float64Array.from(row)),
    annotations: [],
    startMs: undefined,
    notes: [],
  };
}

function lead(column: string): LeadInfo {
  const [, name = column, units = "mV"] = /^(.*?)\s*[([]([^)\]]*)[)\]]$/.exec(column) ?? [];
  return { name, units, gain: 1, baseline: 0 };
}
