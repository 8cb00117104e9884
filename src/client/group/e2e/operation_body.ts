/**
 * What an Operation frame of the group holds once it is opened, decompressed and unpadded:
 *
 * | bytes  | field                                                                       |
 * | ------ | --------------------------------------------------------------------------- |
 * | 1      | flags: bit 0 signed, bit 1 on behalf of a sponsored client, others 0        |
 * | 1 or 9 | how far the counter is above that of the sender's previous operation: 1 to   |
 * |        | 254, or 255 and u64 counter of the previous one (0 for none)                |
 * | 16     | with bit 1: node id of that client                                          |
 * | n      | the operation (`wire/blaze/operation.ts`)                                   |
 * | 64     | with bit 0: signature of `BX1 operation` ‖ group 16 ‖ node 16 ‖ all above   |
 *
 * The id of an operation is its sender's node id and its Lamport counter. Since each names the one
 * before it, a receiver sees that something is missing. Nothing here depends on the epoch: a queued
 * operation can be sealed again after a rotation.
 *
 * @module
 */
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { decodeOperation, encodeOperation, type Operation } from "../../../wire/blaze/operation.ts";
import type { FieldsInput } from "../../../wire/blaze/blaze_record.ts";
import { type Card, type Identity, sign, SIGNATURE_LENGTH, signed } from "./identity.ts";

const SIGNED = 1;
const ON_BEHALF = 2;
const FAR = 255;
const LABEL = utf8Bytes("BX1 operation");

export interface Body {
  readonly operation: Operation;
  /** Counter of the sender's operation before this one; 0 for none. */
  readonly previous: bigint;
  /** The sponsored client that made it. */
  readonly origin?: Bytes | undefined;
  readonly signature?: Bytes | undefined;
  /** What the signature covers, but for label, group and node. */
  readonly covered: Uint8Array;
}

export interface BodyInput {
  readonly operation: Operation<FieldsInput>;
  readonly previous: bigint;
  readonly origin?: Uint8Array | undefined;
}

/** Writes a body, signed where an identity is given. */
export async function encodeBody(
  { operation, previous, origin }: BodyInput,
  group: Uint8Array,
  signer?: Identity,
): Promise<Bytes> {
  const w = new Writer(256).u8((signer ? SIGNED : 0) | (origin ? ON_BEHALF : 0));
  const step = operation.counter - previous;
  if (step < 1n) throw new RangeError("counters go up");
  if (step < BigInt(FAR) && previous > 0n) w.u8(Number(step));
  else w.u8(FAR).u64(previous);
  if (origin) w.bytes(origin);
  const head = w.bytes(encodeOperation(operation)).finish();
  if (!signer) return head.slice();
  const signature = await sign(signer.sign, concat(LABEL, group, signer.card.node, head));
  return concat(head, signature);
}

/** Reads a body. Throws `RESERVED_BITS`, `BAD_COUNTER`, `TRUNCATED` and the codes of operations. */
export function decodeBody(bytes: Uint8Array): Body {
  const flags = bytes[0] ?? 0;
  if ((flags & ~(SIGNED | ON_BEHALF)) !== 0) throw new WireError("RESERVED_BITS", 0);
  const end = bytes.length - (flags & SIGNED ? SIGNATURE_LENGTH : 0);
  const covered = bytes.subarray(0, Math.max(0, end));
  const r = new Reader(covered);
  r.u8();
  const step = r.u8();
  const far = step === FAR ? r.u64() : undefined;
  const origin = flags & ON_BEHALF ? r.bytes(NODE_ID_LENGTH).slice() : undefined;
  const operation = decodeOperation(r.rest().slice());
  const previous = far ?? operation.counter - BigInt(step);
  if (previous < 0n || previous >= operation.counter) throw new WireError("BAD_COUNTER", 1);
  const signature = flags & SIGNED ? bytes.slice(end) : undefined;
  return { operation, previous, origin, signature, covered };
}

/** Whether the device of this card signed the body. */
export async function bodySigned(
  { signature, covered }: Body,
  group: Uint8Array,
  card: Card,
): Promise<boolean> {
  if (!signature) return false;
  return await signed(card.signKey, signature, concat(LABEL, group, card.node, covered));
}
