/**
 * The payload of a close frame (RFC 6455, 5.5.1 and 7.4): nothing, or
 *
 * ```text
 * code    u16, big-endian
 * reason  UTF-8, the rest: 0–123 bytes
 * ```
 *
 * @module
 */
import { type Bytes, utf8Bytes, utf8Text } from "../bytes.ts";
import { MAX_CONTROL } from "./opcode.ts";
import { FrameError } from "./violation.ts";

/** Stands for "the close frame had no code". It never travels (7.4.1). */
export const NO_CODE = 1005;

/** The most bytes (not characters) of a reason. */
export const MAX_REASON = MAX_CONTROL - 2;

/** What a close frame says. */
export interface CloseFrame {
  /** 1000–1003, 1007–1014, 3000–4999, or {@linkcode NO_CODE}. */
  readonly code: number;
  /** For people; often empty. */
  readonly reason: string;
}

/**
 * Whether a code may travel (7.4.2): those of the RFC, those registered with IANA since (1012–1014),
 * those of libraries (3000–3999) and of applications (4000–4999). 1004–1006 and 1015 may not.
 */
export const isCloseCode = (code: number): boolean =>
  Number.isInteger(code) &&
  ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
    (code >= 3000 && code <= 4999));

/**
 * The payload for a code and a reason; {@linkcode NO_CODE} makes the empty one.
 *
 * Throws `RangeError` for a code that may not travel, a reason without a code, and a reason of more
 * than {@linkcode MAX_REASON} bytes.
 */
export function encodeClose(code: number, reason = ""): Bytes {
  if (code === NO_CODE && reason === "") return new Uint8Array(0);
  if (!isCloseCode(code)) throw new RangeError(`close code ${code} never travels`);
  const text = utf8Bytes(reason);
  if (text.length > MAX_REASON) {
    throw new RangeError(`a close reason of ${text.length} bytes, at most ${MAX_REASON} fit`);
  }
  const payload = new Uint8Array(2 + text.length);
  payload[0] = code >>> 8;
  payload[1] = code;
  payload.set(text, 2);
  return payload;
}

/**
 * Reads a close payload. `offset` is where in the stream it begins, for the error.
 *
 * Throws {@linkcode FrameError} with `CLOSE_TRUNCATED`, `CLOSE_CODE` or `INVALID_UTF8`.
 */
export function decodeClose(payload: Uint8Array, offset = 0): CloseFrame {
  const [high, low] = payload;
  if (high === undefined) return { code: NO_CODE, reason: "" };
  if (low === undefined) throw new FrameError("CLOSE_TRUNCATED", offset);
  const code = high << 8 | low;
  if (!isCloseCode(code)) throw new FrameError("CLOSE_CODE", offset);
  try {
    return { code, reason: utf8Text(payload.subarray(2)) };
  } catch {
    throw new FrameError("INVALID_UTF8", offset + 2);
  }
}
