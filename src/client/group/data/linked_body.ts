/**
 * The body of an operation in a group's log, before it is sealed:
 *
 * | bytes | field                                                                   |
 * | ----- | ----------------------------------------------------------------------- |
 * | 1     | flags: bit 0 signed, bit 1 on behalf of a sponsored client, others 0     |
 * | 8     | u64 counter of the author's operation before this one; 0 for none        |
 * | 8     | link of that operation; zeros for none                                   |
 * | 16    | with bit 1: node id of that client                                       |
 * | n     | the operation (`wire/blaze/operation.ts`)                                |
 * | 64    | with bit 0: signature over all above                                     |
 *
 * The link of an operation is the first 8 bytes of SHA-256(`BX2 link` ‖ link before ‖ body): it stands
 * for the operation and all that its author did before. Nothing here depends on an epoch or a log, so
 * a body can be sealed again.
 *
 * @module
 */
import { type Bytes, concat, Reader, sameBytes, WireError, Writer } from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { decodeOperation, encodeOperation, type Operation } from "../../../wire/blaze/operation.ts";
import type { FieldsInput } from "../../../wire/blaze/blaze_record.ts";
import { digest } from "../e2e/derive.ts";
import { type ChainHead, LINK_LENGTH, NO_HEAD } from "./link_vector.ts";

const SIGNED = 1;
const ON_BEHALF = 2;
const SIGNATURE = 64;

/** Signs what a body's signature covers. Label, group and node are the signer's business. */
export type SignBody = (covered: Bytes) => Promise<Bytes>;

/** A body as it was read, without its link. */
export interface ParsedBody {
  readonly operation: Operation;
  /** The author's operation before this one. */
  readonly previous: ChainHead;
  /** The sponsored client that made it. */
  readonly origin?: Bytes | undefined;
  readonly signature?: Bytes | undefined;
  /** What the signature covers. */
  readonly covered: Uint8Array;
  /** The whole body. */
  readonly bytes: Bytes;
}

export interface LinkedBody extends ParsedBody {
  readonly link: Bytes;
}

export interface BodyDraft {
  readonly operation: Operation<FieldsInput>;
  readonly previous: ChainHead;
  readonly origin?: Uint8Array | undefined;
}

/** Writes a body. Throws what operations throw, and `RangeError` for a counter that does not go up. */
export async function encodeLinked(
  { operation, previous, origin }: BodyDraft,
  sign?: SignBody,
): Promise<Bytes> {
  if (operation.counter <= previous.counter) throw new RangeError("counters go up");
  const w = new Writer(256).u8((sign ? SIGNED : 0) | (origin ? ON_BEHALF : 0));
  w.u64(previous.counter).bytes(previous.link);
  if (origin) w.bytes(origin);
  const covered = w.bytes(encodeOperation(operation)).finish().slice();
  return sign ? concat(covered, await sign(covered)) : covered;
}

/**
 * Reads a body. Throws `RESERVED_BITS`, `BAD_COUNTER`, `BAD_LINK`, `TRUNCATED` and the codes of
 * operations.
 */
export function parseLinked(bytes: Bytes): ParsedBody {
  const r = new Reader(bytes);
  const flags = r.u8();
  if ((flags & ~(SIGNED | ON_BEHALF)) !== 0) throw new WireError("RESERVED_BITS", 0);
  const previous = { counter: r.u64(), link: r.bytes(LINK_LENGTH).slice() };
  // The first operation has nothing before it, and every other one has something.
  const none = sameBytes(previous.link, NO_HEAD.link);
  if (previous.counter === 0n && !none) throw new WireError("BAD_LINK", 9);
  const origin = flags & ON_BEHALF ? r.bytes(NODE_ID_LENGTH).slice() : undefined;
  const end = bytes.length - (flags & SIGNED ? SIGNATURE : 0);
  if (end < r.offset) throw new WireError("TRUNCATED", r.offset);
  const operation = decodeOperation(bytes.subarray(r.offset, end));
  if (operation.counter <= previous.counter) throw new WireError("BAD_COUNTER", 1);
  const signature = flags & SIGNED ? bytes.slice(end) : undefined;
  return { operation, previous, origin, signature, covered: bytes.subarray(0, end), bytes };
}

/** Reads a body and computes its link. Throws as {@linkcode parseLinked}. */
export async function decodeLinked(bytes: Bytes): Promise<LinkedBody> {
  const body = parseLinked(bytes);
  const hash = await digest("BX2 link", body.previous.link, bytes);
  return { ...body, link: hash.slice(0, LINK_LENGTH) };
}
