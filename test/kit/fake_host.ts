/**
 * Time that stands still until a test moves it, and chance that repeats.
 *
 * @module
 */
import type { Host } from "../../src/host.ts";

export class FakeHost implements Host {
  #now = 0;
  #slept = 0;
  #draws = 0;
  #timers = new Set<{ at: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  unixMicros(): bigint {
    return 1_700_000_000_000_000n + BigInt(Math.round((this.#now + this.#slept) * 1000));
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  afterTurn(run: () => void): void {
    this.after(0, run);
  }

  random(length: number): Uint8Array<ArrayBuffer> {
    this.#draws++;
    return new Uint8Array(length).fill(this.#draws);
  }

  /** The machine sleeps: only the time of day goes on. */
  sleep(ms: number): void {
    this.#slept += ms;
  }

  /** Lets time pass in which nothing runs; then runs what fell due, late. */
  block(ms: number): void {
    this.#now += ms;
    const due = [...this.#timers].filter(({ at }) => at <= this.#now);
    for (const timer of due) if (this.#timers.delete(timer)) timer.run();
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Lets time pass, and runs what falls due in its order. */
  pass(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.run();
    }
    this.#now = until;
  }
}
