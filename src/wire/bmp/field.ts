/**
 * The fields that both forms share, once their marks are found.
 *
 * @module
 */
import { utf8Bytes, utf8Text, WireError } from "../bytes.ts";
import type { BmpErrorCode } from "./bmp_frame.ts";
import type { BmpLimits } from "./bmp_limits.ts";

/** An error of this codec. `offset` counts from the first byte of the frame. */
export const fault = (code: BmpErrorCode, offset: number, detail?: string): WireError =>
  new WireError<BmpErrorCode>(code, offset, detail);

/** Bytes as text with one character (U+0000 to U+00FF) per byte. */
export function octets(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** A stream id. Throws `INVALID_UTF8`; `offset` is where in the frame it begins. */
export function idField(bytes: Uint8Array, from: number, to: number, offset: number): string {
  for (let i = from; i < to; i++) {
    if (bytes[i]! > 0x7f) return utf8Text(bytes.subarray(from, to), offset);
  }
  return octets(bytes, from, to);
}

/** The id's UTF-8 as {@linkcode octets}. Throws `RangeError` for a lone surrogate. */
export function idOctets(id: string): string {
  for (let i = 0; i < id.length; i++) {
    if (id.charCodeAt(i) > 0x7f) {
      if (!id.isWellFormed()) throw new RangeError("a stream id is well-formed Unicode");
      const bytes = utf8Bytes(id);
      return octets(bytes, 0, bytes.length);
    }
  }
  return id;
}

/**
 * A payload length: one or more hexadecimal digits of either case. Signs, spaces and `0x`, which the
 * real Blazeio lets through, are refused. Throws `BAD_LENGTH` and `PAYLOAD_TOO_LARGE`.
 */
export function lengthField(
  bytes: Uint8Array,
  from: number,
  to: number,
  offset: number,
  limits: BmpLimits,
): number {
  if (from === to) throw fault("BAD_LENGTH", offset, "no digits");
  let length = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    const lower = byte | 0x20;
    let digit: number;
    if (byte >= 0x30 && byte <= 0x39) digit = byte - 0x30;
    else if (lower >= 0x61 && lower <= 0x66) digit = lower - 0x57;
    else throw fault("BAD_LENGTH", offset + i - from, "not a hexadecimal digit");
    length = length * 16 + digit;
    if (length > limits.payloadBytes) {
      throw fault("PAYLOAD_TOO_LARGE", offset, `more than ${limits.payloadBytes} bytes`);
    }
  }
  return length;
}

/** A payload length as Blazeio writes it: upper case, no leading zeros. */
export const lengthText = (length: number): string => length.toString(16).toUpperCase();
