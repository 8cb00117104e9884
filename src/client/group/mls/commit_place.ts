/**
 * Where a commit was made: the authenticated data of its message.
 *
 * | bytes | field                                                              |
 * | ----- | ------------------------------------------------------------------ |
 * | 8     | ring of the log                                                    |
 * | 8     | u64 sequence of the last entry that its author had read            |
 * | 32    | chain hash after it                                                |
 * | 1     | 1 if for its author the epoch was in doubt (group.md, rule 12)     |
 *
 * @module
 */
import { type Bytes, Reader, sameBytes, WireError, Writer } from "../../../wire/bytes.ts";
import type { LogHead } from "./carry.ts";

/** A place in one life of a log. */
export interface LogPlace extends LogHead {
  /** 8 bytes. */
  readonly ring: Bytes;
}

export interface CommitPlace extends LogPlace {
  readonly doubt: boolean;
}

export const encodeCommitPlace = ({ ring, sequence, hash, doubt }: CommitPlace): Bytes =>
  new Writer(49).bytes(ring).u64(sequence).bytes(hash).u8(doubt ? 1 : 0).finish().slice();

/** Throws `TRUNCATED`, `TRAILING_BYTES`, `BAD_FLAG`. */
export function decodeCommitPlace(bytes: Uint8Array): CommitPlace {
  const r = new Reader(bytes);
  const ring = r.bytes(8).slice();
  const sequence = r.u64();
  const hash = r.bytes(32).slice();
  const at = r.offset;
  const flag = r.u8();
  if (flag > 1) throw new WireError("BAD_FLAG", at);
  r.end();
  return { ring, sequence, hash, doubt: flag === 1 };
}

/** Whether a commit that was made at `made` stands there. */
export const isInPlace = (made: LogPlace, place: LogPlace): boolean =>
  sameBytes(made.ring, place.ring) && made.sequence === place.sequence &&
  sameBytes(made.hash, place.hash);
