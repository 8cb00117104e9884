/**
 * Where the pen is. Messages bring samples in lumps; the pen moves evenly, a little behind them, and
 * follows when the monitor's clock runs faster or slower than this device's.
 *
 * @module
 */

/** Lag is corrected over this time: slow enough not to be seen. */
const SETTLE_SECONDS = 2;
/** Beyond this lag in seconds the pen hurries: the stream is played faster than real time. */
const HURRY_SECONDS = 1;
const HURRY = 8;
/** Slowest that the pen goes, against real time. */
const SLOWEST = 0.5;
/** Too far behind to run after: the past came at once. */
const JUMP_SECONDS = 6;
/** Behind the newest sample by this more than a message's duration. */
const MARGIN_SECONDS = 0.06;
/** Never further behind than this, whatever a message holds. */
const MOST_SECONDS = 2;

export class Playhead {
  /** Sample under the pen, with a fraction. */
  position = 0;
  #before: number | undefined;
  /** Longest message lately, in samples. */
  #lump = 0;

  /** A message with so many samples came. */
  received(samples: number): void {
    this.#lump = Math.max(samples, 0.95 * this.#lump);
  }

  /** Samples that the pen should be behind. */
  delay(rate: number): number {
    return Math.min(this.#lump + MARGIN_SECONDS * rate, MOST_SECONDS * rate);
  }

  /**
   * Moves on to `now` (milliseconds), with samples up to `end` there. False where the pen jumped:
   * what lies between was not drawn.
   */
  move(now: number, end: number, rate: number): boolean {
    const passed = this.#before === undefined ? 0 : Math.min(1, (now - this.#before) / 1000);
    this.#before = now;
    const ahead = (end - this.position - this.delay(rate)) / rate;
    if (ahead > JUMP_SECONDS) {
      this.position = Math.max(0, end - this.delay(rate));
      return false;
    }
    const hurry = HURRY * Math.max(0, ahead - HURRY_SECONDS);
    const speed = Math.max(SLOWEST, 1 + ahead / SETTLE_SECONDS + hurry);
    this.position = Math.min(end, this.position + passed * speed * rate);
    return true;
  }

  /** To the place where a stream that arrives in time has its pen. */
  jump(end: number, rate: number): void {
    this.position = Math.max(0, end - this.delay(rate));
    this.#before = undefined;
  }
}
