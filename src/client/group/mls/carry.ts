/**
 * What a newcomer is given beside the group itself, to read what came before, and to see that the one
 * epoch followed from the other: a GroupInfo extension of the Welcome, type 0xF0B3.
 *
 * u16 count ‖ u8 length of the suite's hash, h (32 or 64), then for each epoch up to the one that its
 * commit ends, oldest first: bound: sequence u64 ‖ chain hash 32 ‖ interim transcript hash h ‖
 * confirmation key h. The epoch secret follows of the confirmation key.
 *
 * A **log head** is an entry of a log: its sequence, and the chain hash up to it.
 *
 * @module
 */
import { derive } from "../e2e/derive.ts";
import { type Bytes, Reader, WireError, Writer } from "../../../wire/bytes.ts";

const HASH = 32;
/** Of SHA-256, and with `postQuantum` of SHA-512. */
const MLS_HASHES: readonly number[] = [32, 64];
/** Rule 17 makes a checkpoint after 64 epochs; one that is late must not shut newcomers out. */
export const MAX_CARRY = 1024;

export interface LogHead {
  readonly sequence: bigint;
  /** 32 bytes. */
  readonly hash: Bytes;
}

/**
 * What shows which commit began an epoch, to who was not there. Who was removed by that commit does not
 * know the key, and cannot find another one that fits the commit's tag.
 */
export interface EpochWitness {
  /** Interim transcript hash after that commit (RFC 9420, 8.2). */
  readonly interim: Bytes;
  /** The key of that commit's confirmation tag (8.1): what the epoch secret is made of. */
  readonly confirmationKey: Bytes;
}

export interface CarriedEpoch extends EpochWitness {
  /** The last entry of its log that counts. */
  readonly bound: LogHead;
}

export type Carry = readonly CarriedEpoch[];

/**
 * The epoch secret: 32 bytes, of which all keys of the epoch's payloads and its log come.
 *
 * Of the confirmation key, and not of the exporter: the tag of the commit that began the epoch fits no
 * other confirmation key. So who has seen the commit, and is told the key, reads the log that followed,
 * and nobody can name another one for it.
 */
export const epochSecretOf = (confirmationKey: Uint8Array, group: Uint8Array): Promise<Bytes> =>
  derive(confirmationKey, 32, "BX2 epoch", group);

/** Throws `TOO_MANY`: more than {@linkcode MAX_CARRY} epochs. */
export function encodeCarry(carry: Carry): Bytes {
  if (carry.length > MAX_CARRY) throw new WireError("TOO_MANY", 0, "epochs before");
  const length = carry[0]?.interim.length ?? HASH;
  const w = new Writer(3 + (8 + HASH + 2 * length) * carry.length);
  w.u16(carry.length).u8(length);
  for (const { bound, interim, confirmationKey } of carry) {
    w.u64(bound.sequence).bytes(bound.hash).bytes(interim).bytes(confirmationKey);
  }
  return w.finish().slice();
}

/** Throws `TOO_MANY`, `BAD_LENGTH`, `TRUNCATED`, `TRAILING_BYTES`. */
export function decodeCarry(bytes: Uint8Array): Carry {
  const r = new Reader(bytes);
  const count = r.u16();
  if (count > MAX_CARRY) throw new WireError("TOO_MANY", 0, "epochs before");
  const length = r.u8();
  if (!MLS_HASHES.includes(length)) throw new WireError("BAD_LENGTH", 2, "of a hash");
  const carry: CarriedEpoch[] = [];
  for (let i = 0; i < count; i++) {
    carry.push({
      bound: { sequence: r.u64(), hash: r.bytes(HASH).slice() },
      interim: r.bytes(length).slice(),
      confirmationKey: r.bytes(length).slice(),
    });
  }
  r.end();
  return carry;
}
