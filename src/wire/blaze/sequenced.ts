/**
 * Messages that hold a `sequenced` Extension, without the way over its values: they are what a log takes
 * and gives, one for each entry and each reader.
 *
 * The relay's answer to an append is the append itself under its number: only eight bytes of it differ.
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";
import { frameOfLength, FrameType } from "./blaze_frame.ts";
import { checkFrame, Subtype } from "./extension.ts";

/** Bytes of the payload before the frame in it: subtype u8, sequence u64. */
const BEFORE_FRAME = 9;
/** Longest message whose frame is copied: on one of the runtimes a view of a short array costs more. */
const COPIED = 1_000;
/** What a message may be a part of and is kept with, in bytes beside it. */
const SPARE = 64;

/**
 * The frame in a message whose header has so many bytes, to keep: a copy, or a view of a message that is
 * no part of anything much larger. Throws as `decodeExtension` does.
 */
export function sequencedFrame(message: Bytes, header: 5 | 7): Bytes {
  const at = header + BEFORE_FRAME;
  const { length } = message;
  if (length < at) throw new WireError("TRUNCATED", 1);
  const copied = length <= COPIED || message.buffer.byteLength - length > SPARE;
  const frame = copied ? message.slice(at) : message.subarray(at);
  checkFrame(frame, Subtype.sequenced, BEFORE_FRAME);
  return frame;
}

/** The number in a message around a frame of so many bytes. */
export function sequenceOf(message: Uint8Array, frame: number): bigint {
  const at = message.length - frame - 8;
  const high = u32(message, at);
  const low = u32(message, at + 4);
  return high === 0 ? BigInt(low) : BigInt(high) << 32n | BigInt(low);
}

const u32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;

/** Makes a message around a frame of so many bytes an entry of this number: nothing else is in it. */
export function setSequence(message: Bytes, frame: number, sequence: bigint): void {
  message[2] = FrameType.extension;
  const at = message.length - frame - 8;
  if (sequence > 0xffff_ffffn) {
    writeU32(message, at, Number(sequence >> 32n));
    return writeU32(message, at + 4, Number(sequence & 0xffff_ffffn));
  }
  writeU32(message, at, 0);
  writeU32(message, at + 4, Number(sequence));
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** A whole message around a frame, with the short header where that fits. Throws `TOO_LARGE`. */
export function sequencedMessage(sequence: bigint, frame: Uint8Array): Bytes {
  const length = BEFORE_FRAME + frame.length;
  const message = frameOfLength(FrameType.extension, length);
  message[message.length - length] = Subtype.sequenced;
  message.set(frame, message.length - frame.length);
  setSequence(message, frame.length, sequence);
  return message;
}
