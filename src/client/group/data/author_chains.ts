/**
 * What counts of everybody's operations, and the Lamport clock. Saved when it changes: `author/` + node
 * (`author_chain.ts`), and `clock`: u64 clock, u64 highest counter that came from a log.
 *
 * @module
 */
import { type Bytes, Reader, Writer } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError } from "../../client_error.ts";
import { AuthorChain } from "./author_chain.ts";
import { type ChainHead, type LinkVector, MAX_AUTHORS } from "./link_vector.ts";

/** A counter may be this far above the highest one known: a wild one must not use the clock up. */
const MAX_LEAP = 2n ** 32n;
const AUTHOR = "author/";

export class AuthorChains {
  readonly #chains = new Map<string, AuthorChain>();
  #clock = 0n;
  /** The same for all who read the same, and so the measure of a leap. */
  #highest = 0n;

  constructor(private readonly saver: Saver) {}

  /** As high as any counter seen, our own included. */
  get clock(): bigint {
    return this.#clock;
  }

  get missing(): boolean {
    return [...this.#chains.values()].some((chain) => chain.missing);
  }

  of(author: string): AuthorChain {
    let chain = this.#chains.get(author);
    if (!chain) this.#chains.set(author, chain = new AuthorChain());
    return chain;
  }

  vector(of: (chain: AuthorChain) => ChainHead): Map<string, ChainHead> {
    const heads = [...this.#chains].map(([node, chain]) => [node, of(chain)] as const);
    return new Map(heads.filter(([, { counter }]) => counter > 0n));
  }

  leaps(counter: bigint): boolean {
    return counter > this.#highest + MAX_LEAP;
  }

  /** `room`: what of the leap is left for others. Throws `BAD_COUNTER`. */
  check(counter: bigint, room = 0n): void {
    if (!this.leaps(counter + room)) return;
    throw new ClientError("BAD_COUNTER", `${counter} is far ahead of everybody`);
  }

  /** Throws `BAD_COUNTER`. */
  checkAll(vector: LinkVector): void {
    for (const { counter } of vector.values()) this.check(counter);
  }

  /**
   * As above, for what somebody says that it has. It moves nobody's highest counter, so that half the
   * leap is left for an author that goes on behind it. Throws `BAD_COUNTER`.
   */
  checkClaims(vector: LinkVector): void {
    for (const { counter } of vector.values()) this.check(counter, MAX_LEAP / 2n);
  }

  /** Whether there would be more authors with these than a vector has room for. */
  tooMany(authors: Iterable<string>): boolean {
    const more = [...authors].filter((author) => !this.#chains.has(author));
    if (this.#chains.size + more.length <= MAX_AUTHORS) return false;
    const all = new Set(this.vector(({ head }) => head).keys());
    for (const author of more) all.add(author);
    return all.size > MAX_AUTHORS;
  }

  /** Moves the clock up to a counter that was seen. */
  tick(counter: bigint): void {
    if (counter <= this.#clock) return;
    this.#clock = counter;
    this.#saveClock();
  }

  /** A counter that came from a log. */
  seen(counter: bigint): void {
    if (counter > this.#highest) {
      this.#highest = counter;
      this.#saveClock();
    }
    this.tick(counter);
  }

  save(author: string): void {
    this.saver.set(AUTHOR + author, this.of(author).encode());
  }

  #saveClock(): void {
    this.saver.set("clock", new Writer(16).u64(this.#clock).u64(this.#highest).finish());
  }

  /** Takes what was saved; `only` this author's, where others are to be read anew. Throws `TRUNCATED`. */
  restore(saved: ReadonlyMap<string, Bytes>, only?: string): void {
    const clock = saved.get("clock");
    if (clock) {
      const r = new Reader(clock);
      this.#clock = r.u64();
      this.#highest = r.u64();
    }
    for (const [key, bytes] of saved) {
      if (!key.startsWith(AUTHOR)) continue;
      const author = key.slice(AUTHOR.length);
      if (only === undefined || author === only) {
        this.#chains.set(author, AuthorChain.decode(bytes));
      } else this.saver.set(key, undefined);
    }
  }
}
