/**
 * Writes RFC 6455 frames (5.2):
 *
 * ```text
 * byte 0   FIN (bit 7), RSV1–3 (bits 6–4, zero here), opcode (bits 3–0)
 * byte 1   MASK (bit 7), length (bits 6–0): 0–125 as it is; 126, 127: see below
 * 2 bytes  if 126: the length, big-endian, 126–65,535
 * 8 bytes  if 127: the length, big-endian, 65,536–2^53−1
 * 4 bytes  if MASK: the masking key
 * ...      the payload, XORed with the key if MASK
 * ```
 *
 * Nothing here is random: a client draws a fresh key of four unpredictable bytes per frame (5.3) and
 * passes it in. Faults of the caller are `RangeError`s; a peer cannot cause any.
 *
 * @module
 */
import type { Bytes } from "../bytes.ts";
import { applyMask } from "./mask.ts";
import { isControl, MAX_CONTROL, type Opcode } from "./opcode.ts";

/** How a frame is written. */
export interface FrameOptions {
  /** Whether the message ends here. True unless said otherwise. */
  readonly fin?: boolean;
  /** Four bytes; clients always, servers never (5.1). */
  readonly mask?: Uint8Array | undefined;
}

/** Bytes of the header before a payload of `length` bytes: 2–14. */
export const headerLength = (length: number, masked: boolean): number =>
  (length < 126 ? 2 : length < 0x10000 ? 4 : 10) + (masked ? 4 : 0);

function writeHeader(to: Bytes, opcode: Opcode, length: number, options: FrameOptions): void {
  const { fin = true, mask } = options;
  if (isControl(opcode) && (!fin || length > MAX_CONTROL)) {
    throw new RangeError(`a control frame is whole and has at most ${MAX_CONTROL} bytes`);
  }
  if (mask && mask.length !== 4) throw new RangeError("a masking key has four bytes");
  const masked = mask ? 0x80 : 0;
  to[0] = (fin ? 0x80 : 0) | opcode;
  if (length < 126) {
    to[1] = masked | length;
  } else if (length < 0x10000) {
    to[1] = masked | 126;
    to[2] = length >>> 8;
    to[3] = length;
  } else {
    to[1] = masked | 127;
    const view = new DataView(to.buffer, to.byteOffset);
    // Two words by division: shifts would lose everything above 2^32.
    view.setUint32(2, Math.floor(length / 0x100000000));
    view.setUint32(6, length % 0x100000000);
  }
  if (mask) to.set(mask, headerLength(length, true) - 4);
}

/**
 * The header alone, for senders that pass the payload on without copying it. `length` is that of the
 * payload, 0–2^53−1. With a mask the payload still has to be masked, see {@linkcode applyMask}.
 *
 * Throws `RangeError` for a length out of range, a key that is not four bytes, and a control frame
 * that is fragmented or longer than 125 bytes (5.5).
 */
export function encodeHeader(opcode: Opcode, length: number, options: FrameOptions = {}): Bytes {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`a length of ${length}`);
  const header = new Uint8Array(headerLength(length, options.mask !== undefined));
  writeHeader(header, opcode, length, options);
  return header;
}

/**
 * One frame, header and payload in one new buffer. The payload is read and left as it is.
 *
 * Throws `RangeError` as {@linkcode encodeHeader} does.
 */
export function encodeFrame(
  opcode: Opcode,
  payload: Uint8Array,
  options: FrameOptions = {},
): Bytes {
  const start = headerLength(payload.length, options.mask !== undefined);
  const frame = new Uint8Array(start + payload.length);
  writeHeader(frame, opcode, payload.length, options);
  frame.set(payload, start);
  if (options.mask) applyMask(frame.subarray(start), options.mask);
  return frame;
}
