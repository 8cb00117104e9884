/**
 * Bytes that were sent and may be wanted again: a window over a stream, addressed by positions that
 * count from the start of the stream. It holds what it was given and nothing more, however small the
 * pieces were.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";

/** The buffer of a quiet stream, in bytes. It grows by doubling and shrinks once empty. */
const SMALL = 4096;

export class ByteRing {
  #bytes: Bytes = new Uint8Array(SMALL);
  #start = 0;
  #end = 0;

  /** Position of the oldest byte that is held. */
  get start(): number {
    return this.#start;
  }

  /** Position after the newest byte. */
  get end(): number {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  append(bytes: Uint8Array): void {
    const needed = this.length + bytes.length;
    if (needed > this.#bytes.length) this.#resize(needed);
    const at = this.#end % this.#bytes.length;
    const first = Math.min(bytes.length, this.#bytes.length - at);
    this.#bytes.set(first === bytes.length ? bytes : bytes.subarray(0, first), at);
    if (first < bytes.length) this.#bytes.set(bytes.subarray(first), 0);
    this.#end += bytes.length;
  }

  /** A copy of at most `most` bytes from `position` on, which must be held. */
  read(position: number, most: number): Bytes {
    const length = Math.min(most, this.#end - position);
    const copy = new Uint8Array(length);
    const at = position % this.#bytes.length;
    const first = Math.min(length, this.#bytes.length - at);
    copy.set(this.#bytes.subarray(at, at + first));
    if (first < length) copy.set(this.#bytes.subarray(0, length - first), first);
    return copy;
  }

  /** Lets go of everything before `position`. */
  drop(position: number): void {
    this.#start = position;
    if (this.length === 0 && this.#bytes.length > SMALL) this.#bytes = new Uint8Array(SMALL);
  }

  #resize(needed: number): void {
    let capacity = this.#bytes.length;
    while (capacity < needed) capacity *= 2;
    const held = this.read(this.#start, this.length);
    this.#bytes = new Uint8Array(capacity);
    const end = this.#end;
    this.#end = this.#start;
    this.append(held);
    this.#end = end;
  }
}
