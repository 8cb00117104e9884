/**
 * EDF and EDF+ (European Data Format; Kemp 1992, Kemp and Olivan 2003).
 *
 * | bytes       | header                                                                       |
 * | ----------- | ---------------------------------------------------------------------------- |
 * | 8           | version: `0`                                                                 |
 * | 80, 80      | patient, recording                                                           |
 * | 8, 8        | start: `dd.mm.yy`, `hh.mm.ss`                                                |
 * | 8, 44       | bytes of header, `EDF+C`, `EDF+D` or blank                                   |
 * | 8, 8, 4     | number of data records (-1: unknown), seconds in each, signals               |
 * | each signal | label 16, transducer 80, units 8, physical least and greatest 8 + 8, digital |
 * |             | least and greatest 8 + 8, filters 80, samples in a record 8, reserved 32     |
 *
 * All in ASCII, padded with blanks; each field for all signals before the next field. Then the data
 * records: the samples of each signal in turn, little-endian int16. The signal `EDF Annotations`
 * holds text: onset in seconds, 0x14, text, 0x14, 0.
 *
 * @module
 */
import { type Bytes, concat } from "../../src/wire/bytes.ts";
import {
  type Annotation,
  countIn,
  type LeadInfo,
  MAX_LEADS,
  numberIn,
  type Recording,
  refuse,
} from "./recording.ts";

const FIXED = 256;
const PER_SIGNAL = 256;
/** Widths of the fields of a signal, in their order. */
const WIDTHS = [16, 80, 8, 8, 8, 8, 8, 80, 8, 32] as const;
const ANNOTATIONS = "EDF Annotations";

interface Signal extends LeadInfo {
  /** Samples in a data record. */
  readonly perRecord: number;
  /** Bytes into the record. */
  readonly offset: number;
}

/**
 * Reads a file. Signals of another rate than the fastest are left out, and noted.
 *
 * Throws `TRUNCATED`, `BAD_HEADER`, `BAD_NUMBER`, `UNSUPPORTED`, `NO_SIGNALS`, `TOO_MANY`.
 */
export function readEdf(bytes: Uint8Array, path: string): Recording {
  if (bytes.length < FIXED) refuse("TRUNCATED", bytes.length, "no header");
  if (bytes[0] === 0xff) refuse("UNSUPPORTED", 0, "BDF, samples of 24 bits");
  const field = (at: number, width: number) =>
    String.fromCharCode(...bytes.subarray(at, at + width)).trim();
  if (field(0, 8) !== "0") refuse("BAD_HEADER", 0, "no EDF file");
  const kind = field(192, 44);
  if (kind.startsWith("EDF+D")) refuse("UNSUPPORTED", 192, "EDF+D, a recording with holes");
  const count = countIn(field(252, 4), 252, "number of signals");
  if (count === 0) refuse("NO_SIGNALS", 252, "no signals");
  if (count > MAX_LEADS) refuse("TOO_MANY", 252, `${count} signals; at most ${MAX_LEADS}`);
  const header = FIXED + count * PER_SIGNAL;
  if (bytes.length < header) refuse("TRUNCATED", bytes.length, "the header is cut short");
  if (countIn(field(184, 8), 184, "bytes of header") !== header) {
    refuse("BAD_HEADER", 184, `a header of ${count} signals has ${header} bytes`);
  }
  const seconds = numberIn(field(244, 8), 244, "seconds in a record");
  const signals = readSignals(field, count);
  const recordBytes = signals.reduce((sum, { perRecord }) => sum + 2 * perRecord, 0);
  if (recordBytes === 0) refuse("NO_SIGNALS", 252, "empty data records");
  const there = Math.floor((bytes.length - header) / recordBytes);
  const claimed = numberIn(field(236, 8), 236, "number of records");
  if (claimed > there) refuse("TRUNCATED", bytes.length, `${there} of ${claimed} data records`);
  const records = claimed < 0 ? there : Math.floor(claimed);

  const waves = signals.filter(({ name }) => name !== ANNOTATIONS);
  if (waves.length === 0) refuse("NO_SIGNALS", 252, "only annotations");
  if (seconds <= 0) refuse("BAD_NUMBER", 244, "signals need a duration");
  const most = Math.max(...waves.map(({ perRecord }) => perRecord));
  const kept = waves.filter(({ perRecord }) => perRecord === most);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = kept.map((signal) => {
    const row = new Float64Array(records * most);
    for (let i = 0; i < row.length; i++) {
      const at = header + Math.floor(i / most) * recordBytes + signal.offset + 2 * (i % most);
      row[i] = view.getInt16(at, true);
    }
    return row;
  });
  const rate = most / seconds;
  const texts = signals.filter(({ name }) => name === ANNOTATIONS);
  const annotations = kind.startsWith("EDF+")
    ? texts.flatMap(({ offset, perRecord }) =>
      Array.from({ length: records }, (_, record) => {
        const at = header + record * recordBytes + offset;
        return readTexts(bytes.subarray(at, at + 2 * perRecord), rate);
      }).flat()
    )
    : [];
  return {
    name: path.replace(/^.*[\\/]|\.\w+$/g, ""),
    rate,
    leads: kept.map(({ name, units, gain, baseline }) => ({ name, units, gain, baseline })),
    samples,
    annotations: annotations.sort((a, b) => a.sample - b.sample),
    startMs: startOf(field(168, 8), field(176, 8)),
    notes: waves.filter((one) => !kept.includes(one)).map(({ name, perRecord }) =>
      `${name}: left out, ${perRecord / seconds} Hz is not the rate of the others`
    ),
  };
}

function readSignals(field: (at: number, width: number) => string, count: number): Signal[] {
  const columns: string[][] = [];
  let at = FIXED;
  for (const width of WIDTHS) {
    columns.push(Array.from({ length: count }, (_, i) => field(at + i * width, width)));
    at += count * width;
  }
  const [labels, , units, physicalMin, physicalMax, digitalMin, digitalMax, , perRecord] = columns;
  let offset = 0;
  return labels!.map((label, i) => {
    const where = FIXED + i * 16;
    const value = (column: string[] | undefined, what: string) =>
      numberIn(column![i]!, where, `${label}, ${what}`);
    const name = label.replace(/^ECG\s+(?=\S)/i, "");
    const samples = countIn(perRecord![i]!, where, `${label}, samples in a record`);
    const at = offset;
    offset += 2 * samples;
    if (label === ANNOTATIONS) {
      return { name, units: "", gain: 1, baseline: 0, perRecord: samples, offset: at };
    }
    const [low, high] = [value(physicalMin, "least"), value(physicalMax, "greatest")];
    const [least, most] = [
      value(digitalMin, "digital least"),
      value(digitalMax, "digital greatest"),
    ];
    if (low === high || least >= most) refuse("BAD_NUMBER", where, `${label}: an empty range`);
    const gain = (most - least) / (high - low);
    const baseline = most - gain * high;
    return { name, units: units![i]! || "mV", gain, baseline, perRecord: samples, offset: at };
  });
}

/** The texts of one record. Its first one, without a text, only keeps the time. */
function readTexts(bytes: Uint8Array, rate: number): Annotation[] {
  const lists = new TextDecoder().decode(bytes).split("\0").filter((one) => one !== "");
  return lists.flatMap((list) => {
    const [when = "", ...texts] = list.split("\x14");
    const onset = Number(when.split("\x15")[0]);
    if (when === "" || !Number.isFinite(onset)) return [];
    return texts.filter((symbol) => symbol !== "")
      .map((symbol) => ({ sample: Math.round(onset * rate), symbol }));
  });
}

/** Years from 85 on are of the last century. */
function startOf(date: string, time: string): number | undefined {
  const parts = /^(\d\d)\.(\d\d)\.(\d\d) (\d\d)\.(\d\d)\.(\d\d)$/.exec(`${date} ${time}`);
  if (!parts) return undefined;
  const [day, month, year, hours, minutes, seconds] = parts.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(year < 85 ? 2000 + year : 1900 + year, month - 1, day, hours, minutes, seconds);
}

/** Bytes for texts in each data record that is written. */
const TEXT_BYTES = 120;

/**
 * An EDF+C file with data records of one second: `rate` must be whole. Missing samples are written as
 * the least value, and said so in an annotation.
 */
export function writeEdf(recording: Recording): Bytes {
  const { rate, leads, samples, annotations } = recording;
  if (!Number.isInteger(rate)) {
    refuse("UNSUPPORTED", 0, `${rate} Hz: EDF+ wants whole samples a second`);
  }
  const length = samples[0]!.length;
  const records = Math.ceil(length / rate);
  const scales = samples.map((row, i) => scaleOf(row, leads[i]!));
  const start = new Date(recording.startMs ?? 0);
  const data: Uint8Array[] = [headerOf(recording, scales, records, start)];
  const texts = annotations.map(({ sample, symbol }) => ({ second: sample / rate, symbol }));
  texts.push(...holes(samples, rate));
  texts.sort((a, b) => a.second - b.second);
  let next = 0;
  for (let record = 0; record < records; record++) {
    const bytes = new Uint8Array(2 * rate * leads.length + TEXT_BYTES);
    const view = new DataView(bytes.buffer);
    samples.forEach((row, lead) => {
      const { lead: info, scale } = scales[lead]!;
      for (let i = 0; i < rate; i++) {
        const value = row[record * rate + i];
        const raw = value === undefined || value !== value ? -32_768 : scale(value, info);
        view.setInt16(2 * (lead * rate + i), raw, true);
      }
    });
    // A full record leaves its texts to the next one.
    let line = `+${record}\x14\x14\0`;
    while (next < texts.length && texts[next]!.second < record + 1) {
      const { second, symbol } = texts[next]!;
      const entry = `+${second.toFixed(6)}\x14${
        symbol.replace(/\p{Cc}/gu, " ").slice(0, 40)
      }\x14\0`;
      if (new TextEncoder().encode(line + entry).length > TEXT_BYTES) break;
      line += entry;
      next++;
    }
    bytes.set(new TextEncoder().encode(line), 2 * rate * leads.length);
    data.push(bytes);
  }
  return concat(...data);
}

interface EdfScale {
  readonly lead: LeadInfo;
  readonly least: string;
  readonly most: string;
  scale(value: number, lead: LeadInfo): number;
}

/** The whole digital range: what is stored stays as it is where it fits, else it is scaled to fit. */
function scaleOf(row: Float64Array, lead: LeadInfo): EdfScale {
  const physicalOf = (raw: number) => (raw - lead.baseline) / lead.gain;
  const whole = row.every((value) =>
    value !== value || (Number.isInteger(value) && value > -32_768 && value <= 32_767)
  );
  let [low, high] = [physicalOf(-32_768), physicalOf(32_767)];
  if (!whole) {
    let [least, most] = [Infinity, -Infinity];
    for (const value of row) {
      if (physicalOf(value) < least) least = physicalOf(value);
      if (physicalOf(value) > most) most = physicalOf(value);
    }
    const reach = Math.max(5, Math.abs(least), Math.abs(most)) * 1.05;
    [low, high] = Number.isFinite(reach) ? [-reach, reach] : [-5, 5];
  }
  const [least, most] = [eight(low), eight(high)];
  const step = (Number(most) - Number(least)) / 65_535;
  return {
    lead,
    least,
    most,
    scale: whole ? (value) => value : (value) =>
      Math.max(
        -32_767,
        Math.min(32_767, Math.round((physicalOf(value) - Number(least)) / step) - 32_768),
      ),
  };
}

/** A number in at most eight characters. */
function eight(value: number): string {
  for (let digits = 7; digits >= 0; digits--) {
    const text = String(Number(value.toFixed(digits)));
    if (text.length <= 8 && !text.includes("e")) return text;
  }
  return refuse("BAD_NUMBER", 0, `${value} does not fit into EDF's eight characters`);
}

/** Where samples are missing in any lead, as texts. */
function holes(
  samples: readonly Float64Array[],
  rate: number,
): { second: number; symbol: string }[] {
  const found: { second: number; symbol: string }[] = [];
  let since: number | undefined;
  const length = samples[0]!.length;
  for (let i = 0; i <= length; i++) {
    const missing = i < length && samples.some((row) => row[i] !== row[i]);
    if (missing) since ??= i;
    else if (since !== undefined) {
      found.push({ second: since / rate, symbol: `${i - since} samples missing` });
      since = undefined;
    }
  }
  return found;
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

function headerOf(
  { leads, rate }: Recording,
  scales: readonly EdfScale[],
  records: number,
  start: Date,
): Bytes {
  const [date, time] = start.toISOString().split("T") as [string, string];
  const [year, month, day] = date.split("-") as [string, string, string];
  const count = leads.length + 1;
  const ascii = (text: string, width: number) =>
    text.normalize("NFKD").replace(/[^\x20-\x7e]/g, "").slice(0, width).padEnd(width);
  const each = (width: number, last: string, value: (i: number) => string) =>
    leads.map((_, i) => ascii(value(i), width)).join("") + ascii(last, width);
  const text = [
    ascii("0", 8),
    ascii("X X X X", 80),
    ascii(`Startdate ${day}-${MONTHS[Number(month) - 1]}-${year} X X blaze-relay`, 80),
    ascii(`${day}.${month}.${year.slice(2)}`, 8),
    ascii(time.slice(0, 8).replaceAll(":", "."), 8),
    ascii(String(FIXED + count * PER_SIGNAL), 8),
    ascii("EDF+C", 44),
    ascii(String(records), 8),
    ascii("1", 8),
    ascii(String(count), 4),
    each(16, ANNOTATIONS, (i) => leads[i]!.name),
    each(80, "", () => ""),
    each(8, "", (i) => leads[i]!.units.replace("µ", "u")),
    each(8, "-1", (i) => scales[i]!.least),
    each(8, "1", (i) => scales[i]!.most),
    each(8, "-32768", () => "-32768"),
    each(8, "32767", () => "32767"),
    each(80, "", () => ""),
    each(8, String(TEXT_BYTES / 2), () => String(rate)),
    each(32, "", () => ""),
  ].join("");
  return new TextEncoder().encode(text);
}
