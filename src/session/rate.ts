/**
 * A token bucket: so much per second, with a burst.
 *
 * @module
 */

export class Bucket {
  #tokens: number;
  #at: number;

  /** `perSecond` of 0 means no limit. `now`: milliseconds on a clock that never runs back. */
  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
    private readonly now: () => number,
  ) {
    this.#tokens = burst;
    this.#at = now();
  }

  /** Takes `amount` and answers true, or takes nothing and answers false. */
  take(amount = 1): boolean {
    if (this.perSecond === 0) return true;
    if (this.#tokens < amount) {
      // The clock is read only when the bucket seems empty: most messages never look at it.
      const now = this.now();
      const refill = (now - this.#at) / 1000 * this.perSecond;
      this.#tokens = Math.min(this.burst, this.#tokens + refill);
      this.#at = now;
      if (this.#tokens < amount) return false;
    }
    this.#tokens -= amount;
    return true;
  }
}
