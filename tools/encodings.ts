/**
 * The ways to write one second of ECG, and how many bytes each takes.
 *
 * @module
 */
import { Version } from "../src/wire/ecg/codes.ts";
import { MessageType } from "../src/wire/ecg/codes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { packSamples } from "../src/wire/ecg/samples.ts";
import { Ext } from "../src/wire/ecg/msgpack.ts";
import { NdArray } from "../src/wire/ecg/ndarray.ts";
import { type LeadInfo, physical, type Recording } from "./formats/recording.ts";

/** A chunk of a recording. */
export interface Excerpt {
  readonly rate: number;
  readonly leads: readonly LeadInfo[];
  /** Stored integers of each lead. */
  readonly raw: readonly Float64Array[];
}

export interface Encoding {
  readonly name: string;
  /** Bytes on the wire, header included. Undefined where it cannot carry this piece. */
  size(piece: Excerpt): number | undefined;
}

/** As few digits as the gain needs: 0.145, not 0.14500000000000002. */
function rounded(piece: Excerpt): number[][] {
  return piece.raw.map((row, i) => {
    const lead = piece.leads[i]!;
    const digits = Math.max(0, Math.ceil(Math.log10(Math.abs(lead.gain))) + 1);
    const scale = 10 ** digits;
    return Array.from(row, (value) => Math.round(physical(value, lead) * scale) / scale);
  });
}

const one = <T>(rows: readonly T[]): T | readonly T[] => rows.length === 1 ? rows[0]! : rows;
const message = (version: Version, signal: unknown, rate: number, compress = true): number =>
  encode({
    version,
    type: MessageType.ECG_DATA,
    timestamp: version === Version.V3 ? 1_700_000_000_000_000n : null,
    // The scale of a packed signal says the rate, once a stream.
    payload: signal instanceof Ext ? { signal } : { signal, sampling_rate: rate },
  }, { compress }).length;

export const encodings: readonly Encoding[] = [
  {
    name: "JSON, shortest",
    size: (piece) =>
      new TextEncoder().encode(
        JSON.stringify({ signal: one(rounded(piece)), sampling_rate: piece.rate }),
      ).length,
  },
  {
    name: "JSON, integers",
    size: ({ raw, rate }) =>
      JSON.stringify({ signal: one(raw.map((row) => [...row])), sampling_rate: rate }).length,
  },
  {
    name: "V1, floats",
    size: (piece) => message(Version.V1, one(rounded(piece).map(floats)), piece.rate),
  },
  {
    name: "V2, floats, zlib",
    size: (piece) => message(Version.V2, one(rounded(piece).map(floats)), piece.rate),
  },
  {
    name: "V3, floats, zlib",
    size: (piece) => message(Version.V3, one(rounded(piece).map(floats)), piece.rate),
  },
  {
    name: "V3, integers",
    size: ({ raw, rate }) => message(Version.V3, one(raw.map((row) => [...row])), rate, false),
  },
  {
    name: "V3, integers, zlib",
    size: ({ raw, rate }) => message(Version.V3, one(raw.map((row) => [...row])), rate),
  },
  {
    name: "V3, int16 array",
    size: ({ raw, rate }) => {
      const data = Int16Array.from(raw.flatMap((row) => [...row]));
      const shape = raw.length === 1 ? [data.length] : [raw.length, raw[0]!.length];
      return message(Version.V3, new NdArray("int16", data, shape), rate);
    },
  },
  {
    name: "V3, packed signal",
    size: ({ raw, rate }) => {
      const leads = raw.map((row) => Int32Array.from(row));
      // What is no integer has no packed form.
      if (raw.some((row) => row.some((value) => !Number.isInteger(value)))) return undefined;
      return message(Version.V3, packSamples(0, 0, leads), rate);
    },
  },
];

/** An array of floats is written as float 64 throughout, as Python writes its lists. */
const floats = (row: readonly number[]): Float64Array => Float64Array.from(row);

export interface SizeRow {
  readonly name: string;
  /** Mean bytes of a message. */
  readonly bytes: number;
  readonly perSample: number;
}

/** Every encoding over a whole recording, cut into messages of so many seconds. */
export function sizesOf(recording: Recording, seconds: number): SizeRow[] {
  const { rate, leads, samples } = recording;
  const size = Math.max(1, Math.round(seconds * rate));
  const length = samples[0]!.length;
  const pieces: Excerpt[] = [];
  for (let at = 0; at + size <= length; at += size) {
    const raw = samples.map((row) => row.slice(at, at + size));
    // A missing sample has no integer.
    if (raw.every((row) => row.every(Number.isFinite))) pieces.push({ rate, leads, raw });
  }
  return encodings.flatMap(({ name, size: sizeOf }) => {
    const sizes = pieces.map(sizeOf).filter((bytes) => bytes !== undefined);
    if (sizes.length === 0) return [];
    const bytes = sizes.reduce((sum, one) => sum + one, 0) / sizes.length;
    return [{ name, bytes, perSample: bytes / size / leads.length }];
  });
}
