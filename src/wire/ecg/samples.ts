/**
 * The packed signal: integer samples of one or more leads as the data of a MessagePack ext, in a
 * fifth of the room that their JSON takes and without a sample lost.
 *
 * | offset | bytes | field    | range                                                          |
 * | -----: | ----: | -------- | -------------------------------------------------------------- |
 * |      0 |     1 | format   | 1                                                              |
 * |      1 |     2 | scale    | id of the {@linkcode Scale} that says what the integers mean   |
 * |      3 |     4 | position | samples of each lead before this chunk, modulo 2^32            |
 * |      7 |     1 | leads    | 1 to 64                                                        |
 * |      8 |     2 | samples  | of each lead, 1 to 65,535                                      |
 * |     10 |     n | lead     | as in `rice.ts`, one after the other; nothing after the last   |
 *
 * Numbers are big-endian. A chunk can be read without any other. Leads times samples is at most
 * 65,536: a few bytes could otherwise ask their reader for gigabytes.
 *
 * @module
 */
import { type Bytes, concat, Reader, WireError, Writer } from "../bytes.ts";
import { Ext } from "./msgpack.ts";
import { decodeLead, encodeLead } from "./rice.ts";
import { MAX_LEADS } from "./scale.ts";

/** Ext type of a packed signal, "E". */
export const PACKED = 0x45;
/** Most samples in one chunk, all leads together. */
export const MAX_SAMPLES = 65_536;

const FORMAT = 1;
const HEADER = 10;

/** What a chunk says before its samples. */
export interface ChunkHeader {
  /** Id of the scale. */
  readonly scale: number;
  /** Samples of each lead before this chunk, modulo 2^32. */
  readonly position: number;
  readonly leads: number;
  /** Samples of each lead. */
  readonly samples: number;
}

/** A chunk that was read. */
export interface Chunk {
  readonly scale: number;
  readonly position: number;
  /** Raw samples, lead by lead, all equally long. */
  readonly leads: readonly Int32Array<ArrayBuffer>[];
}

/** Writes a chunk. Throws `INVALID_SAMPLES` for leads of different lengths, and `TOO_LARGE`. */
export function packSamples(scale: number, position: number, leads: readonly Int32Array[]): Ext {
  const samples = leads[0]?.length ?? 0;
  checkSize(leads.length, samples, 0);
  for (const lead of leads) {
    if (lead.length !== samples) throw invalid(0, "leads of different lengths");
  }
  const header = new Writer(HEADER);
  header.u8(FORMAT).u16(scale).u32(position >>> 0).u8(leads.length).u16(samples);
  return new Ext(PACKED, concat(header.finish(), ...leads.map(encodeLead)));
}

/** Reads what a chunk says of itself, and looks at nothing behind it. */
export function readChunkHeader(data: Uint8Array): ChunkHeader {
  const reader = new Reader(data);
  const format = reader.u8();
  if (format !== FORMAT) throw invalid(0, `format ${format}`);
  const scale = reader.u16();
  const position = reader.u32();
  const leads = reader.u8();
  const samples = reader.u16();
  checkSize(leads, samples, 7);
  return { scale, position, leads, samples };
}

/**
 * Reads a chunk. Throws `INVALID_SAMPLES`, `TOO_LARGE`, `TRUNCATED` and `TRAILING_BYTES`; before
 * anything is allocated for what it announces, the bytes for it are seen to be there.
 */
export function unpackSamples(data: Uint8Array): Chunk {
  const { scale, position, leads: count, samples } = readChunkHeader(data);
  // Setup and first sample take two bytes at least, each further sample a bit.
  const least = count * (2 + (samples + 6 >>> 3));
  if (data.length - HEADER < least) throw new WireError("TRUNCATED", data.length);
  const leads: Int32Array<ArrayBuffer>[] = [];
  let at = HEADER;
  for (let i = 0; i < count; i++) {
    const lead = new Int32Array(samples);
    at = decodeLead(data, at, lead);
    leads.push(lead);
  }
  if (at < data.length) throw new WireError("TRAILING_BYTES", at);
  return { scale, position, leads };
}

/** The chunk in a value of a payload, if it is one. */
export const chunkData = (value: unknown): Bytes | undefined =>
  value instanceof Ext && value.type === PACKED ? value.data as Bytes : undefined;

function checkSize(leads: number, samples: number, offset: number): void {
  if (leads < 1 || samples < 1) throw invalid(offset, "no samples");
  if (leads > MAX_LEADS) throw invalid(offset, `more than ${MAX_LEADS} leads`);
  if (samples > 0xffff || leads * samples > MAX_SAMPLES) {
    throw new WireError("TOO_LARGE", offset, `more than ${MAX_SAMPLES} samples`);
  }
}

const invalid = (offset: number, detail: string): WireError =>
  new WireError("INVALID_SAMPLES", offset, detail);
