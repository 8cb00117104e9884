/**
 * One change to one record of one collection: the plaintext of an Operation frame.
 *
 * | size | field |
 * | --- | --- |
 * | 1 | kind: 0 insert, 1 update, 2 delete |
 * | 1 + n | collection: length 1..127, UTF-8 |
 * | 16 | id of the record |
 * | 8 | Lamport counter, u64 |
 * | 4 | hash of the sender's node id, u32, opaque |
 * | rest | the changes: one BlazeBinary record (`record.ts`), empty for a delete |
 *
 * Every number is big-endian.
 *
 * The protocol calls the length a varint in one place and a byte in another. Up to 127 both are
 * the same byte, so longer names are refused. So is an empty one: no database has a collection
 * without a name.
 *
 * @module
 */
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../bytes.ts";
import {
  decodeRecord,
  encodeRecord,
  type Fields,
  type FieldsInput,
  type RecordErrorCode,
  type RecordOptions,
  Uuid,
} from "./blaze_record.ts";

/** What an operation does, by its code on the wire. */
export const operationKinds = ["insert", "update", "delete"] as const;

/** What an operation does. */
export type OperationKind = typeof operationKinds[number];

/** One change to one record. */
export interface Operation<Changes = Fields> {
  readonly kind: OperationKind;
  /** Name of the collection, 1 to 127 bytes of UTF-8. */
  readonly collection: string;
  /** The record that changes. */
  readonly id: Uuid;
  /** Lamport counter of the sender, an unsigned 64-bit integer. */
  readonly counter: bigint;
  /** Hash of the sender's node id, an unsigned 32-bit integer. Settles equal counters. */
  readonly node: number;
  /** The new values by field name. */
  readonly changes: Changes;
}

/**
 * Why an operation was refused: `TRUNCATED` in the header, `UNKNOWN_OPERATION` for a kind above 2,
 * `NAME_LENGTH` for a collection name that is empty or above 127 bytes, and the codes of records.
 */
export type OperationErrorCode = RecordErrorCode | "UNKNOWN_OPERATION" | "NAME_LENGTH";

const MAX_NAME_BYTES = 127;

/**
 * The bytes of an operation.
 *
 * Throws {@linkcode WireError} with an {@linkcode OperationErrorCode}, `RangeError` for a counter
 * or node out of range, `TypeError` for an unknown kind, and what `encodeRecord` throws.
 */
export function encodeOperation(
  operation: Operation<FieldsInput>,
  options: RecordOptions = {},
): Bytes {
  const { kind, collection, id, counter, node } = operation;
  const code = operationKinds.indexOf(kind);
  if (code < 0) throw new TypeError(`not a kind of operation: ${JSON.stringify(kind)}`);
  if (BigInt.asUintN(64, counter) !== counter) {
    throw new RangeError(`counter ${counter} is not an unsigned 64-bit integer`);
  }
  if (node >>> 0 !== node) throw new RangeError(`node ${node} is not an unsigned 32-bit integer`);
  if (!collection.isWellFormed()) refuse("INVALID_TEXT", 2);
  const name = utf8Bytes(collection);
  checkName(name.length);
  const head = new Writer(30 + name.length)
    .u8(code).u8(name.length).bytes(name).u64(id.high).u64(id.low).u64(counter).u32(node);
  return concat(head.finish(), encodeRecord(operation.changes, options));
}

/**
 * The operation that `bytes` hold, all of them. The result shares no memory with them.
 *
 * Throws {@linkcode WireError} with an {@linkcode OperationErrorCode}.
 */
export function decodeOperation(bytes: Uint8Array): Operation {
  const r = new Reader(bytes);
  const kind = operationKinds[r.u8()];
  if (kind === undefined) refuse("UNKNOWN_OPERATION", 0);
  const length = r.u8();
  checkName(length);
  const collection = r.text(length);
  const id = new Uuid(r.u64(), r.u64());
  const counter = r.u64();
  const node = r.u32();
  return { kind, collection, id, counter, node, changes: decodeRecord(bytes, r.offset) };
}

function checkName(length: number): void {
  if (length === 0 || length > MAX_NAME_BYTES) refuse("NAME_LENGTH", 1);
}

function refuse(code: OperationErrorCode, at: number): never {
  throw new WireError(code, at);
}
