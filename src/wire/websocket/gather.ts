/**
 * Joins the pieces of a payload. It grows by what arrived, never by what was announced: a peer that
 * announces a megabyte and sends one byte of it costs a kilobyte.
 *
 * @module
 */
import type { Bytes } from "../bytes.ts";

/** The first buffer, in bytes: one header's announcement is worth this much and no more. */
const FIRST = 1024;

const none: Bytes = new Uint8Array(0);

/** One growing buffer. Empty after {@linkcode Gather.take}. */
export class Gather {
  #bytes: Bytes = none;
  #length = 0;

  /** Bytes that arrived. */
  get length(): number {
    return this.#length;
  }

  /** Bytes held for them: at most 1024, or twice those that arrived. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** Copies a piece to the end. `most` is where growing stops: the whole, when that is known. */
  add(piece: Uint8Array, most: number): void {
    const needed = this.#length + piece.length;
    if (needed > this.#bytes.length) {
      const wanted = Math.min(Math.max(FIRST, 2 * needed), most);
      const grown = new Uint8Array(Math.max(needed, wanted));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = needed;
  }

  /** All that arrived. It belongs to the caller from now on. */
  take(): Bytes {
    const whole = this.#bytes.subarray(0, this.#length);
    this.#bytes = none;
    this.#length = 0;
    return whole;
  }
}
