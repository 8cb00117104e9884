/**
 * What a stream was given to send, until its turn comes.
 *
 * @module
 */
import { concat } from "../../wire/bytes.ts";

export class SendQueue {
  /** Bytes that wait. */
  length = 0;
  readonly #parts: Uint8Array[] = [];

  /** Bytes of the part that leaves next. */
  get first(): number {
    return this.#parts[0]?.length ?? 0;
  }

  push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  /** The next bytes, up to `most`; copied only where they come from several parts. */
  take(most: number): Uint8Array {
    const taken: Uint8Array[] = [];
    let left = Math.min(most, this.length);
    this.length -= left;
    while (left > 0) {
      const part = this.#parts[0]!;
      if (part.length > left) {
        taken.push(part.subarray(0, left));
        this.#parts[0] = part.subarray(left);
        left = 0;
      } else {
        taken.push(part);
        this.#parts.shift();
        left -= part.length;
      }
    }
    return taken.length === 1 ? taken[0]! : concat(...taken);
  }
}
