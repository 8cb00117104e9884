/**
 * WFDB records (PhysioNet): a text header and files of samples in format 16 or 212.
 *
 * Header: a record line `NAME LEADS RATE SAMPLES [TIME [DATE]]`, then one line for each lead:
 * `FILE FORMAT[+OFFSET] GAIN[(BASELINE)][/UNITS] RESOLUTION ZERO FIRST CHECKSUM BLOCK NAME`. `#`
 * begins a comment. (`header(5)` and `signal(5)` of the WFDB Applications Guide.)
 *
 * Format 16 is little-endian int16, -32768 for a missing sample. Format 212 packs two 12-bit samples
 * into 3 bytes: low byte of the first; high nibbles, the first one's below; low byte of the second.
 * -2048 is a missing sample. Leads of one file are interleaved.
 *
 * @module
 */
import type { Bytes } from "../../src/wire/bytes.ts";
import {
  countIn,
  type LeadInfo,
  MAX_LEADS,
  numberIn,
  type Recording,
  refuse,
} from "./recording.ts";

/** One lead, as its line of the header has it. */
export interface WfdbLead extends LeadInfo {
  readonly file: string;
  readonly format: 16 | 212;
  /** Bytes before the first sample. */
  readonly offset: number;
  /** Sum of all samples, modulo 65536. */
  readonly checksum: number | undefined;
}

export interface WfdbHeader {
  readonly name: string;
  readonly rate: number;
  /** Samples of each lead; undefined where the header does not say. */
  readonly length: number | undefined;
  readonly leads: readonly WfdbLead[];
  readonly startMs: number | undefined;
}

/** The gain that a header means by 0 or by saying nothing. */
const DEFAULT_GAIN = 200;
const DEFAULT_RATE = 250;

/** Reads a header. Throws `BAD_HEADER`, `BAD_NUMBER`, `UNSUPPORTED`, `NO_SIGNALS`, `TOO_MANY`. */
export function readWfdbHeader(text: string): WfdbHeader {
  const lines = text.split(/\r?\n/).map((line, i) => ({ text: line.trim(), at: i + 1 }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
  const [first, ...rest] = lines;
  if (!first) refuse("BAD_HEADER", 1, "no record line");
  const [name = "", leads = "", rate, length, time, date] = first.text.split(/\s+/);
  if (name.includes("/")) refuse("UNSUPPORTED", first.at, "a record of several segments");
  if (!/^[\w.-]+$/.test(name)) refuse("BAD_HEADER", first.at, "the record has no name");
  const count = countIn(leads, first.at, "number of leads");
  if (count === 0) refuse("NO_SIGNALS", first.at, "the record has no leads");
  if (count > MAX_LEADS) refuse("TOO_MANY", first.at, `${count} leads; at most ${MAX_LEADS}`);
  if (rest.length < count) {
    refuse("BAD_HEADER", first.at, `${rest.length} lines for ${count} leads`);
  }
  const hertz = rate === undefined
    ? DEFAULT_RATE
    : numberIn(rate.split("/")[0]!, first.at, "sampling rate");
  if (hertz <= 0) refuse("BAD_NUMBER", first.at, `sampling rate: ${hertz}`);
  const samples = length === undefined ? 0 : countIn(length, first.at, "number of samples");
  return {
    name,
    rate: hertz,
    length: samples || undefined,
    leads: rest.slice(0, count).map(({ text, at }, i) => readLead(text, at, i)),
    startMs: startOf(time, date),
  };
}

function readLead(line: string, at: number, index: number): WfdbLead {
  const [file = "", spec = "", scale = "", , zero = "0", , sum, , ...name] = line.split(/\s+/);
  // A header must not be able to point anywhere else than beside itself.
  if (!/^[\w-][\w.-]*$/.test(file)) refuse("BAD_HEADER", at, `file "${file.slice(0, 40)}"`);
  const parts = /^(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$/.exec(spec);
  if (!parts) refuse("BAD_HEADER", at, `format "${spec.slice(0, 40)}"`);
  const [, format, frame = "1", skew = "0", offset = "0"] = parts;
  if (format !== "16" && format !== "212") refuse("UNSUPPORTED", at, `format ${format}`);
  if (frame !== "1" || skew !== "0") {
    refuse("UNSUPPORTED", at, `samples per frame or skew: ${spec}`);
  }
  const calibration = /^([^(/]+)?(?:\(([^)]+)\))?(?:\/(\S+))?$/.exec(scale);
  if (!calibration) refuse("BAD_HEADER", at, `gain "${scale.slice(0, 40)}"`);
  const [, gain = "0", baseline = zero, units = "mV"] = calibration;
  return {
    file,
    format: format === "16" ? 16 : 212,
    offset: countIn(offset, at, "byte offset"),
    gain: numberIn(gain, at, "gain") || DEFAULT_GAIN,
    baseline: numberIn(baseline, at, "baseline"),
    units,
    checksum: sum === undefined ? undefined : numberIn(sum, at, "checksum") & 0xffff,
    name: name.join(" ") || `lead ${index + 1}`,
  };
}

function startOf(time?: string, date?: string): number | undefined {
  const day = /^(\d{2})\/(\d{2})\/(\d{4})$/.exec(date ?? "");
  const clock = /^(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d+))?$/.exec(time ?? "");
  if (!day || !clock) return undefined;
  const [hours, minutes, seconds] = clock.slice(1, 4).map(Number);
  const millis = Number(`0.${clock[4] ?? 0}`) * 1000;
  return Date.UTC(+day[3]!, +day[2]! - 1, +day[1]!, hours, minutes, seconds, millis);
}

/**
 * A record, from its header and its files. Throws what {@linkcode readWfdbHeader} throws, and
 * `MISSING_FILE`, `TRUNCATED`, `CHECKSUM_MISMATCH`.
 */
export function readWfdb(
  header: string,
  file: (name: string) => Uint8Array | undefined,
): Recording {
  const { name, rate, leads, startMs, length } = readWfdbHeader(header);
  const samples: Float64Array[] = new Array(leads.length);
  for (const path of new Set(leads.map((lead) => lead.file))) {
    const group = leads.map((lead, i) => ({ lead, i })).filter(({ lead }) => lead.file === path);
    const { format, offset } = group[0]!.lead;
    if (group.some(({ lead }) => lead.format !== format || lead.offset !== offset)) {
      refuse("BAD_HEADER", 0, `leads of ${path} differ in format or offset`);
    }
    const bytes = file(path);
    if (!bytes) refuse("MISSING_FILE", 0, `there is no ${path}`);
    const rows = (format === 16 ? read16 : read212)(bytes, offset, group.length, length);
    group.forEach(({ i }, row) => samples[i] = rows[row]!);
  }
  const frames = samples[0]!.length;
  if (samples.some((row) => row.length !== frames)) {
    refuse("TRUNCATED", 0, "the files hold different numbers of samples");
  }
  leads.forEach((lead, i) => {
    if (length === undefined || lead.checksum === undefined) return;
    const sum = checksum(samples[i]!, lead.format);
    if (sum !== lead.checksum) {
      refuse("CHECKSUM_MISMATCH", 0, `${lead.name}: ${sum}, the header says ${lead.checksum}`);
    }
  });
  return { name, rate, leads, samples, annotations: [], startMs, notes: [] };
}

const MISSING = { 16: -32_768, 212: -2_048 } as const;

/** Sum of the stored numbers, modulo 65536. */
function checksum(row: Float64Array, format: 16 | 212): number {
  let sum = 0;
  for (const value of row) sum = (sum + (value === value ? value : MISSING[format])) & 0xffff;
  return sum;
}

function read16(bytes: Uint8Array, offset: number, leads: number, length?: number): Float64Array[] {
  const there = Math.floor(Math.max(0, bytes.length - offset) / 2 / leads);
  const frames = framesOf(there, length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows = Array.from({ length: leads }, () => new Float64Array(frames));
  let at = offset;
  for (let frame = 0; frame < frames; frame++) {
    for (const row of rows) {
      const value = view.getInt16(at, true);
      row[frame] = value === MISSING[16] ? NaN : value;
      at += 2;
    }
  }
  return rows;
}

function read212(
  bytes: Uint8Array,
  offset: number,
  leads: number,
  length?: number,
): Float64Array[] {
  const left = Math.max(0, bytes.length - offset);
  // An odd sample at the end takes two bytes.
  const numbers = 2 * Math.floor(left / 3) + (left % 3 === 2 ? 1 : 0);
  const frames = framesOf(Math.floor(numbers / leads), length);
  const rows = Array.from({ length: leads }, () => new Float64Array(frames));
  for (let i = 0; i < frames * leads; i++) {
    const at = offset + 3 * (i >> 1);
    const high = bytes[at + 1]!;
    const bits = i % 2 === 0
      ? bytes[at]! | (high & 0x0f) << 8
      : bytes[at + 2]! | (high & 0xf0) << 4;
    const value = bits << 20 >> 20;
    rows[i % leads]![Math.floor(i / leads)] = value === MISSING[212] ? NaN : value;
  }
  return rows;
}

function framesOf(there: number, claimed: number | undefined): number {
  if (claimed !== undefined && claimed > there) {
    refuse("TRUNCATED", 0, `${there} samples of each lead; the header says ${claimed}`);
  }
  return claimed ?? there;
}

/** A record in format 16: its header and its one file, `NAME.dat`. Stored numbers are rounded. */
export function writeWfdb(recording: Recording): { header: string; data: Bytes } {
  const { name, rate, leads, samples, startMs } = recording;
  if (!/^[\w-]+$/.test(name)) {
    refuse("BAD_HEADER", 1, "a record's name has letters, digits, _ and -");
  }
  const frames = samples[0]!.length;
  const data = new Uint8Array(2 * frames * leads.length);
  const view = new DataView(data.buffer);
  samples.forEach((row, lead) => {
    for (let i = 0; i < frames; i++) {
      view.setInt16(2 * (i * leads.length + lead), stored16(row[i]!), true);
    }
  });
  const lines = leads.map(({ name: lead, units, gain, baseline }, i) => {
    const row = samples[i]!;
    const first = frames > 0 ? stored16(row[0]!) : 0;
    let sum = 0;
    for (const value of row) sum = (sum + stored16(value)) & 0xffff;
    const checksum = sum << 16 >> 16;
    const unit = units.replace(/\s+/g, "_") || "mV";
    const label = lead.replace(/\s+/g, " ").trim() || `lead ${i + 1}`;
    return `${name}.dat 16 ${gain}(${
      Math.round(baseline)
    })/${unit} 16 0 ${first} ${checksum} 0 ${label}`;
  });
  const head = `${name} ${leads.length} ${rate} ${frames}${
    startMs === undefined ? "" : stamp(startMs)
  }`;
  return { header: [head, ...lines, ""].join("\n"), data };
}

const stored16 = (value: number): number =>
  value === value ? Math.max(-32_767, Math.min(32_767, Math.round(value))) : MISSING[16];

function stamp(ms: number): string {
  const [date, time] = new Date(ms).toISOString().split("T") as [string, string];
  return ` ${time.slice(0, 12)} ${date.split("-").reverse().join("/")}`;
}
