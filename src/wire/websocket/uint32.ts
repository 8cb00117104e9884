/**
 * Bytes as 32-bit words, for message ports that only know numbers (a webview's native bridge).
 *
 * ```text
 * byte i → bits 8·(i mod 4) to 8·(i mod 4)+7 of word ⌊i / 4⌋   (little-endian, on every machine)
 * words    ⌈length / 4⌉, the last one filled up with zero bytes
 * ```
 *
 * The length in bytes travels beside the words: `{ length, data }`.
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";

/** Bytes packed into words. */
export interface Packed {
  /** How many bytes the words hold. */
  readonly length: number;
  /** Integers of 0–4,294,967,295. An ordinary array: bridges turn it into a list of numbers. */
  readonly data: number[];
}

/** Why a packed message is refused. */
export type PackedErrorCode =
  /** Not an object with words named `data`: an array, a `Uint32Array`, or what JSON makes of one. */
  | "BAD_SHAPE"
  /** The length is no whole number of zero or more. */
  | "BAD_LENGTH"
  /** The length is over the limit of the reader. */
  | "TOO_LARGE"
  /** Not as many words as the length needs. */
  | "LENGTH_MISMATCH"
  /** A word that is no whole number of 0–4,294,967,295. */
  | "BAD_WORD"
  /** Something hides in the bytes after the length. */
  | "BAD_PADDING";

/** Packs bytes. */
export function pack(bytes: Uint8Array): Packed {
  const { length } = bytes;
  const data = new Array<number>(Math.ceil(length / 4)).fill(0);
  const whole = length >>> 2;
  for (let i = 0, at = 0; i < whole; i++, at += 4) {
    data[i] = (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>>
      0;
  }
  let last = 0;
  for (let at = 4 * whole; at < length; at++) last |= bytes[at]! << 8 * (at & 3);
  if (whole < data.length) data[whole] = last;
  return { length, data };
}

/**
 * Unpacks what a port delivered, whatever that is. `maxLength` is the most bytes taken.
 *
 * Throws {@linkcode WireError} with a {@linkcode PackedErrorCode}; its offset is the byte where the
 * bad word begins.
 */
export function unpack(message: unknown, maxLength: number): Bytes {
  const { length, data } = shapeOf(message);
  if (!Number.isSafeInteger(length) || length < 0) refuse("BAD_LENGTH");
  if (length > maxLength) refuse("TOO_LARGE");
  const words = Math.ceil(length / 4);
  if (countOf(data) !== words) refuse("LENGTH_MISMATCH");
  const bytes = new Uint8Array(4 * words);
  for (let i = 0, at = 0; i < words; i++, at += 4) {
    const word = data[i];
    if (typeof word !== "number" || word >>> 0 !== word) refuse("BAD_WORD", at);
    bytes[at] = word;
    bytes[at + 1] = word >>> 8;
    bytes[at + 2] = word >>> 16;
    bytes[at + 3] = word >>> 24;
  }
  for (let at = length; at < bytes.length; at++) {
    if (bytes[at] !== 0) refuse("BAD_PADDING", 4 * (words - 1));
  }
  return bytes.subarray(0, length);
}

/** Words by their index. */
type Words = { readonly [at: number]: unknown };

function shapeOf(message: unknown): { length: number; data: Words } {
  if (typeof message !== "object" || message === null) refuse("BAD_SHAPE");
  if (!("length" in message && "data" in message)) refuse("BAD_SHAPE");
  const { length, data } = message;
  if (typeof length !== "number") refuse("BAD_LENGTH");
  if (typeof data !== "object" || data === null) refuse("BAD_SHAPE");
  if (ArrayBuffer.isView(data) && !(data instanceof Uint32Array)) refuse("BAD_SHAPE");
  return { length, data: data as Words };
}

/** A `Uint32Array` that has passed through JSON has lost its length: `{"0": …, "1": …}`. */
const countOf = (data: Words): number =>
  Array.isArray(data) || data instanceof Uint32Array ? data.length : Object.keys(data).length;

function refuse(code: PackedErrorCode, offset = 0): never {
  throw new WireError<PackedErrorCode>(code, offset);
}
