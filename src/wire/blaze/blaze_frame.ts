/**
 * The BlazeBinary frame: what one WebSocket message on `/sync` holds (seed 1, "Frame format").
 *
 * | bytes  | field                                                    |
 * | ------ | -------------------------------------------------------- |
 * | 2      | magic `bf 01`                                            |
 * | 1      | flags: C compressed, E encrypted, low four bits the type |
 * | 4 or 2 | payload length, unsigned, big-endian                     |
 * | n      | payload                                                  |
 *
 * One message is one frame and the length fits exactly, so the two header sizes need no marker: no
 * message can satisfy both. The long header goes to everybody, the short one to peers that set
 * `Capability.shortHeaders`.
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";

/** The sixteen message types. */
export const FrameType = {
  handshake: 0x0,
  handshakeAck: 0x1,
  operation: 0x2,
  operationAck: 0x3,
  query: 0x4,
  queryResult: 0x5,
  subscribe: 0x6,
  unsubscribe: 0x7,
  ping: 0x8,
  pong: 0x9,
  error: 0xa,
  disconnect: 0xb,
  compress: 0xc,
  decompress: 0xd,
  reserved: 0xe,
  extension: 0xf,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Largest payload, in bytes. */
export const MAX_PAYLOAD = 1_048_576;

/** Largest message: a payload, its header and the envelopes of the relay (see `extension.ts`). */
export const MAX_MESSAGE = MAX_PAYLOAD + 1024;

/**
 * The seed draws the flags as `C E V V T T T T` (legend), yet its four worked examples fit only
 * `C 1 0 E T T T T` (examples). The first frame of a link decides: a Handshake cannot be encrypted,
 * so 0x00 is the legend and 0x40 the examples.
 */
export type Reading = "legend" | "examples";

export type FrameErrorCode =
  | "TOO_SHORT"
  | "BAD_MAGIC"
  | "INCOMPLETE_PAYLOAD"
  | "LENGTH_MISMATCH"
  | "TOO_LARGE"
  | "RESERVED_BITS";

/** One frame, with its flags read. `payload` is a view of the message. */
export interface BlazeFrame {
  readonly type: FrameType;
  readonly compressed: boolean;
  readonly encrypted: boolean;
  readonly payload: Uint8Array;
}

/**
 * Checks magic, length and limit, and answers the size of the header: 7 or 5.
 *
 * Looks at seven bytes at most and allocates nothing: this is all a relay does with most frames.
 */
export function headerSize(message: Uint8Array): 5 | 7 {
  const n = message.length;
  if (n < 5) throw new WireError("TOO_SHORT", n);
  if (message[0] !== 0xbf || message[1] !== 0x01) throw new WireError("BAD_MAGIC", 0);
  const high = (message[3]! << 8) | message[4]!;
  if (high === n - 5) return 5;
  const long = n >= 7;
  const length = long ? high * 0x10000 + ((message[5]! << 8) | message[6]!) : high;
  const present = long ? n - 7 : n - 5;
  if (length > present) throw new WireError("INCOMPLETE_PAYLOAD", 3);
  if (length < present) throw new WireError("LENGTH_MISMATCH", 3);
  if (length > largest(message[2]!)) throw new WireError("TOO_LARGE", 3);
  return 7;
}

/** An Extension may carry a frame of the largest size in its envelope. */
const largest = (flags: number): number =>
  (flags & 0x0f) === FrameType.extension ? MAX_MESSAGE - 7 : MAX_PAYLOAD;

/** The type of a frame whose header was checked: the same bits in both readings. */
export const frameType = (message: Uint8Array): FrameType => (message[2]! & 0x0f) as FrameType;

/** Whether the reserved bits of a flags byte are as the reading wants them. */
export const flagsFit = (flags: number, reading: Reading): boolean =>
  reading === "legend" ? (flags & 0x30) === 0 : (flags & 0x60) === 0x40;

/** Reads one frame. Throws {@linkcode FrameErrorCode}; a wrong reserved bit is `RESERVED_BITS`. */
export function decodeFrame(message: Uint8Array, reading: Reading = "legend"): BlazeFrame {
  const header = headerSize(message);
  const flags = message[2]!;
  if (!flagsFit(flags, reading)) throw new WireError("RESERVED_BITS", 2);
  return {
    type: (flags & 0x0f) as FrameType,
    compressed: (flags & 0x80) !== 0,
    encrypted: (flags & (reading === "legend" ? 0x40 : 0x10)) !== 0,
    payload: message.subarray(header),
  };
}

/** How a peer wants its frames written. */
export interface FrameStyle {
  readonly reading?: Reading;
  /** Write the 5-byte header where the payload has at most 65,535 bytes. */
  readonly short?: boolean;
}

function writeHeader(length: number, flags: number, short: boolean): Bytes {
  const header = short && length <= 0xffff ? 5 : 7;
  const message = new Uint8Array(header + length);
  message[0] = 0xbf;
  message[1] = 0x01;
  message[2] = flags;
  let at = 3;
  if (header === 7) {
    message[at++] = length >>> 24;
    message[at++] = length >>> 16;
  }
  message[at++] = length >>> 8;
  message[at] = length;
  return message;
}

/** A frame whose payload, of so many bytes, is still to be written; the short header where that fits. */
export function frameOfLength(type: FrameType, length: number): Bytes {
  if (length > largest(type)) throw new WireError("TOO_LARGE", 3);
  return writeHeader(length, type, true);
}

/**
 * Writes one frame. Throws `TOO_LARGE` for a payload above {@linkcode MAX_PAYLOAD}, or an Extension
 * above {@linkcode MAX_MESSAGE}.
 */
export function encodeFrame(
  frame: { type: FrameType; payload?: Uint8Array; compressed?: boolean; encrypted?: boolean },
  { reading = "legend", short = false }: FrameStyle = {},
): Bytes {
  const length = frame.payload?.length ?? 0;
  if (length > largest(frame.type)) throw new WireError("TOO_LARGE", 3);
  const e = frame.encrypted ? (reading === "legend" ? 0x40 : 0x10) : 0;
  const flags = (frame.compressed ? 0x80 : 0) | (reading === "legend" ? 0 : 0x40) | e | frame.type;
  const message = writeHeader(length, flags, short);
  if (frame.payload) message.set(frame.payload, message.length - length);
  return message;
}

/**
 * The same frame in the style of another peer. Answers the message itself where nothing differs;
 * otherwise a copy with a new header over the same payload.
 */
export function restyleFrame(
  message: Bytes,
  from: Reading,
  { reading = "legend", short = false }: FrameStyle,
): Bytes {
  const header = headerSize(message);
  const same = reading === from;
  if (same && (header === 7 || short)) return message;
  const payload = message.subarray(header);
  if (!same) return encodeFrame(decodeFrame(message, from), { reading, short });
  const restyled = writeHeader(payload.length, message[2]!, short);
  restyled.set(payload, restyled.length - payload.length);
  return restyled;
}
