/**
 * A batch: whole messages one after the other in one WebSocket message, between ends that agreed on
 * it ("Batching: Multiple messages in one frame"). Each header says how long its message is, so
 * nothing is added.
 *
 * @module
 */
import type { Bytes } from "../bytes.ts";
import { headerSize } from "./codes.ts";

/** Most bytes that are joined; a longer message goes alone. */
export const MAX_BATCH = 16_384;

/**
 * The messages of a batch, views of its bytes. A batch of one is that message, and so is whatever is
 * longer than a batch may be.
 */
export function splitBatch(bytes: Bytes): Bytes[] {
  if (bytes.length > MAX_BATCH) return [bytes];
  const messages: Bytes[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = lengthAt(bytes, at);
    // Whatever is wrong with what is left is said when it is read.
    if (length === undefined || at + length >= bytes.length) break;
    messages.push(bytes.subarray(at, at + length));
    at += length;
  }
  messages.push(bytes.subarray(at));
  return messages;
}

/** Bytes of the message that begins here, if that much of it is here. */
function lengthAt(bytes: Uint8Array, at: number): number | undefined {
  const version = bytes[at];
  if (version !== 1 && version !== 2 && version !== 3) return undefined;
  if (at + 7 > bytes.length) return undefined;
  const size = (bytes[at + 3]! << 24 | bytes[at + 4]! << 16 | bytes[at + 5]! << 8 |
    bytes[at + 6]!) >>> 0;
  return headerSize[version] + size;
}
