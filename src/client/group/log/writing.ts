/**
 * Writes into the log of the present epoch over one link: who we are, what we did, what we have, and
 * changes of the group.
 *
 * @module
 */
import { type Bytes, concat, sameBytes } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError, faultOf } from "../../client_error.ts";
import type { EpochLog } from "./epoch_log.ts";
import type { Group, PendingCommit } from "./group_state.ts";
import { HOLD_MS } from "./holds.ts";
import type { Ledger } from "../data/ledger.ts";
import type { LinkVector } from "../data/link_vector.ts";
import { encodeAnnounce, type SealOptions, Voice } from "./log_entries.ts";
import type { AppendResult, LogLink } from "./log_link.ts";
import type { Post } from "./post.ts";
import type { Wishes } from "./wishes.ts";

/** An announce follows what others wrote after this, and as much again by chance. */
const ACK_MS = 200;
/** Lost races after which the others are asked to keep still. */
const RACES = 2;
/** What the relay had no room for is tried again after so long. */
const AGAIN_MS = 5_000;
/** What was appended and did not come back is appended again after so long. */
const LOST_MS = 10_000;
/** Bytes on their way to the relay that are not answered yet. */
const MOST_IN_FLIGHT = 512 * 1024;

export interface WritingParts {
  readonly group: Group;
  readonly ledger: Ledger;
  readonly saver: Saver;
  readonly wishes: Wishes;
  readonly post: Post;
  readonly log: LogLink;
  readonly options: SealOptions;
  /** Whether all members that are here read zstd. */
  readable(): boolean;
}

/** Seals one entry. */
type Seal = (voice: Voice) => Promise<Bytes>;

export interface WritingEvents {
  /** An operation of ours is at the relay. */
  mailed(counter: bigint): void;
  /** The relay has no room, or has some; told more often than it changes. */
  full(full: boolean): void;
  fault(code: string, message: string): void;
}

export class Writing {
  #voice: Voice | undefined;
  /** The log knows who speaks: nothing else goes before that. */
  #introduced = false;
  /** Somebody waits to see that we are here. */
  #greeting = false;
  #ended = false;
  /** Another log is open for a moment: nothing must go there. */
  #paused = true;
  #stalled = false;
  /** An operation of ours had room in this log. */
  #hadRoom = false;
  /** The log is full, and we want to go on in another one. */
  #leaving = false;
  #heldUntil = 0;
  #races = 0;
  #stopAck: (() => void) | undefined;
  #stopWatching: (() => void) | undefined;
  #turn: Promise<void> = Promise.resolve();
  #changing = false;
  /** Last operations of others that were not acknowledged, by author in hex. */
  readonly #unsaid = new Map<string, bigint>();
  /** Our operations up to this counter are on their way, or there. */
  #sentUpTo = 0n;
  #pumping = false;
  #pumpAgain = false;

  constructor(
    /** The log that is written into. */
    readonly log: EpochLog,
    private readonly parts: WritingParts,
    private readonly events: WritingEvents,
  ) {}

  /** The log was read to its end: we may speak. */
  async begin(): Promise<void> {
    if (this.#ended) return;
    const { group, options } = this.parts;
    this.#paused = false;
    // Who was seen removed, in a branch that lost, is removed again before anything is sealed.
    if (group.toRemoveAgain.length > 0) return this.change();
    this.#voice ??= await Voice.draw(this.log, group.nodeId, group.database, options);
    if (!this.#introduced || this.#unspoken) await this.announce();
    if (!this.#introduced) return;
    this.rewind();
    this.change();
  }

  /** Another log is opened. */
  pause(): void {
    this.#paused = true;
    this.#silent();
  }

  /** The log does not know us any more. */
  forgotten(): void {
    this.#voice = undefined;
    this.#introduced = false;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The epoch is over, or the link: nothing is sealed any more. */
  end(): void {
    this.#ended = true;
    this.#stopWatching?.();
    this.#stopAck?.();
  }

  /** Whether everybody here reads zstd. */
  get readable(): boolean {
    return this.parts.readable();
  }

  /** What seals, as long as it may go into this log. */
  get voice(): Voice | undefined {
    return this.#open ? this.#voice : undefined;
  }

  /** Says who speaks, what we have, and what we were shown. */
  async announce(): Promise<void> {
    this.#silent();
    const { group, ledger } = this.parts;
    const { membership } = group;
    if (!membership) return;
    const unsaid = [...this.#unsaid];
    const said = await this.#say(async (voice) => {
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
    if (this.#ended) return;
    this.#greeting = true;
    this.#soon();
  }

  /** An operation of another device was read, which waits to hear of it. */
  news(author: string, counter: bigint): void {
    if (this.#ended) return;
    this.#unsaid.set(author, counter);
    this.#soon();
  }

  get #unspoken(): boolean {
    return this.#greeting || this.#unsaid.size > 0;
  }

  #soon(): void {
    // While the log is opened again, `begin` says it; and a change would lose the race against it.
    if (!this.voice || this.#changing) return;
    const wait = ACK_MS * (1 + Math.random());
    this.#stopAck ??= this.parts.post.later(wait, async () => {
      this.#stopAck = undefined;
      await this.announce();
    });
  }

  /** Somebody else has said what it has: nobody needs to hear the same from us. */
  covered(by: string, vector: LinkVector): void {
    for (const [author, counter] of this.#unsaid) {
      if (author !== by && (vector.get(author)?.counter ?? 0n) >= counter) {
        this.#unsaid.delete(author);
      }
    }
    if (!this.#unspoken) this.#silent();
  }

  #silent(): void {
    this.#stopAck?.();
    this.#stopAck = undefined;
  }

  /** Somebody changes the group. */
  hold(): void {
    const { host } = this.parts.post;
    this.#heldUntil = host.now() + HOLD_MS;
    this.parts.post.later(HOLD_MS, () => this.pump());
  }

  /** What waits has new numbers, or is to be sent again. */
  rewind(): void {
    this.#sentUpTo = 0n;
    this.pump();
  }

  /** Appends what waits, in its order. */
  pump(): void {
    this.#pumpAgain = true;
    if (this.#pumping) return;
    this.#pumping = true;
    void this.#pump().finally(() => this.#pumping = false);
  }

  async #pump(): Promise<void> {
    const { ledger, log, post } = this.parts;
    while (this.#pumpAgain) {
      this.#pumpAgain = false;
      for (const { counter, logged, bytes } of [...ledger.waiting]) {
        if (logged || counter <= this.#sentUpTo) continue;
        await post.link.turn();
        while (log.bytesInFlight > MOST_IN_FLIGHT && !post.closed) await log.answered();
        const { voice } = this;
        if (
          !voice || !this.#introduced || this.#stalled || this.#changing || post.closed ||
          post.host.now() < this.#heldUntil
        ) return;
        try {
          const readable = this.parts.readable();
          const sealed = (voice: Voice) => voice.operation(bytes, readable);
          if (!await this.#say(sealed, () => this.events.mailed(counter))) return;
          this.#sentUpTo = counter;
          this.#watch();
        } catch (error) {
          return this.#fault(error);
        }
      }
    }
  }

  /** What the relay says that it took has to come back; if it does not, it goes again. */
  #watch(): void {
    this.#stopWatching ??= this.parts.post.later(LOST_MS, async () => {
      this.#stopWatching = undefined;
      if (this.parts.ledger.settled || !this.voice) return;
      this.#watch();
      if (this.parts.log.inFlight > 0) return;
      // Somebody may have used up our instance's counters: another one speaks.
      this.forgotten();
      await this.begin();
    });
  }

  /** Does the next change that is wanted. What waits goes on behind it. */
  change(): void {
    const { group, wishes } = this.parts;
    if (this.#changing || !this.#open) return;
    if (!group.prepared && group.toRemoveAgain.length === 0 && !wishes.next) return;
    this.#changing = true;
    this.#changeNext();
  }

  /** What we have on its way would win the race against our own commit: it comes first. */
  #changeNext(): void {
    const { log, post } = this.parts;
    const answered = async () => {
      while (log.inFlight > 0) await log.answered();
    };
    void answered().then(() => post.run(() => this.#change()));
  }

  async #change(): Promise<void> {
    const { group, wishes, saver } = this.parts;
    if (!this.#open) return this.#changed();
    const before = group.prepared;
    if (before) {
      const { ring, sequence } = this.log.cursor;
      // It may be on its way still: then no other one may take its place.
      if (before.at === sequence + 1n && sameBytes(before.ring, ring)) return this.#commit(before);
      group.dropPrepared();
    }
    const again = group.toRemoveAgain;
    if (again.length > 0) wishes.first(() => ({ kind: "remove", nodes: again }));
    for (let { next } = wishes; next; { next } = wishes) {
      let prepared;
      try {
        const change = await next.wish(group.membership!);
        prepared = change && await group.prepare(change);
      } catch (error) {
        wishes.settle(error);
        continue;
      }
      if (!prepared) {
        wishes.settle();
        continue;
      }
      try {
        await saver.flush();
      } catch (error) {
        return this.#postponed(error);
      }
      // It goes into this log or into none; begin() comes back to it.
      return this.#commit(prepared);
    }
    this.#changed();
  }

  #commit({ frame, at }: PendingCommit): void {
    if (!this.#open) return this.#changed();
    this.parts.log.append(frame, at).then(
      (result) => this.parts.post.run(() => this.#decided(result === "kept")),
      (error) => this.parts.post.run(() => this.#postponed(error)),
    );
  }

  /** Nothing is changed any more, or not now: others may speak again. */
  #changed(): void {
    this.#changing = false;
    if (this.#unspoken) this.#soon();
    this.pump();
  }

  /** This log is the one that is open. */
  get #open(): boolean {
    return !this.#ended && !this.#paused;
  }

  /** The relay took the commit, which comes back as an entry; or somebody else wrote first. */
  async #decided(kept: boolean): Promise<void> {
    if (kept || this.#ended) return this.#changed();
    this.parts.group.dropPrepared();
    if (++this.#races >= RACES && this.voice) {
      this.#races = 0;
      await this.#say((voice) => voice.hold());
    }
    // What is missing has come before this answer.
    this.#changeNext();
  }

  #postponed(error: unknown): void {
    if (this.#ended) return;
    const { group, wishes, post } = this.parts;
    group.dropPrepared();
    this.#changed();
    if (error instanceof ClientError && error.code === "READ_ONLY") {
      wishes.settle(error);
      return this.change();
    }
    this.#fault(error);
    post.later(AGAIN_MS, () => this.change());
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

  /** Seals and appends. False: another log is open by now. */
  async #say(seal: Seal, kept?: () => void): Promise<boolean> {
    return await this.#inTurn(seal, (frame) => this.#append(frame, kept));
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
    const code = error instanceof ClientError ? error.code : "";
    if (code === "OFFLINE") return;
    this.#stalled = true;
    if (code === "MAILBOX_FULL") {
      this.events.full(true);
      this.#leaveFullLog();
    } else this.#fault(error);
    if (code === "READ_ONLY") return;
    this.parts.post.later(AGAIN_MS, async () => {
      this.#stalled = false;
      this.#sentUpTo = 0n;
      await this.announce();
      this.pump();
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

  #fault(error: unknown): void {
    const { code, message } = faultOf(error);
    this.events.fault(code, message);
  }
}
