/**
 * A checkpoint: everything that counts at one entry of a log, so that what is below can go. Its contents
 * travel in parts (each an Extension 0x14):
 *
 * | bytes | part                                             |
 * | ----- | ------------------------------------------------ |
 * | 4     | u32 index, from 0                                |
 * | 1     | 1 if it is the last                              |
 * | n     | contents, at most 256 KiB and at least 1 byte    |
 *
 * | bytes  | contents, over all parts                                                    |
 * | ------ | --------------------------------------------------------------------------- |
 * | 8      | ring                                                                        |
 * | 8      | u64 sequence of the base: the entry before the first part                   |
 * | 32     | chain hash of the base                                                      |
 * | 32     | digest: SHA-256(`BX2 checkpoint` ‖ everything from the vector on)           |
 * | 64     | signature of all before it and the instances                                |
 * | 2      | number of instances                                                         |
 * | 32 × n | node 16, instance 8, u64 counter that may come next                         |
 * | n      | vector (`link_vector.ts`)                                                   |
 * | 4      | number of records                                                           |
 * | n      | u32 length and record (`record_state.ts`) each, in the order of collection and id |
 *
 * @module
 */
import {
  type Bytes,
  compareBytes,
  concat,
  concatAll,
  fromHex,
  hex,
  Reader,
  sameBytes,
  utf8Bytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { digest } from "../e2e/derive.ts";
import { type LinkVector, readLinks, writeLinks } from "./link_vector.ts";
import { decodeState, encodeState } from "./record_state.ts";
import type { RecordState } from "./replica.ts";

/** Contents in one part. */
export const PART_BYTES = 256 * 1024;
const RING = 8;
const HASH = 32;
const SIGNATURE = 64;
const INSTANCE = 8;
/** Length that a record has at least: name, id, and all its counts. */
const LEAST_RECORD = 4 + 37;

/** An instance that announced itself below the base. */
export interface KnownInstance {
  /** In hex. */
  readonly node: string;
  /** In hex. */
  readonly instance: string;
  /** Lowest counter of its that was not used yet. */
  readonly counter: bigint;
}

/** Where a checkpoint stands. */
export interface CheckpointBase {
  readonly ring: Bytes;
  readonly sequence: bigint;
  readonly hash: Bytes;
  readonly instances: readonly KnownInstance[];
}

/** Vector and records at one moment. */
export interface Checkpointed {
  readonly vector: LinkVector;
  readonly records: number;
  /** What the digest covers: vector, count and records. */
  readonly bytes: Bytes;
}

export interface Checkpoint {
  readonly base: CheckpointBase;
  readonly digest: Bytes;
  readonly signature: Bytes;
  /** What the signature covers, but for label, group and node. */
  readonly covered: Bytes;
  readonly vector: LinkVector;
  readonly states: readonly RecordState[];
}

/** Contents of these records, which are in the order of collection and id. */
export function snapshotOf(vector: LinkVector, states: Iterable<RecordState>): Checkpointed {
  const body = new Writer(64 * 1024);
  let records = 0;
  for (const state of states) {
    const bytes = encodeState(state);
    body.u32(bytes.length).bytes(bytes);
    records++;
  }
  const head = writeLinks(new Writer(1024), vector).u32(records).finish();
  return { vector, records, bytes: concat(head, body.finish()) };
}

export const checkpointDigest = ({ bytes }: Pick<Checkpointed, "bytes">): Promise<Bytes> =>
  digest("BX2 checkpoint", bytes);

/**
 * The parts of a checkpoint. `sign` gets what is signed (ring, sequence, hash, digest, instances); label, group
 * and node are its business.
 */
export async function checkpointParts(
  base: CheckpointBase,
  contents: Checkpointed,
  sign: (covered: Bytes) => Promise<Bytes>,
): Promise<Bytes[]> {
  const before = new Writer(128).bytes(base.ring).u64(base.sequence).bytes(base.hash)
    .bytes(await checkpointDigest(contents)).finish();
  const instances = new Writer(1024).u16(base.instances.length);
  for (const { node, instance, counter } of base.instances) {
    instances.bytes(fromHex(node)).bytes(fromHex(instance)).u64(counter);
  }
  const after = instances.finish();
  const signature = await sign(concat(before, after));
  const whole = concat(before, signature, after, contents.bytes);
  const parts: Bytes[] = [];
  for (let at = 0; at < whole.length; at += PART_BYTES) {
    const piece = whole.subarray(at, at + PART_BYTES);
    const last = at + PART_BYTES >= whole.length;
    parts.push(
      new Writer(5 + piece.length).u32(parts.length).u8(last ? 1 : 0).bytes(piece).finish(),
    );
  }
  return parts;
}

/**
 * Puts the parts of one checkpoint together. A first part begins anew, whoever sent it: the one before
 * was given up, or its author did not see that another had begun.
 */
export class CheckpointAssembly {
  #from = "";
  #next = 0;
  #length = 0;
  #pieces: Uint8Array[] = [];

  /** `most`: bytes of contents at most. */
  constructor(private readonly most: number) {}

  /**
   * Takes a part, and answers the contents with the last one. Throws `TRUNCATED`, `BAD_PART`, `TOO_LARGE`,
   * `OTHER_CHECKPOINT` for a part that does not go on what is there.
   */
  take(from: string, part: Uint8Array): Bytes | undefined {
    const r = new Reader(part);
    const index = r.u32();
    const last = r.u8();
    const piece = r.rest();
    if (last > 1 || piece.length === 0 || piece.length > PART_BYTES) {
      throw new WireError("BAD_PART", 4);
    }
    if (index > 0 && (from !== this.#from || index !== this.#next)) {
      throw new WireError("OTHER_CHECKPOINT", 0);
    }
    if (index === 0) this.#clear();
    if (this.#length + piece.length > this.most) {
      this.#clear();
      throw new WireError("TOO_LARGE", 5);
    }
    this.#from = from;
    this.#next = index + 1;
    this.#length += piece.length;
    this.#pieces.push(piece);
    if (last === 0) return undefined;
    const whole = concatAll(this.#pieces);
    this.#clear();
    return whole;
  }

  /** Forgets what there is of a checkpoint. */
  #clear(): void {
    this.#next = this.#length = 0;
    this.#pieces = [];
  }
}

/** The instances that a first part names, for who reads from it on. Throws `TRUNCATED`, `BAD_PART`. */
export function instancesIn(part: Uint8Array): KnownInstance[] {
  const r = new Reader(part);
  if (r.u32() !== 0) throw new WireError("BAD_PART", 0);
  r.bytes(1 + RING + 8 + HASH + HASH + SIGNATURE);
  return readInstances(r);
}

/**
 * Reads the contents of a checkpoint. Throws `TRUNCATED`, `TRAILING_BYTES`, `BAD_DIGEST`, `BAD_ORDER`, and
 * the codes of vectors and records. The signature is the caller's business.
 */
export async function decodeCheckpoint(bytes: Bytes): Promise<Checkpoint> {
  const r = new Reader(bytes);
  const ring = r.bytes(RING).slice() as Bytes;
  const sequence = r.u64();
  const hash = r.bytes(HASH).slice() as Bytes;
  const announced = r.bytes(HASH).slice() as Bytes;
  const signedEnd = r.offset;
  const signature = r.bytes(SIGNATURE).slice() as Bytes;
  const instancesAt = r.offset;
  const instances = readInstances(r);
  const covered = concat(bytes.subarray(0, signedEnd), bytes.subarray(instancesAt, r.offset));
  const body = bytes.subarray(r.offset);
  const vector = readLinks(r);
  const states = readStates(r);
  r.end();
  if (!sameBytes(await checkpointDigest({ bytes: body }), announced)) {
    throw new WireError("BAD_DIGEST", signedEnd - HASH);
  }
  const base = { ring, sequence, hash, instances };
  return { base, digest: announced, signature, covered, vector, states };
}

function readInstances(r: Reader): KnownInstance[] {
  const instances: KnownInstance[] = [];
  for (let left = r.u16(); left > 0; left--) {
    const node = hex(r.bytes(NODE_ID_LENGTH));
    instances.push({ node, instance: hex(r.bytes(INSTANCE)), counter: r.u64() });
  }
  return instances;
}

function readStates(r: Reader): RecordState[] {
  const at = r.offset;
  const count = r.u32();
  if (count * LEAST_RECORD > r.left) throw new WireError("TRUNCATED", at);
  const states: RecordState[] = [];
  for (let i = 0; i < count; i++) {
    const start = r.offset;
    const state = decodeState(r.bytes(r.u32()));
    const before = states.at(-1);
    if (before && !inOrder(before, state)) throw new WireError("BAD_ORDER", start);
    states.push(state);
  }
  return states;
}

function inOrder(a: RecordState, b: RecordState): boolean {
  if (a.collection === b.collection) {
    return a.id.high === b.id.high ? a.id.low < b.id.low : a.id.high < b.id.high;
  }
  return compareBytes(utf8Bytes(a.collection), utf8Bytes(b.collection)) < 0;
}
