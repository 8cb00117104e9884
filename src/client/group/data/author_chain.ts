/**
 * One author's operations as far as they count: the last one, where something is missing, and the links
 * of the last 64, which tell a repetition from a second operation under an old id.
 *
 * | bytes  | field                                                               |
 * | ------ | ------------------------------------------------------------------- |
 * | 16     | head: u64 counter, link                                             |
 * | 1      | 1 if something is missing                                           |
 * | 16, 16 | then: the last one before the first gap, and up to where it reaches |
 * | 1      | number of recent ones                                               |
 * | 16 × n | recent: u64 counter, link, oldest first                             |
 *
 * @module
 */
import { type Bytes, Reader, sameBytes, Writer } from "../../../wire/bytes.ts";
import { type ChainHead, LINK_LENGTH, NO_HEAD, sameHead } from "./link_vector.ts";

const MAX_RECENT = 64;

/**
 * - `next`: it follows the last one that counts. `gap`: something before it is missing; it counts.
 * - `filling`: it is what was missing, or the first of it; it counts.
 * - `repeated`: it counted before. `second`: another one stands there, or before it.
 */
export type ChainPlace = "next" | "gap" | "filling" | "repeated" | "second";

export class AuthorChain {
  #head = NO_HEAD;
  #gap: { readonly after: ChainHead; readonly until: ChainHead } | undefined;
  readonly #recent = new Map<bigint, Bytes>();

  /** The last operation that counts. */
  get head(): ChainHead {
    return this.#head;
  }

  get missing(): boolean {
    return this.#gap !== undefined;
  }

  /** The last operation up to which nothing is missing. */
  get whole(): ChainHead {
    return this.#gap?.after ?? this.#head;
  }

  /** Where an operation stands that follows `previous`. */
  place(operation: ChainHead, previous: ChainHead): ChainPlace {
    if (this.follows(previous)) return sameHead(previous, this.#head) ? "next" : "gap";
    if (this.#fills(operation, previous)) return "filling";
    // What is older than all that is remembered was read before, as far as anybody can tell.
    return this.knows(operation) ?? operation.counter <= this.#head.counter ? "repeated" : "second";
  }

  /** An operation counts that was missing. */
  fill(operation: ChainHead): void {
    const until = this.#gap!.until;
    this.#gap = sameHead(operation, until) ? undefined : { after: operation, until };
  }

  #fills(operation: ChainHead, previous: ChainHead): boolean {
    const gap = this.#gap;
    if (!gap || !sameHead(previous, gap.after)) return false;
    return operation.counter < gap.until.counter || sameHead(operation, gap.until);
  }

  /** Whether an operation behind this one would count. */
  follows(previous: ChainHead): boolean {
    return previous.counter > this.#head.counter || sameHead(previous, this.#head);
  }

  /** Whether this operation counts; nothing if it is too old to tell. */
  knows({ counter, link }: ChainHead): boolean | undefined {
    const known = this.#recent.get(counter);
    if (known) return sameBytes(known, link);
    const [oldest] = this.#recent.keys();
    return oldest !== undefined && counter < oldest ? undefined : false;
  }

  /** An operation counts. `missing`: what lies between the head and the one that it follows. */
  add(operation: ChainHead, missing?: ChainHead): void {
    if (missing) this.#gap = { after: this.whole, until: missing };
    this.#head = operation;
    this.#recent.set(operation.counter, operation.link);
    if (this.#recent.size > MAX_RECENT) this.#recent.delete(this.#recent.keys().next().value!);
  }

  /** Everything up to this operation is there, whatever was known of the time before. */
  reach(operation: ChainHead): void {
    if (this.#gap && operation.counter >= this.#gap.until.counter) this.#gap = undefined;
    if (this.#gap && operation.counter > this.#gap.after.counter) {
      this.#gap = { ...this.#gap, after: operation };
    }
    if (operation.counter >= this.#head.counter) this.add(operation);
  }

  /** Another past than was known counts up to this operation. `missing`: it is not here. */
  turn(operation: ChainHead, missing: boolean): void {
    this.#recent.clear();
    if (missing) this.add(operation, operation);
    else this.reach(operation);
  }

  /** Goes back behind the last operation, to the one that it follows. */
  back(previous: ChainHead): void {
    this.#recent.delete(this.#head.counter);
    this.#head = previous;
    if (this.#gap && previous.counter <= this.#gap.until.counter) this.#gap = undefined;
    if (previous.counter > 0n && !this.#recent.has(previous.counter)) this.add(previous);
  }

  encode(): Bytes {
    const w = new Writer(64);
    const put = ({ counter, link }: ChainHead) => w.u64(counter).bytes(link);
    put(this.#head);
    w.u8(this.#gap ? 1 : 0);
    if (this.#gap) {
      put(this.#gap.after);
      put(this.#gap.until);
    }
    w.u8(this.#recent.size);
    for (const [counter, link] of this.#recent) put({ counter, link });
    return w.finish();
  }

  /** What was saved. Throws `TRUNCATED`. */
  static decode(bytes: Uint8Array): AuthorChain {
    const r = new Reader(bytes);
    const head = () => ({ counter: r.u64(), link: r.bytes(LINK_LENGTH).slice() });
    const chain = new AuthorChain();
    chain.#head = head();
    if (r.u8() === 1) chain.#gap = { after: head(), until: head() };
    for (let left = r.u8(); left > 0; left--) {
      const { counter, link } = head();
      chain.#recent.set(counter, link);
    }
    r.end();
    return chain;
  }
}
