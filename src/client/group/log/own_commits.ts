/**
 * Commits of this device that may end the present epoch: the one that is on its way, and those that were
 * given up though the relay may have had them. (docs/protocol/group.md, rule 2)
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { OwnCommit } from "./ends.ts";
import { GroupMembership } from "../mls/group_membership.ts";

/** A commit that is on its way, and what follows if it ends the epoch. */
export interface PendingCommit extends OwnCommit {
  /** The number that it must get. */
  readonly at: bigint;
  /** 8 bytes: the ring that it was made for. */
  readonly ring: Bytes;
}

/** Of one epoch; beyond, the oldest is forgotten. */
const MOST_DROPPED = 4;

export class OwnCommits {
  #dropped: readonly OwnCommit[] = [];
  prepared: PendingCommit | undefined;

  /** All that may stand in the present log. */
  get all(): readonly OwnCommit[] {
    return this.prepared ? [this.prepared, ...this.#dropped] : this.#dropped;
  }

  /** It came too late, or its ring is gone. If the relay lied, or somebody brings it back, it counts. */
  drop(): void {
    const { frame, next } = this.prepared!;
    this.#dropped = [{ frame, next }, ...this.#dropped].slice(0, MOST_DROPPED);
    this.prepared = undefined;
  }

  save() {
    const { prepared } = this;
    const saved = ({ frame, next }: OwnCommit) => ({ frame, next: next.save() });
    return {
      prepared: prepared
        ? { ...saved(prepared), ring: prepared.ring, at: String(prepared.at) }
        : null,
      dropped: this.#dropped.map(saved),
    };
  }

  static async restore({ prepared, dropped }: SavedCommits): Promise<OwnCommits> {
    const restored = async ({ frame, next }: { frame: Uint8Array; next: Uint8Array }) => ({
      frame: frame.slice(),
      next: await GroupMembership.restore(next),
    });
    const own = new OwnCommits();
    own.#dropped = await Promise.all(dropped.map(restored));
    if (prepared) {
      const { ring, at } = prepared;
      own.prepared = { ...await restored(prepared), ring: ring.slice(), at: BigInt(at) };
    }
    return own;
  }
}

export type SavedCommits = ReturnType<OwnCommits["save"]>;
