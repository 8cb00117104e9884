/**
 * What a newcomer is given beside the group itself, to read back to the checkpoint: a GroupInfo
 * extension of the Welcome, type 0xF0B3.
 *
 * u16 count, then for each epoch from that of the checkpoint to the one that its commit ends,
 * oldest first: epoch secret 32 ‖ bound: sequence u64 ‖ chain hash 32.
 *
 * A **log head** is an entry of a log: its sequence, and the chain hash up to it.
 *
 * @module
 */
import { type Bytes, Reader, WireError, Writer } from "../../../wire/bytes.ts";

const SECRET = 32;
const HASH = 32;
const ENTRY = SECRET + 8 + HASH;
/** Rule 17 makes a checkpoint after 64 epochs; one that is late must not shut newcomers out. */
export const MAX_CARRY = 1024;

export interface LogHead {
  readonly sequence: bigint;
  /** 32 bytes. */
  readonly hash: Bytes;
}

/** The secret of an epoch, and the last entry of its log that counts. */
export interface CarriedEpoch {
  readonly secret: Bytes;
  readonly bound: LogHead;
}

export type Carry = readonly CarriedEpoch[];

/** Throws `TOO_MANY`: more than {@linkcode MAX_CARRY} epochs. */
export function encodeCarry(carry: Carry): Bytes {
  if (carry.length > MAX_CARRY) throw new WireError("TOO_MANY", 0, "epochs since the checkpoint");
  const w = new Writer(2 + ENTRY * carry.length).u16(carry.length);
  for (const { secret, bound } of carry) w.bytes(secret).u64(bound.sequence).bytes(bound.hash);
  return w.finish().slice();
}

/** Throws `TOO_MANY`, `TRUNCATED`, `TRAILING_BYTES`. */
export function decodeCarry(bytes: Uint8Array): Carry {
  const r = new Reader(bytes);
  const count = r.u16();
  if (count > MAX_CARRY) throw new WireError("TOO_MANY", 0, "epochs since the checkpoint");
  const carry: CarriedEpoch[] = [];
  for (let i = 0; i < count; i++) {
    const secret = r.bytes(SECRET).slice();
    carry.push({ secret, bound: { sequence: r.u64(), hash: r.bytes(HASH).slice() } });
  }
  r.end();
  return carry;
}
