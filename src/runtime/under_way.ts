/**
 * What is under way, for whoever wants to wait for its end.
 *
 * @module
 */

export class UnderWay {
  #count = 0;
  #idle: () => void = () => {};

  /** Something begins. Call what comes back when it has ended; more than once does no harm. */
  begin(): () => void {
    this.#count++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      if (--this.#count === 0) this.#idle();
    };
  }

  /** Waits until nothing is under way, but `ms` milliseconds at most. */
  ended(ms: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const patience = setTimeout(resolve, ms);
      this.#idle = () => {
        clearTimeout(patience);
        resolve();
      };
    });
  }
}
