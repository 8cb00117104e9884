/**
 * Joins small frames to one write. A frame is never cut: the real Blazeio hangs for ever when a
 * header comes in two reads.
 *
 * @module
 */
import { type Bytes, concat } from "../../wire/bytes.ts";

/** Joined frames towards a stranger: one segment of any network, which arrives at once or not at all. */
const SEGMENT = 1_200;
/** Towards a peer of ours a frame of at least this many bytes travels alone: joining it would only copy it. */
const LARGE = 4_096;
/** And writes of joined frames stay under this. */
const MOST = 32_768;

export class Batch {
  /** Whether the peer is one of ours, who reads frames however they are cut. */
  ours = false;
  #frames: Bytes[] = [];
  #length = 0;

  constructor(private readonly write: (bytes: Bytes) => void) {}

  /** Bytes that wait for `flush`. */
  get length(): number {
    return this.#length;
  }

  add(frame: Bytes): void {
    const alone = frame.length >= (this.ours ? LARGE : SEGMENT);
    if (alone || (!this.ours && this.#length + frame.length > SEGMENT)) this.flush();
    if (alone) return this.write(frame);
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
