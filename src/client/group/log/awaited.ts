/**
 * Newcomers that a commit has let in and that have not been heard since: their welcomes may be lost, and
 * they cannot ask for them. And which epochs are kept for newcomers, those and others.
 * (docs/protocol/group.md, rules 14, 15 and 19)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import type { EpochEnd } from "./ends.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import { invitationOf, MAX_INVITATIONS } from "../mls/group_data.ts";

/** They are awaited for so long at least, in milliseconds: 30 days. */
const PATIENCE_MS = 30 * 86_400_000;
/** Beyond, the oldest is let go. */
const MOST_AWAITED = 32;
/** Epochs back to which one is kept for a newcomer that was shown none of them yet. */
const MOST_ANCHORED = 256n;

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

interface Voided {
  /** Number of the first epoch that it stood in. */
  readonly anchor: bigint;
  /** Milliseconds since 1970. */
  readonly until: number;
}

export class AwaitedNewcomers {
  #all: readonly AwaitedNewcomer[] = [];
  /** Invitations for one device that a removal has made void. */
  #voided: readonly Voided[] = [];

  /** The oldest first. */
  get all(): readonly AwaitedNewcomer[] {
    return this.#all.filter(({ until }) => until > Date.now());
  }

  /** This commit has ended the epoch of `state`: who came in by it is awaited, and nobody who has gone. */
  follow(state: GroupMembership, { next, welcome, removes }: EpochEnd): void {
    if (removes.length > 0) this.#void(state);
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

  /**
   * The first epoch in which the oldest invitation stood that lets in one device, and did not expire, or
   * has let in one that is awaited. Beyond 256 epochs nobody is waited for.
   */
  oldestAnchor({ number, data }: GroupMembership): bigint {
    const standing = data.invitations.filter(({ expires }) => expires > BigInt(Date.now()));
    return oldest(number, [...this.all, ...standing.map(({ epoch }) => ({ anchor: epoch }))]);
  }

  /** The oldest epoch that is kept for newcomers, and for those who must not come in. */
  oldestKept(membership: GroupMembership): bigint {
    const voided = this.#voided.filter(({ until }) => until > Date.now());
    return oldest(this.oldestAnchor(membership), voided, membership.number);
  }

  /**
   * Who still has such a text can be shown the removal as long as it works: brought again, it keeps that
   * newcomer out of a branch of who was removed.
   */
  #void({ data }: GroupMembership): void {
    const standing = data.invitations.filter(({ expires }) => expires > 0n)
      .map(({ epoch, expires }) => ({ anchor: epoch, until: Number(expires) }));
    this.#voided = [...this.#voided, ...standing].filter(({ until }) => until > Date.now())
      .slice(-MAX_INVITATIONS);
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
    return {
      all: this.#all.map(({ number, anchor, ...rest }) => ({
        ...rest,
        number: String(number),
        anchor: String(anchor),
      })),
      voided: this.#voided.map(({ anchor, until }) => ({ anchor: String(anchor), until })),
    };
  }

  static restore({ all, voided }: SavedAwaited): AwaitedNewcomers {
    const awaited = new AwaitedNewcomers();
    awaited.#voided = voided.map(({ anchor, until }) => ({ anchor: BigInt(anchor), until }));
    awaited.#all = all.map(({ node, door, number, anchor, until }) => ({
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

/** The oldest of these anchors that is not too far back, or `from`. */
const oldest = (from: bigint, some: readonly Pick<Voided, "anchor">[], now = from): bigint =>
  some.map(({ anchor }) => anchor).filter((anchor) => now - anchor <= MOST_ANCHORED)
    .reduce((least, anchor) => anchor < least ? anchor : least, from);
