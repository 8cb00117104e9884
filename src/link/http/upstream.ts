/**
 * Client to server: numbered pieces of one stream of bytes. They may come twice, in another order, or
 * again because an answer was lost; each is taken once, in its turn.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";

export class Upstream {
  #next = 0;
  readonly #ahead = new Map<number, Bytes>();

  /** `most`: pieces that may come before their turn. */
  constructor(private readonly most: number) {}

  /** The number that is waited for: every piece before it was taken. */
  get next(): number {
    return this.#next;
  }

  /** Whether a piece of this number would be kept or is known already. */
  admits(number: number): boolean {
    return number <= this.#next + this.most;
  }

  /** Takes a piece, and answers those whose turn it is now, in order. */
  *take(number: number, piece: Bytes): Generator<Bytes, void, void> {
    if (number < this.#next || !this.admits(number)) return;
    if (number > this.#next) {
      if (!this.#ahead.has(number)) this.#ahead.set(number, piece);
      return;
    }
    for (let turn: Bytes | undefined = piece; turn; turn = this.#ahead.get(this.#next)) {
      this.#ahead.delete(this.#next);
      this.#next++;
      yield turn;
    }
  }

  /** Lets go of what waits. */
  clear(): void {
    this.#ahead.clear();
  }
}
