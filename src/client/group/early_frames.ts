/**
 * What clients send before anybody said yes to them: kept for a while, and little of it.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";

/** Frames of one client. */
const MOST_FRAMES = 100;
/** Bytes of all clients together. */
const MOST_BYTES = 4 * 1024 * 1024;

interface Kept {
  readonly frames: Bytes[];
  bytes: number;
}

export class EarlyFrames {
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  /**
   * Keeps a frame of this client. Throws `NOT_ACCEPTED` where one had to go for it: the newest of whoever
   * has most, so that nobody is left out for what others send.
   */
  keep(node: string, frame: Bytes): void {
    const kept = this.#kept.get(node) ?? { frames: [], bytes: 0 };
    this.#kept.set(node, kept);
    kept.frames.push(frame);
    this.#count(kept, frame.length);
    if (kept.frames.length <= MOST_FRAMES && this.#bytes <= MOST_BYTES) return;
    if (kept.frames.length > MOST_FRAMES) this.#pop(kept);
    while (this.#bytes > MOST_BYTES) {
      this.#pop([...this.#kept.values()].reduce((a, b) => b.bytes > a.bytes ? b : a));
    }
    throw new ClientError("NOT_ACCEPTED", "nobody has said yes to this client");
  }

  /** All frames of this client, oldest first. They are kept no longer. */
  take(node: string): readonly Bytes[] {
    const kept = this.#kept.get(node);
    if (!kept) return [];
    this.#kept.delete(node);
    this.#bytes -= kept.bytes;
    return kept.frames;
  }

  #pop(kept: Kept): void {
    this.#count(kept, -kept.frames.pop()!.length);
  }

  #count(kept: Kept, bytes: number): void {
    kept.bytes += bytes;
    this.#bytes += bytes;
  }
}
