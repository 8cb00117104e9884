/**
 * How many bytes have come down, and when the relay hears of it: with every request that goes up
 * anyway, and by itself after so many bytes, or a little later.
 *
 * @module
 */

/** Bytes after which the relay hears how far we are. */
const ACK_BYTES = 262_144;
/** Milliseconds after which it hears so in any case. */
const ACK_MS = 1_000;

export class Received {
  /** Bytes of the stream that have arrived, over all responses. */
  count = 0;
  #told = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  /** `tell` makes a request that says {@linkcode Received.count} and brings nothing else. */
  constructor(private readonly tell: () => Promise<unknown>) {}

  /** Bytes came. `posting`: a request is under way, and the next one follows it. */
  add(length: number, posting: boolean): void {
    this.count += length;
    if (this.count - this.#told >= ACK_BYTES && !posting) this.#tell();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.count > this.#told) this.#tell();
    }, ACK_MS);
  }

  /** The relay has heard of so many. */
  told(count: number): void {
    this.#told = Math.max(this.#told, count);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #tell(): void {
    if (this.#stopped) return;
    // Not said twice while the answer is under way. Should it get lost, the next one says more.
    this.#told = this.count;
    this.tell().catch(() => {});
  }
}
