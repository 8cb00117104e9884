/**
 * Entries of a log that is over, held back until they are seen to lead to the bound that is known of it:
 * whoever has the keys of that epoch, removed or not, could have written others, with a relay that helps.
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { chained } from "./epoch_log.ts";

/** Bytes of one log that are held at most: what a relay keeps of one, and some more. */
const MOST_HELD = 96 * 1024 * 1024;

export class HeldEntries {
  readonly frames: Bytes[] = [];
  #bytes = 0;

  /** `sequence` and `hash`: of the entry before the first one. */
  constructor(public sequence: bigint, public hash: Bytes) {}

  /** Throws `LOG_INCOMPLETE` for more than anybody has to hold. */
  async add(frame: Bytes): Promise<void> {
    this.#bytes += frame.length;
    if (this.#bytes > MOST_HELD) {
      throw new ClientError("LOG_INCOMPLETE", "a log of before is larger than any relay keeps");
    }
    this.frames.push(frame);
    this.sequence += 1n;
    this.hash = await chained(this.hash, frame);
  }

  /** It is another log than it was: none of them counts. */
  drop(): void {
    this.frames.length = this.#bytes = 0;
  }
}
