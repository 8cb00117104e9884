/**
 * How far the relay's clock is from ours, out of PINGs whose PONG carries its time.
 *
 * @module
 */

/** The relay's clock minus ours, in microseconds; it is off by no more than `error`. */
export interface ClockOffset {
  readonly offset: bigint;
  readonly error: bigint;
}

interface Sample extends ClockOffset {
  /** When, in microseconds on our clock. */
  readonly at: bigint;
}

/** Two clocks run apart by no more than this: parts in a million, of both together. */
const DRIFT = 200n;
const MILLION = 1_000_000n;
/** Samples that are looked at. */
const KEPT = 8;

export class ClockEstimate {
  readonly #samples: Sample[] = [];

  /**
   * A PING went out at `sent`, its PONG came back at `received` (microseconds on our clock) and said
   * `remote`. The relay wrote that some time in between, so the error is half of the round trip.
   */
  add(sent: bigint, received: bigint, remote: bigint): void {
    const trip = received - sent;
    // Our clock was set back meanwhile: nothing can be said.
    if (trip < 0n) return;
    const error = (trip + 1n) / 2n;
    // From `sent` on: the clocks run apart during the round trip too.
    this.#samples.push({ offset: remote - sent - trip / 2n, error, at: sent });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** The best of what is known, each sample's error grown with its age. */
  read(now: bigint): ClockOffset | undefined {
    let best: ClockOffset | undefined;
    for (const { offset, error, at } of this.#samples) {
      const age = now > at ? now - at : at - now;
      const grown = error + age * DRIFT / MILLION;
      if (!best || grown < best.error) best = { offset, error: grown };
    }
    return best;
  }
}
