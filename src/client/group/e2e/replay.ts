/**
 * Which counters of a sender were seen: each at most once, and none that is too old to tell.
 *
 * @module
 */

/** How far behind the highest counter a frame may come. */
export const WINDOW = 1024n;

export class ReplayWindow {
  /** One above the highest counter seen. */
  #next: bigint;
  /** Nothing below it is taken. */
  readonly #floor: bigint;
  readonly #seen = new Set<bigint>();

  /**
   * `mark`: everything below it counts as seen, as after a restart. `behind`: how far behind the highest
   * counter a frame may come; 0 where they come in order.
   */
  constructor(mark = 0n, private readonly behind = WINDOW) {
    this.#next = mark;
    this.#floor = mark;
  }

  /** One above the highest counter seen: what to keep over a restart. */
  get mark(): bigint {
    return this.#next;
  }

  /** Whether this counter could still be taken. */
  fresh(counter: bigint): boolean {
    return counter >= this.#floor && counter >= this.#next - this.behind &&
      !this.#seen.has(counter);
  }

  /** Notes a counter, once its frame was found genuine. */
  note(counter: bigint): void {
    this.#seen.add(counter);
    if (counter < this.#next) return;
    this.#next = counter + 1n;
    if (this.#seen.size <= 2 * Number(this.behind)) return;
    for (const old of this.#seen) if (old < this.#next - this.behind) this.#seen.delete(old);
  }
}
