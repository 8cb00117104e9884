/**
 * What a device waits with at a door, and what became of the welcomes that it found there.
 * (docs/protocol/group.md, rules 14 to 16)
 *
 * @module
 */
import { type Bytes, hex } from "../../../wire/bytes.ts";
import { digest } from "../e2e/derive.ts";
import { GroupDoor } from "../mls/door.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import type { InvitationText } from "../mls/invitation_text.ts";
import { GroupNewcomer } from "../mls/newcomer.ts";

/** Names of welcomes that are kept; beyond, the oldest is let go, and looked at once more. */
const MOST_NAMES = 1_000;

export class StandingKnock {
  /** Those that are none, by hash in hex. */
  readonly #refuted = new Set<string>();
  /** Those that the logs say nothing of yet, and that were looked at in this round. */
  readonly #tried = new Set<string>();
  /** Those that may still turn out to be good. */
  readonly #hopes = new Set<string>();
  /** Number of the door's last entry that was looked at in this round. */
  seen = 0n;
  /** The door has a welcome of another device. */
  passedBy = false;
  /** This device waits there; else it has left, and somebody may open still. */
  waits = true;
  #newcomer: GroupNewcomer;

  constructor(
    newcomer: GroupNewcomer,
    /** Others may be let in by the same door. */
    readonly permanent: boolean,
  ) {
    this.#newcomer = newcomer;
  }

  /** Who has a text, at the door of it. `group`: its id, 16 bytes. Throws `NAME_LENGTH`. */
  static async ofText(
    { key, postQuantum, permanent, anchor }: InvitationText,
    group: Bytes,
    name: string,
  ): Promise<StandingKnock> {
    const door = await GroupDoor.ofInvitation(key, group);
    const newcomer = await GroupNewcomer.draw({ group, name, door, postQuantum, anchor });
    return new StandingKnock(newcomer, permanent);
  }

  /** A member that cannot follow any more, at its own door. */
  static async ofMember(membership: GroupMembership): Promise<StandingKnock> {
    const { group, self, postQuantum } = membership;
    const { node, name, seed } = self;
    const door = await GroupDoor.ofMember(seed, group, node);
    const keys = membership.keys();
    const knows = membership.peers().flatMap((peer) => peer === self ? [] : [peer.signKey]);
    const newcomer = await GroupNewcomer.draw({ group, name, door, postQuantum, keys, knows });
    return new StandingKnock(newcomer, true);
  }

  get newcomer(): GroupNewcomer {
    return this.#newcomer;
  }

  /** Its key package is not good any more, or not yet: draws another one. */
  async renew(): Promise<void> {
    this.#newcomer = await this.#newcomer.renewed();
  }

  /** Whether a welcome (MLSMessage) has to be looked at. */
  async isDue(message: Bytes): Promise<boolean> {
    const name = await nameOf(message);
    if (this.#refuted.has(name)) return false;
    keep(this.#hopes, name);
    return !this.#tried.has(name);
  }

  /** Whether there are any that may still turn out to be good. */
  get hopes(): boolean {
    return this.#hopes.size > 0;
  }

  /** It is none, whatever comes. */
  async refute(message: Bytes): Promise<void> {
    const name = await nameOf(message);
    keep(this.#refuted, name);
    this.#hopes.delete(name);
  }

  /** Nothing speaks for it, nor against it, so far. */
  async leave(message: Bytes): Promise<void> {
    keep(this.#tried, await nameOf(message));
  }

  /** All that is not refuted is looked at once more. */
  again(): void {
    this.#tried.clear();
  }

  /** Private keys included. */
  save() {
    const { newcomer, permanent, waits } = this;
    return { newcomer: newcomer.save(), permanent, waits, refuted: [...this.#refuted] };
  }

  static async restore(
    { newcomer, permanent, waits, refuted }: SavedKnock,
  ): Promise<StandingKnock> {
    const knock = new StandingKnock(await GroupNewcomer.restore(newcomer), permanent);
    knock.waits = waits;
    for (const name of refuted) knock.#refuted.add(name);
    return knock;
  }
}

export type SavedKnock = ReturnType<StandingKnock["save"]>;

function keep(names: Set<string>, name: string): void {
  names.add(name);
  if (names.size > MOST_NAMES) names.delete(names.values().next().value!);
}

const nameOf = async (message: Bytes): Promise<string> => hex(await digest("BX2 welcome", message));
