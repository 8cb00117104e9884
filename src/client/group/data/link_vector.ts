/**
 * What somebody has of everybody's operations: for each author the last one, and the link that stands
 * for all before it.
 *
 * | bytes  | field                                                              |
 * | ------ | ------------------------------------------------------------------ |
 * | 2      | number of authors, at most 1,000                                   |
 * | 32 × n | node id 16, u64 counter (not 0), link 8; in the order of node ids  |
 *
 * @module
 */
import {
  type Bytes,
  fromHex,
  hex,
  Reader,
  sameBytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";

export const LINK_LENGTH = 8;
/** Authors of one group, those included that were removed. */
export const MAX_AUTHORS = 1_000;

/** An operation, and with its link all that its author did before. */
export interface ChainHead {
  readonly counter: bigint;
  readonly link: Bytes;
}

/** Before the first operation. */
export const NO_HEAD: ChainHead = { counter: 0n, link: new Uint8Array(LINK_LENGTH) };

export const sameHead = (a: ChainHead, b: ChainHead): boolean =>
  a.counter === b.counter && sameBytes(a.link, b.link);

/** By node id in hex. */
export type LinkVector = ReadonlyMap<string, ChainHead>;

/** Whether somebody who has `theirs` has all of `ours`, as far as counters and links tell. */
export function includes(theirs: LinkVector, ours: LinkVector): boolean {
  for (const [node, head] of ours) {
    const other = theirs.get(node) ?? NO_HEAD;
    if (other.counter < head.counter) return false;
    if (other.counter === head.counter && !sameHead(other, head)) return false;
  }
  return true;
}

export function writeLinks(w: Writer, vector: LinkVector): Writer {
  if (vector.size > MAX_AUTHORS) {
    throw new RangeError(`a vector has at most ${MAX_AUTHORS} authors`);
  }
  w.u16(vector.size);
  for (const node of [...vector.keys()].sort()) {
    const { counter, link } = vector.get(node)!;
    w.bytes(fromHex(node)).u64(counter).bytes(link);
  }
  return w;
}

/** Throws `TRUNCATED`, `COUNT_LIMIT`, `BAD_ORDER`, and `BAD_COUNTER` for 0. */
export function readLinks(r: Reader): Map<string, ChainHead> {
  const start = r.offset;
  const count = r.u16();
  if (count > MAX_AUTHORS) throw new WireError("COUNT_LIMIT", start);
  const vector = new Map<string, ChainHead>();
  let before = "";
  for (let i = 0; i < count; i++) {
    const at = r.offset;
    const node = hex(r.bytes(NODE_ID_LENGTH));
    if (node <= before) throw new WireError("BAD_ORDER", at);
    const counter = r.u64();
    if (counter === 0n) throw new WireError("BAD_COUNTER", at + NODE_ID_LENGTH);
    vector.set(node, { counter, link: r.bytes(LINK_LENGTH).slice() });
    before = node;
  }
  return vector;
}
