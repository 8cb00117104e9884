/**
 * Whose wish for silence is honoured: a member that asks again and again could keep the others from
 * writing for ever.
 *
 * @module
 */

/** Others keep still so long when somebody changes the group. */
export const HOLD_MS = 15_000;
/** One device is listened to so often at most. */
const AGAIN_MS = 60_000;

/** For one link, whatever epoch it is in. */
export class Holds {
  /** When each was honoured, in milliseconds; by node in hex. */
  readonly #honoured = new Map<string, number>();
  #until = -Infinity;

  /** Whether this one's wish is honoured; none is while another one lasts, which is not drawn out. */
  honours(author: string, now: number): boolean {
    if (now < this.#until) return false;
    for (const [one, at] of this.#honoured) {
      if (now - at >= AGAIN_MS) this.#honoured.delete(one);
    }
    if (this.#honoured.has(author)) return false;
    this.#honoured.set(author, now);
    this.#until = now + HOLD_MS;
    return true;
  }
}
