/**
 * BlazeBinary records: named, typed values as bytes. Every number is big-endian.
 *
 * Envelope (BlazeBinary record, section 1):
 *
 * | offset | size | content |
 * | --- | --- | --- |
 * | 0 | 5 | "BLAZE", 42 4c 41 5a 45 |
 * | 5 | 1 | version: 1, or 2 with a checksum |
 * | 6 | 2 | field count, u16 |
 * | 8 | | the fields, each a key and a value |
 * | end-4 | 4 | version 2 only: CRC-32 (as in zlib) of everything before it |
 *
 * Key (section 2): the one-byte id of a common name (`fields.ts`), or ff, u16 length, UTF-8.
 *
 * Value (section 3), one tag and what follows it:
 *
 * | tag | kind | then |
 * | --- | --- | --- |
 * | 01 | string of 16 bytes or more | u32 length, UTF-8 |
 * | 02 | int | 8 bytes, two's complement |
 * | 03 | double | 8 bytes, IEEE 754 |
 * | 04 | bool | 01 or 00 |
 * | 05 | uuid | 16 bytes |
 * | 06 | date | double: seconds since 2001-01-01T00:00:00Z |
 * | 07 | data | u32 length, bytes |
 * | 08 | array | u16 count, values |
 * | 09 | dictionary | u16 count, entries: u16 key length, UTF-8, value |
 * | 0a | vector | u32 count, float32 each |
 * | 0b | null | |
 * | 11 | empty string | |
 * | 12 | int from 0 to 255 | 1 byte |
 * | 18, 19 | empty array, empty dictionary | |
 * | 20..2f | string of 0 to 15 bytes | as many bytes as the low four bits say |
 *
 * There is one encoding of a value: fields and keys sorted (`record_names.ts`), the shortest tag.
 * A decoder takes any order and the longer tags too, and any bool byte but 00 for true; it
 * refuses what two parsers could read differently, which is names that repeat and bytes after the
 * last field.
 *
 * @module
 */
import { type Bytes, concat, Reader, WireError, Writer } from "../bytes.ts";
import { crc32 } from "../zlib.ts";
import type { RecordErrorCode } from "./record_limits.ts";
import { readFields } from "./record_reader.ts";
import type { Fields, FieldsInput } from "./record_value.ts";
import { RecordWriter } from "./record_writer.ts";

export { type RecordErrorCode, recordLimits } from "./record_limits.ts";
export {
  BlazeDate,
  Double,
  type Fields,
  type FieldsInput,
  type RecordValue,
  Uuid,
  type ValueInput,
} from "./record_value.ts";

const MAGIC = Uint8Array.of(0x42, 0x4c, 0x41, 0x5a, 0x45);
const PLAIN = 1;
const CHECKED = 2;
const HEADER = 8;
const TRAILER = 4;

const plainHead = concat(MAGIC, Uint8Array.of(PLAIN));
const checkedHead = concat(MAGIC, Uint8Array.of(CHECKED));

/** How to write a record. */
export interface RecordOptions {
  /** Whether to end with a CRC-32. Off unless said; decryption already shows damage. */
  readonly checksum?: boolean;
}

/**
 * A record of these fields, in its one encoding: equal fields give equal bytes.
 *
 * Throws {@linkcode WireError} with a {@linkcode RecordErrorCode} for what the format cannot carry,
 * `RangeError` for an int beyond 64 bits, and `TypeError` for what is no value, `undefined`
 * included. All name the place, as in `tags[2]`. Nothing comes out of a record that is refused.
 *
 * ```ts
 * const bytes = encodeRecord({ title: "Crash", priority: 5, createdAt: new Date() });
 * ```
 */
export function encodeRecord(fields: FieldsInput, options: RecordOptions = {}): Bytes {
  const w = new RecordWriter(options.checksum ? checkedHead : plainHead);
  w.fields(fields);
  const record = w.finish();
  return options.checksum
    ? concat(record, new Writer(TRAILER).u32(crc32(record)).finish())
    : record;
}

/**
 * The fields of a record, which is all of `bytes` from `start`. The result shares no memory with
 * them. See `record_value.ts` for what each kind of value becomes.
 *
 * Throws {@linkcode WireError} with a {@linkcode RecordErrorCode}.
 *
 * ```ts
 * const { title, priority } = decodeRecord(bytes);
 * ```
 */
export function decodeRecord(bytes: Uint8Array, start = 0): Fields {
  const length = bytes.length - start;
  if (length < HEADER) refuse("TOO_SHORT", start);
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[start + i] !== MAGIC[i]) refuse("BAD_MAGIC", start + i);
  }
  const version = bytes[start + MAGIC.length];
  if (version !== PLAIN && version !== CHECKED) {
    refuse("UNSUPPORTED_VERSION", start + MAGIC.length);
  }
  // The fields end before the checksum: a length must not be able to reach into it.
  let end = bytes.length;
  if (version === CHECKED) {
    if (length < HEADER + TRAILER) refuse("TOO_SHORT", start);
    end -= TRAILER;
    const announced = new Reader(bytes, end).u32();
    if (crc32(bytes.subarray(start, end)) !== announced) refuse("CRC_MISMATCH", end);
  }
  const r = new Reader(bytes, start + MAGIC.length + 1, end);
  const fields = readFields(r);
  r.end();
  return fields;
}

function refuse(code: RecordErrorCode, at: number): never {
  throw new WireError(code, at);
}
