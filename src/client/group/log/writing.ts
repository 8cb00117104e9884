/**
 * Writes into the log of the present epoch over one link: one entry after the other, sealed by one
 * instance. What is written, and when, is decided by `Announcing` (who we are, what we have), `Sending`
 * (what we did) and `Changing` (commits).
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import { faultOf } from "../../client_error.ts";
import type { LinkVector } from "../data/link_vector.ts";
import { Announcing, type AnnouncingParts, type Seal } from "./announcing.ts";
import { Changing, type ChangingParts } from "./changing.ts";
import type { EpochLog } from "./epoch_log.ts";
import { HOLD_MS } from "./holds.ts";
import { type SealOptions, Voice } from "./log_entries.ts";
import type { AppendResult } from "./log_link.ts";
import { Sending, type SendingEvents, type SendingParts } from "./sending.ts";

/** What the relay had no room for is tried again after so long. */
const AGAIN_MS = 5_000;

export interface WritingParts extends AnnouncingParts, SendingParts, ChangingParts {
  readonly options: SealOptions;
}

export interface WritingEvents extends Pick<SendingEvents, "mailed" | "fault"> {
  /** The relay has no room, or has some; told more often than it changes. */
  full(full: boolean): void;
}

export class Writing {
  readonly #announcing: Announcing;
  readonly #sending: Sending;
  readonly #changing: Changing;
  #voice: Voice | undefined;
  #ended = false;
  /** Another log is open for a moment: nothing must go there. */
  #paused = true;
  /** The relay had no room a moment ago. */
  #stalled = false;
  /** An operation of ours had room in this log. */
  #hadRoom = false;
  /** The log is full, and we want to go on in another one. */
  #leaving = false;
  #heldUntil = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(
    /** The log that is written into. */
    readonly log: EpochLog,
    private readonly parts: WritingParts,
    private readonly events: WritingEvents,
  ) {
    const say = (seal: Seal, kept?: () => void) =>
      this.#inTurn(seal, (frame) => this.#append(frame, kept));
    const fault = (code: string, message: string) => events.fault(code, message);
    // While the log is opened again, `begin` says it; and a change would lose the race against it.
    const mayAnnounce = () => this.voice !== undefined && !this.#changing.busy;
    this.#announcing = new Announcing(log, parts, say, mayAnnounce);
    this.#sending = new Sending(parts, say, () => this.#maySend, {
      mailed: (counter) => events.mailed(counter),
      // Somebody may have used up our instance's counters: another one speaks.
      lost: () => {
        this.forgotten();
        void parts.post.run(() => this.begin());
      },
      fault,
    });
    this.#changing = new Changing(log, parts, () => this.#open, {
      idle: () => {
        if (this.#announcing.due) this.#announcing.soon();
        this.pump();
      },
      raced: async () => void await say((voice) => voice.hold()),
      fault,
    });
  }

  /** The log was read to its end: we may speak. */
  async begin(): Promise<void> {
    if (this.#ended) return;
    const { group, options } = this.parts;
    this.#paused = false;
    // Who was seen removed, in a branch that lost, is removed again before anything is sealed.
    if (group.toRemoveAgain.length > 0) return this.change();
    this.#voice ??= await Voice.draw(this.log, group.nodeId, group.database, options);
    if (this.#announcing.due) await this.#announcing.announce();
    if (!this.#announcing.introduced) return;
    this.rewind();
    this.change();
  }

  /** Another log is opened. */
  pause(): void {
    this.#paused = true;
    this.#announcing.silent();
  }

  /** The log does not know us any more. */
  forgotten(): void {
    this.#voice = undefined;
    this.#announcing.begin();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The epoch is over, or the link: nothing is sealed any more. */
  end(): void {
    this.#ended = true;
    this.#announcing.silent();
    this.#sending.end();
    this.#changing.end();
  }

  /** Whether everybody here reads zstd. */
  get readable(): boolean {
    return this.parts.readable();
  }

  /** What seals, as long as it may go into this log. */
  get voice(): Voice | undefined {
    return this.#open ? this.#voice : undefined;
  }

  /** Somebody came who may not know that we are here. */
  greet(): void {
    if (!this.#ended) this.#announcing.greet();
  }

  /** An operation of another device was read, which waits to hear of it. */
  news(author: string, counter: bigint): void {
    if (!this.#ended) this.#announcing.news(author, counter);
  }

  /** Somebody else has said what it has. */
  covered(by: string, vector: LinkVector): void {
    this.#announcing.covered(by, vector);
  }

  /** Somebody changes the group. */
  hold(): void {
    const { post } = this.parts;
    this.#heldUntil = post.host.now() + HOLD_MS;
    post.later(HOLD_MS, () => this.pump());
  }

  /** What waits has new numbers, or is to be sent again. */
  rewind(): void {
    this.#sending.rewind();
  }

  /** Appends what waits, in its order. */
  pump(): void {
    this.#sending.pump();
  }

  /** Does the next change that is wanted. What waits goes on behind it. */
  change(): void {
    this.#changing.begin();
  }

  /**
   * Appends what `seal` makes; `at`: the number that it must get. False: somebody was quicker, or another
   * log is open by now.
   */
  async append(seal: Seal, at = 0n): Promise<boolean> {
    let answer: Promise<AppendResult> | undefined;
    await this.#inTurn(seal, (frame) => answer = this.parts.log.append(frame, at));
    return await answer === "kept";
  }

  /** This log is the one that is open. */
  get #open(): boolean {
    return !this.#ended && !this.#paused;
  }

  get #maySend(): boolean {
    return this.voice !== undefined && this.#announcing.introduced && !this.#stalled &&
      !this.#changing.busy && this.parts.post.host.now() >= this.#heldUntil;
  }

  /** One after the other: what was sealed first is appended first, and counters rise. */
  #inTurn(seal: Seal, append: (frame: Bytes) => void): Promise<boolean> {
    const turn = this.#turn.then(async () => {
      const { voice } = this;
      if (!voice) return false;
      const frame = await seal(voice);
      if (this.voice !== voice) return false;
      append(frame);
      return true;
    });
    this.#turn = turn.then(() => {}, () => {});
    return turn;
  }

  #append(frame: Bytes, kept?: () => void): void {
    this.parts.log.append(frame).then(
      () => {
        this.#stalled = false;
        if (kept) this.#hadRoom = true;
        // There may be room for a word where there is none for an operation.
        if (kept || this.parts.ledger.waitingCount === 0) this.events.full(false);
        kept?.();
      },
      (error) => this.#refused(error),
    );
  }

  #refused(error: unknown): void {
    if (this.#ended || this.#stalled) return;
    const { code, message } = faultOf(error);
    if (code === "OFFLINE") return;
    this.#stalled = true;
    if (code === "MAILBOX_FULL") {
      this.events.full(true);
      this.#leaveFullLog();
    } else this.events.fault(code, message);
    if (code === "READ_ONLY") return;
    this.parts.post.later(AGAIN_MS, async () => {
      this.#stalled = false;
      await this.#announcing.announce();
      this.rewind();
    });
  }

  /** A full log can be closed, and the next epoch's has room: as long as the tenant has. */
  #leaveFullLog(): void {
    const { group, wishes, post } = this.parts;
    if (this.#leaving) return;
    // Where nothing of ours had room, another log may help no more than this one.
    if (!this.#hadRoom && !wishes.mayRotate(post.host.now())) return;
    this.#leaving = true;
    const { number } = group.membership!;
    // Somebody else may have done it by then.
    const rotation = { kind: "rotate" } as const;
    wishes.add((membership) => membership.number === number ? rotation : undefined).catch(() => {});
  }
}
