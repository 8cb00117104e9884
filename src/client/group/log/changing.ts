/**
 * Changes the group over one link: makes the commit that is wanted, and appends it where nobody was
 * quicker.
 *
 * @module
 */
import { sameBytes } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError, faultOf } from "../../client_error.ts";
import type { EpochLog } from "./epoch_log.ts";
import type { Group } from "./group_state.ts";
import type { PendingCommit } from "./own_commits.ts";
import type { LogLink } from "./log_link.ts";
import type { Post } from "./post.ts";
import type { Wishes } from "./wishes.ts";

/** Lost races after which the others are asked to keep still. */
const RACES = 2;
/** What the relay had no room for is tried again after so long. */
const AGAIN_MS = 5_000;

export interface ChangingParts {
  readonly group: Group;
  readonly saver: Saver;
  readonly wishes: Wishes;
  readonly post: Post;
  readonly log: LogLink;
}

export interface ChangingEvents {
  /** Nothing is changed any more, or not now. */
  idle(): void;
  /** Somebody was quicker time and again: others are to keep still for a moment. */
  raced(): Promise<void>;
  fault(code: string, message: string): void;
}

export class Changing {
  #busy = false;
  #over = false;
  #races = 0;

  constructor(
    private readonly log: EpochLog,
    private readonly parts: ChangingParts,
    /** Whether this log is the one that is open. */
    private readonly isOpen: () => boolean,
    private readonly events: ChangingEvents,
  ) {}

  /** A change is being made: nothing else of ours goes into the log. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Does the next change that is wanted. */
  begin(): void {
    const { group, wishes } = this.parts;
    if (this.#busy || !this.isOpen()) return;
    if (!group.prepared && group.toRemoveAgain.length === 0 && !wishes.next) return;
    this.#busy = true;
    this.#next();
  }

  /** The epoch is over: what is on its way is somebody else's matter. */
  end(): void {
    this.#over = true;
  }

  /** What we have on its way would win the race against our own commit: it comes first. */
  #next(): void {
    const { log, post } = this.parts;
    const answered = async () => {
      while (log.inFlight > 0) await log.answered();
    };
    void answered().then(() => post.run(() => this.#change()));
  }

  async #change(): Promise<void> {
    const { group, wishes, saver } = this.parts;
    if (!this.isOpen()) return this.#end();
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
      return this.#commit(prepared);
    }
    this.#end();
  }

  /** It goes into this log or into none: whoever opens it again comes back to it. */
  #commit({ frame, at }: PendingCommit): void {
    if (!this.isOpen()) return this.#end();
    this.parts.log.append(frame, at).then(
      (result) => this.parts.post.run(() => this.#decided(result === "kept")),
      (error) => this.parts.post.run(() => this.#postponed(error)),
    );
  }

  /** The relay took the commit, which comes back as an entry; or somebody else wrote first. */
  async #decided(kept: boolean): Promise<void> {
    if (kept || this.#over) return this.#end();
    this.parts.group.dropPrepared();
    if (++this.#races >= RACES) {
      this.#races = 0;
      await this.events.raced();
    }
    // What is missing has come before this answer.
    this.#next();
  }

  #postponed(error: unknown): void {
    if (this.#over) return;
    const { group, wishes, post } = this.parts;
    group.dropPrepared();
    this.#end();
    if (error instanceof ClientError && error.code === "READ_ONLY") {
      wishes.settle(error);
      return this.begin();
    }
    const { code, message } = faultOf(error);
    this.events.fault(code, message);
    post.later(AGAIN_MS, () => this.begin());
  }

  #end(): void {
    this.#busy = false;
    this.events.idle();
  }
}
