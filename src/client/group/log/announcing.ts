/**
 * Says in the log who speaks, what this device has, and what it was shown: when it comes, and a moment
 * after others wrote.
 *
 * @module
 */
import { concat } from "../../../wire/bytes.ts";
import type { Ledger } from "../data/ledger.ts";
import type { LinkVector } from "../data/link_vector.ts";
import type { EpochLog } from "./epoch_log.ts";
import type { Group } from "./group_state.ts";
import { encodeAnnounce, type Voice } from "./log_entries.ts";
import type { Post } from "./post.ts";

/** An announce follows what others wrote after this, and as much again by chance. */
const ACK_MS = 200;

/** Seals one entry. */
export type Seal = (voice: Voice) => Promise<Uint8Array<ArrayBuffer>>;
/** Seals and appends; `kept` runs once the relay has it. False: another log is open by now. */
export type Say = (seal: Seal, kept?: () => void) => Promise<boolean>;

export interface AnnouncingParts {
  readonly group: Group;
  readonly ledger: Ledger;
  readonly post: Post;
}

export class Announcing {
  /** The log knows who speaks: nothing else goes before that. */
  #introduced = false;
  /** Somebody waits to see that we are here. */
  #greeting = false;
  /** Last operations of others that were not acknowledged, by author in hex. */
  readonly #unsaid = new Map<string, bigint>();
  #stop: (() => void) | undefined;

  constructor(
    private readonly log: EpochLog,
    private readonly parts: AnnouncingParts,
    private readonly say: Say,
    /** Whether this may be said now; if not, it is said when the log is open again. */
    private readonly may: () => boolean,
  ) {}

  /** Whether the log knows who speaks. */
  get introduced(): boolean {
    return this.#introduced;
  }

  /** Something is to be said. */
  get due(): boolean {
    return !this.#introduced || this.#greeting || this.#unsaid.size > 0;
  }

  /** Another instance speaks from now on. */
  begin(): void {
    this.#introduced = false;
  }

  /** Says it now. */
  async announce(): Promise<void> {
    this.silent();
    const { group: { membership }, ledger } = this.parts;
    if (!membership) return;
    const unsaid = [...this.#unsaid];
    const said = await this.say(async (voice) => {
      const bytes = encodeAnnounce(this.log.cursor, membership.self.signKey, ledger.having);
      const signature = await membership.sign("BX2 announce", bytes);
      return await voice.announce(concat(bytes, signature));
    });
    // Another log may be open by now, and then this is said later.
    if (!said) return;
    for (const [author, counter] of unsaid) {
      if (this.#unsaid.get(author) === counter) this.#unsaid.delete(author);
    }
    this.#introduced = true;
    this.#greeting = false;
  }

  /** Somebody came who may not know that we are here. */
  greet(): void {
    this.#greeting = true;
    this.soon();
  }

  /** An operation of another device was read, which waits to hear of it. */
  news(author: string, counter: bigint): void {
    this.#unsaid.set(author, counter);
    this.soon();
  }

  /** Somebody else has said what it has: nobody needs to hear the same from us. */
  covered(by: string, vector: LinkVector): void {
    for (const [author, counter] of this.#unsaid) {
      if (author !== by && (vector.get(author)?.counter ?? 0n) >= counter) {
        this.#unsaid.delete(author);
      }
    }
    if (!this.due) this.silent();
  }

  /** Says in a moment what is due. */
  soon(): void {
    if (!this.may()) return;
    const wait = ACK_MS * (1 + Math.random());
    this.#stop ??= this.parts.post.later(wait, async () => {
      this.#stop = undefined;
      await this.announce();
    });
  }

  silent(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
