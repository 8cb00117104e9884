/**
 * What a device has of everybody's operations, and its own Lamport clock.
 *
 * For each node the history knows up to which counter nothing is missing, since every operation names
 * the one before it. That is what devices tell each other when they meet.
 *
 * @module
 */
import { type Bytes, fromHex, hex, Reader, WireError, Writer } from "../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import { ClientError } from "../client_error.ts";

/** For each node (in hex) the counter up to which nothing is missing. */
export type Vector = ReadonlyMap<string, bigint>;

/** Operations beyond a gap that are remembered for each node. Older ones would be taken twice. */
const MAX_AHEAD = 4_096;
/** A counter may be this far above the clock: a wild one must not use the clock up. */
const MAX_LEAP = 2n ** 40n;
const MAX_VECTOR = 1_000;

export class VectorClock {
  #clock = 0n;
  readonly #have = new Map<string, bigint>();
  /** Counters beyond a gap, and the one that each follows. */
  readonly #ahead = new Map<string, Map<bigint, bigint>>();

  get vector(): Vector {
    return this.#have;
  }

  /** The Lamport clock: as high as any counter seen. */
  get clock(): bigint {
    return this.#clock;
  }

  have(node: string): bigint {
    return this.#have.get(node) ?? 0n;
  }

  /** Issues the next counter for an operation of our own, and says which one it follows. */
  next(node: string): { counter: bigint; previous: bigint } {
    const previous = this.have(node);
    const counter = ++this.#clock;
    this.#have.set(node, counter);
    return { counter, previous };
  }

  /** Notes an operation. `gap`: something before it is missing. Throws `BAD_COUNTER`. */
  note(node: string, counter: bigint, previous: bigint): { fresh: boolean; gap: boolean } {
    const ahead = this.#ahead.get(node);
    if (counter <= this.have(node) || ahead?.has(counter)) return { fresh: false, gap: false };
    if (counter > this.#clock + MAX_LEAP) {
      throw new ClientError("BAD_COUNTER", `${counter} is far ahead of everybody`);
    }
    this.tick(counter);
    const gap = previous > this.have(node);
    if (!gap) this.#have.set(node, counter);
    else this.#remember(node, counter, previous);
    this.#close(node);
    return { fresh: true, gap };
  }

  /** Takes over what somebody else has, after getting all of it. */
  merge(vector: Vector): void {
    for (const [node, counter] of vector) {
      if (counter > this.have(node)) this.#have.set(node, counter);
      this.tick(counter);
      this.#close(node);
    }
  }

  /** Whether somebody who has `theirs` could give us anything. */
  lacks(theirs: Vector): boolean {
    for (const [node, counter] of theirs) if (counter > this.have(node)) return true;
    return false;
  }

  /** Whether a stamp is beyond what `vector` has. */
  static beyond(vector: Vector, node: string, counter: bigint): boolean {
    return counter > (vector.get(node) ?? 0n);
  }

  /** Moves the clock up to a counter that was seen. */
  tick(counter: bigint): void {
    if (counter > this.#clock) this.#clock = counter;
  }

  #remember(node: string, counter: bigint, previous: bigint): void {
    const ahead = this.#ahead.get(node) ?? new Map<bigint, bigint>();
    this.#ahead.set(node, ahead.set(counter, previous));
    if (ahead.size > MAX_AHEAD) ahead.delete(ahead.keys().next().value!);
  }

  /** Moves up over what has become contiguous. */
  #close(node: string): void {
    const ahead = this.#ahead.get(node);
    if (!ahead) return;
    const counters = [...ahead.keys()].sort((a, b) => a < b ? -1 : 1);
    for (const counter of counters) {
      const have = this.have(node);
      if (counter > have && ahead.get(counter)! > have) break;
      ahead.delete(counter);
      if (counter > have) this.#have.set(node, counter);
    }
    if (ahead.size === 0) this.#ahead.delete(node);
  }
}

/** u16 count, then node 16 and u64 counter each. */
export function writeVector(w: Writer, vector: Vector): Writer {
  w.u16(vector.size);
  for (const [node, counter] of vector) w.bytes(fromHex(node)).u64(counter);
  return w;
}

/** Throws `TRUNCATED`, and `COUNT_LIMIT` beyond 1,000 nodes. */
export function readVector(r: Reader): Map<string, bigint> {
  const at = r.offset;
  const count = r.u16();
  if (count > MAX_VECTOR) throw new WireError("COUNT_LIMIT", at);
  const vector = new Map<string, bigint>();
  for (let i = 0; i < count; i++) vector.set(hex(r.bytes(NODE_ID_LENGTH)), r.u64());
  return vector;
}

export const encodeVector = (vector: Vector): Bytes => writeVector(new Writer(64), vector).finish();
