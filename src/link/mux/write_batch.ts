/**
 * Joins small frames to one write. A frame is never cut: the real Blazeio hangs for ever when a
 * header comes in two reads, and a frame written at once seldom does.
 *
 * @module
 */
import { type Bytes, concat } from "../../wire/bytes.ts";

/** A frame of at least this many bytes travels alone: joining it would only copy it. */
const LARGE = 4_096;
/** Writes of joined frames stay under this. */
const MOST = 32_768;

export class Batch {
  #frames: Bytes[] = [];
  #length = 0;

  constructor(private readonly write: (bytes: Bytes) => void) {}

  /** Bytes that wait for `flush`. */
  get length(): number {
    return this.#length;
  }

  add(frame: Bytes): void {
    if (frame.length >= LARGE) {
      this.flush();
      return this.write(frame);
    }
    this.#frames.push(frame);
    this.#length += frame.length;
    if (this.#length >= MOST) this.flush();
  }

  flush(): void {
    if (this.#frames.length === 0) return;
    const joined = this.#frames.length === 1 ? this.#frames[0]! : concat(...this.#frames);
    this.#frames = [];
    this.#length = 0;
    this.write(joined);
  }
}
