/**
 * Credit: how many bytes may be on the way to one reader.
 *
 * A socket takes megabytes before it reports anything as buffered, and whatever comes later waits
 * behind them. So the relay asks: a PING goes out after a burst, and what was sent before it has
 * arrived when its PONG comes back. Bytes not yet answered stay under a window: the larger of one
 * message and what the reader takes in 200 ms at its measured rate, beyond what fits its shortest
 * round trip. A reader that never answers gets no bound.
 *
 * @module
 */

/** Milliseconds of queue on the way that a reader may have. */
export const MAX_QUEUE_MS = 200;
/** Below so much queue there is room for more. */
const LITTLE_QUEUE_MS = MAX_QUEUE_MS / 2;
/** A reader that has not answered its first PING in this time is taken for one that never will. */
export const DEAF_MS = 2_000;
/**
 * Routes change: a shortest round trip that is older is looked at anew when the way is empty by
 * itself, and the way is emptied for it after twice that.
 */
const BASE_MS = 5_000;
/** A reader that keeps up is asked no more often. */
const ASK_MS = 250;
/** Answers in a row without a queue after which a reader keeps up. */
const STEADY = 4;
const MOST = 8 * 1024 * 1024;

/** The PING on its way. There is one at most, so any PONG is its answer, whatever it carries. */
interface Question {
  readonly at: number;
  /** Bytes sent so far, all of them before the PING. */
  readonly sent: number;
  /** Bytes on the way with it, which its PONG answers. */
  readonly onWay: number;
  /** Nothing else was on the way. */
  readonly alone: boolean;
}

export class Credit {
  #sent = 0;
  #answered = 0;
  /** Bytes that may be on the way. Less than a message means one message. */
  #window = 0;
  /** Something had to wait since the last answer. */
  #scarce = false;
  #question: Question | undefined;
  /** Since somebody wants to be asked; before that nothing is bounded. */
  #begun = false;
  #asked = -Infinity;
  #everAnswered = false;
  #base = Infinity;
  #baseAt = 0;
  #steady = 0;

  /** `now`: milliseconds on a clock that never runs back. */
  constructor(private readonly now: () => number) {}

  /** Bytes sent and not yet answered. */
  get onWay(): number {
    return this.#sent - this.#answered;
  }

  /** Whether the reader answers PINGs at all, as far as one can tell. */
  get deaf(): boolean {
    if (this.#everAnswered) return false;
    return !this.#begun || this.#asked > -Infinity && this.now() - this.#asked >= DEAF_MS;
  }

  /** From now on it counts, and asks. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#answered = this.#sent;
  }

  /** The reader has kept up for a while: it may be served without counting. */
  get steady(): boolean {
    return this.#steady >= STEADY;
  }

  /** A PING is on its way, and later than one that keeps up would answer. */
  get overdue(): boolean {
    return this.#everAnswered && this.#question !== undefined &&
      this.now() - this.#question.at > this.#base + MAX_QUEUE_MS;
  }

  get asking(): boolean {
    return this.#question !== undefined;
  }

  /** Whether `bytes` may go out now. */
  takes(bytes: number): boolean {
    if (this.onWay <= 0 || this.deaf) return true;
    const takes = !this.#looking && this.onWay + bytes <= this.#window;
    this.#scarce ||= !takes;
    return takes;
  }

  /** So many bytes went out. */
  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** Whether a PING should follow what was sent. */
  get due(): boolean {
    if (this.#question || this.onWay <= 0 || this.deaf) return false;
    return this.#scarce || this.#looking || 4 * this.onWay >= this.#window ||
      this.now() - this.#asked >= ASK_MS;
  }

  /** A PING of so many bytes goes out. `counted`: nothing is on the way that was not counted here. */
  ask(bytes: number, counted = true): void {
    this.begin();
    const alone = counted && this.onWay <= 0;
    this.#sent += bytes;
    this.#asked = this.now();
    this.#question = {
      at: this.#asked,
      sent: this.#sent,
      onWay: this.onWay,
      alone,
    };
  }

  /** A PONG came. */
  answered(): void {
    const question = this.#question;
    if (!question) return;
    const late = this.deaf;
    this.#question = undefined;
    this.#everAnswered = true;
    // After an answer that nobody waited for any more the counting starts here.
    this.#answered = late ? this.#sent : question.sent;
    const now = this.now();
    // A clock of whole milliseconds must not make a rate infinite.
    const trip = Math.max(1, now - question.at);
    if (trip <= this.#base || question.alone) {
      this.#base = trip;
      this.#baseAt = now;
    }
    const queue = trip - this.#base;
    this.#steady = queue <= LITTLE_QUEUE_MS ? this.#steady + 1 : 0;
    if (queue > MAX_QUEUE_MS) {
      // What arrived in this time is the rate.
      this.#window = question.onWay / trip * (this.#base + MAX_QUEUE_MS);
    } else if (queue <= LITTLE_QUEUE_MS && this.#scarce) {
      // Twice what was seen to pass, not twice what was allowed.
      this.#window = Math.min(MOST, Math.max(this.#window, 2 * question.onWay));
    }
    this.#scarce = false;
  }

  /** The way is empty, and a PING by itself would show how long it is by now. */
  get curious(): boolean {
    return this.#everAnswered && !this.#question && this.onWay <= 0 &&
      this.now() - this.#baseAt > BASE_MS;
  }

  /** The way has to be emptied for that. */
  get #looking(): boolean {
    return this.#everAnswered && this.now() - this.#baseAt > 2 * BASE_MS;
  }

  /** Bytes went out uncounted, and the answer is late: one message at a time until it comes. */
  lapse(): void {
    this.#window = 0;
    this.#steady = 0;
    if (this.onWay <= 0) this.#sent = this.#answered + 1;
  }
}
