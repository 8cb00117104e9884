/**
 * Room for so many, that no few holders can take from all others.
 *
 * @module
 */

/** One holder's part of the room. */
export interface Share {
  /** Takes one place; answers false if it may not. */
  take(): boolean;
  /** Gives one place back. */
  free(): void;
}

/**
 * A quarter of the room is shared out, the same for each of `holders`. Of the rest a holder may have as
 * much as it leaves free: half of what the others do not use.
 */
export class Shares {
  readonly #own: number;
  #left: number;

  constructor(room: number, holders: number) {
    this.#own = Math.floor(room / holders / 4);
    this.#left = room - this.#own * holders;
  }

  /** For one more of the holders. */
  open(): Share {
    let held = 0;
    return {
      take: () => {
        const more = held - this.#own;
        if (more >= 0) {
          if (more >= this.#left) return false;
          this.#left--;
        }
        held++;
        return true;
      },
      free: () => {
        held--;
        if (held >= this.#own) this.#left++;
      },
    };
  }
}
