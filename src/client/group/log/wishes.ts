/**
 * Changes of the group that somebody here wants: they outlive links, and are done one after the other,
 * again where somebody else was quicker.
 *
 * @module
 */
import type { GroupChange } from "../mls/commit_maker.ts";
import type { GroupMembership } from "../mls/group_membership.ts";

/** What is to be done about the group as it is by then; nothing where it makes no sense any more. */
export type Wish = (
  membership: GroupMembership,
) => GroupChange | undefined | Promise<GroupChange | undefined>;

interface Wanted {
  readonly wish: Wish;
  readonly done: PromiseWithResolvers<void>;
}

/** Milliseconds between two rotations for want of room that may not help. */
const ROTATE_MS = 600_000;

export class Wishes {
  readonly #wanted: Wanted[] = [];
  #ended: Error | undefined;
  /** Until then no rotation for want of room. */
  #rotated = 0;
  /** Runs when there is one more. */
  onWish: () => void = () => {};

  /** Resolves once the change is in force, or makes no sense any more. Rejects when this ends before. */
  add(wish: Wish): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
    const done = Promise.withResolvers<void>();
    this.#wanted.push({ wish, done });
    this.onWish();
    return done.promise;
  }

  /** Before all others; whoever wanted it does not wait. */
  first(wish: Wish): void {
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => {});
    this.#wanted.unshift({ wish, done });
  }

  /** Whether to try another log for its room: seldom, since it is the tenant that may have none. */
  mayRotate(now: number): boolean {
    if (now < this.#rotated) return false;
    this.#rotated = now + ROTATE_MS;
    return true;
  }

  get next(): Wanted | undefined {
    return this.#wanted[0];
  }

  /** The first one is done. */
  settle(error?: unknown): void {
    const wanted = this.#wanted.shift();
    if (error === undefined) wanted?.done.resolve();
    else wanted?.done.reject(error);
  }

  /** Nothing is done any more. */
  end(why: Error): void {
    this.#ended ??= why;
    for (const { done } of this.#wanted.splice(0)) {
      done.promise.catch(() => {});
      done.reject(why);
    }
  }
}
