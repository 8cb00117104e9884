/**
 * Newcomers that a commit has let in and that have not been heard since: their welcomes may be lost, and
 * they cannot ask for them. (docs/protocol/group.md, rule 14)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import type { EpochEnd } from "./ends.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import { invitationOf } from "../mls/group_data.ts";

/** They are awaited for so long at least, in milliseconds: 30 days. */
const PATIENCE_MS = 30 * 86_400_000;
/** Beyond, the oldest is let go. */
const MOST_AWAITED = 32;

export interface AwaitedNewcomer {
  /** In hex. */
  readonly node: string;
  /** 32 bytes: where its welcome belongs. */
  readonly door: Bytes;
  /** Number of the epoch that ended with its commit. */
  readonly number: bigint;
  /** Number of the first epoch whose log it reads to see that its welcome comes from its group. */
  readonly anchor: bigint;
  /** Milliseconds since 1970. */
  readonly until: number;
}

export class AwaitedNewcomers {
  #all: readonly AwaitedNewcomer[] = [];

  /** The oldest first. */
  get all(): readonly AwaitedNewcomer[] {
    return this.#all.filter(({ until }) => until > Date.now());
  }

  /** This commit has ended the epoch of `state`: who came in by it is awaited, and nobody who has gone. */
  follow(state: GroupMembership, { next, welcome }: EpochEnd): void {
    const here = this.all.filter(({ node }) => next!.peer(node));
    const added = next!.peers().find(({ node, seed }) => {
      const before = state.peer(node);
      return !before || !sameBytes(before.seed, seed);
    });
    if (!welcome || !added) {
      this.#all = here;
      return;
    }
    const node = hex(added.node);
    const { door } = welcome;
    const { expires = 0n, epoch = 0n } = invitationOf(state.data, door) ?? {};
    const { number } = state;
    const anchor = expires === 0n ? number : epoch;
    const until = Math.max(Date.now() + PATIENCE_MS, Number(expires));
    const others = here.filter((one) => one.node !== node);
    this.#all = [...others, { node, door, number, anchor, until }].slice(-MOST_AWAITED);
  }

  /** Goes back to the epoch of this number. */
  backTo(number: bigint): void {
    this.#all = this.#all.filter((one) => one.number < number);
  }

  /** A member spoke. Whether it was awaited. */
  heard(node: string): boolean {
    const before = this.#all.length;
    this.#all = this.#all.filter((one) => one.node !== node);
    return this.#all.length < before;
  }

  save() {
    return this.#all.map(({ number, anchor, ...rest }) => ({
      ...rest,
      number: String(number),
      anchor: String(anchor),
    }));
  }

  static restore(saved: SavedAwaited): AwaitedNewcomers {
    const awaited = new AwaitedNewcomers();
    awaited.#all = saved.map(({ node, door, number, anchor, until }) => ({
      node,
      door: door.slice(),
      number: BigInt(number),
      anchor: BigInt(anchor),
      until,
    }));
    return awaited;
  }
}

export type SavedAwaited = ReturnType<AwaitedNewcomers["save"]>;
