/**
 * Padding, so that lengths say little: 80, then zeros, up to the next size of PADMÉ (at most 12 %
 * more). It is put on after compressing and taken off after opening; it needs a byte at least, where
 * a zstd skippable frame would need eight, and it serves what is not compressed as well.
 *
 * @module
 */
import { type Bytes, concat, WireError } from "../../../wire/bytes.ts";

const MARK = 0x80;

/** The size that `length` bytes are padded to: only its few highest bits may be set. */
export function padme(length: number): number {
  if (length < 32) return 32;
  const exponent = Math.floor(Math.log2(length));
  const kept = Math.floor(Math.log2(exponent)) + 1;
  const step = 2 ** (exponent - kept);
  return Math.ceil(length / step) * step;
}

export function pad(bytes: Uint8Array): Bytes {
  const padded = new Uint8Array(padme(bytes.length + 1));
  padded.set(bytes);
  padded[bytes.length] = MARK;
  return padded;
}

/** Padded, or with the mark alone, which whoever opens it looks for. */
export const padded = (bytes: Uint8Array, hide: boolean): Bytes =>
  hide ? pad(bytes) : concat(bytes, Uint8Array.of(MARK));

/** Takes the padding off: a view. Throws `BAD_PADDING`. */
export function unpad(padded: Uint8Array): Uint8Array {
  let end = padded.length - 1;
  while (end >= 0 && padded[end] === 0) end--;
  if (padded[end] !== MARK) throw new WireError("BAD_PADDING", Math.max(0, end));
  return padded.subarray(0, end);
}
