/**
 * Appends this device's operations, in their order, until they have come back in the log.
 *
 * @module
 */
import { faultOf } from "../../client_error.ts";
import type { Ledger } from "../data/ledger.ts";
import type { Say } from "./announcing.ts";
import type { Voice } from "./log_entries.ts";
import type { LogLink } from "./log_link.ts";
import type { Post } from "./post.ts";

/** What was appended and did not come back is appended again after so long. */
const LOST_MS = 10_000;
/** Bytes on their way to the relay that are not answered yet. */
const MOST_IN_FLIGHT = 512 * 1024;

export interface SendingParts {
  readonly ledger: Ledger;
  readonly post: Post;
  readonly log: LogLink;
  /** Whether all members that are here read zstd. */
  readable(): boolean;
}

export interface SendingEvents {
  /** An operation of ours is at the relay. */
  mailed(counter: bigint): void;
  /** The relay took what does not come back. */
  lost(): void;
  fault(code: string, message: string): void;
}

export class Sending {
  /** Our operations up to this counter are on their way, or there. */
  #sentUpTo = 0n;
  #pumping = false;
  #again = false;
  #stopWatching: (() => void) | undefined;

  constructor(
    private readonly parts: SendingParts,
    private readonly say: Say,
    /** Whether operations may go now; if not, somebody pumps when they may. */
    private readonly may: () => boolean,
    private readonly events: SendingEvents,
  ) {}

  /** What waits has new numbers, or is to be sent again. */
  rewind(): void {
    this.#sentUpTo = 0n;
    this.pump();
  }

  /** Appends what waits. */
  pump(): void {
    this.#again = true;
    if (this.#pumping) return;
    this.#pumping = true;
    void this.#pump().finally(() => this.#pumping = false);
  }

  end(): void {
    this.#stopWatching?.();
  }

  async #pump(): Promise<void> {
    const { ledger, log, post } = this.parts;
    while (this.#again) {
      this.#again = false;
      for (const { counter, logged, bytes } of [...ledger.waiting]) {
        if (logged || counter <= this.#sentUpTo) continue;
        await post.link.turn();
        while (log.bytesInFlight > MOST_IN_FLIGHT && !post.closed) await log.answered();
        if (post.closed || !this.may()) return;
        try {
          const readable = this.parts.readable();
          const sealed = (voice: Voice) => voice.operation(bytes, readable);
          if (!await this.say(sealed, () => this.events.mailed(counter))) return;
          this.#sentUpTo = counter;
          this.#watch();
        } catch (error) {
          const { code, message } = faultOf(error);
          return this.events.fault(code, message);
        }
      }
    }
  }

  /** What the relay says that it took has to come back. */
  #watch(): void {
    this.#stopWatching ??= this.parts.post.later(LOST_MS, () => {
      this.#stopWatching = undefined;
      if (this.parts.ledger.settled) return;
      this.#watch();
      if (this.parts.log.inFlight === 0 && this.may()) this.events.lost();
    });
  }
}
