/**
 * Lets others in: looks into the doors of open invitations, wants the changes that let in who stands
 * there, and brings their welcomes.
 *
 * @module
 */
import { type Bytes, fromHex, hex } from "../../../wire/bytes.ts";
import type { Group, OwedWelcome } from "./group_state.ts";
import { DoorWatch, lacking } from "./doors.ts";
import { isShut, type LogLink } from "./log_link.ts";
import { answerKnock, isKnockOf } from "../mls/knock_answer.ts";
import type { GroupPeer } from "../mls/epoch_view.ts";
import { GroupDoor } from "../mls/door.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import type { Wishes } from "./wishes.ts";

/** Who stands at one door and is let in at a time. */
const MOST_AT_ONCE = 4;

/** Doors of members that are looked into when a link begins: where nobody is who could hint at them. */
const MOST_MEMBER_DOORS = 32;

/** Milliseconds between two visits of this device to its own door. */
const STAY_MS = 600_000;

export class Reception {
  /** Welcomes that may not be in their doors, by door in hex. */
  readonly #owed = new Map<string, Bytes[]>();
  /** Of newcomers that were not heard yet: whose welcomes are looked after next. */
  #recalls: "own" | "all" | undefined;
  /** Doors that were looked into, by value in hex. */
  readonly #watches = new Map<string, DoorWatch>();
  /** Members that may stand at their own doors, in hex. */
  readonly #lost = new Set<string>();
  /** Until then this device does not leave its log. */
  #stays = 0;

  constructor(private readonly group: Group, private readonly wishes: Wishes) {}

  /** A link begins: any member may have come to its own door, and gone, while this device was away. */
  begin(): void {
    this.#recalls = "own";
    const { peers } = this.group;
    if (peers.length > MOST_MEMBER_DOORS) return;
    for (const { node } of peers) this.suspect(hex(node));
  }

  /** Whether a welcome may not be in its door yet. */
  get owes(): boolean {
    return this.#owed.size > 0 || (this.#recalls !== undefined && this.group.awaited.length > 0);
  }

  /** A commit has let somebody in. */
  owe({ door, frame }: Pick<OwedWelcome, "door" | "frame">): void {
    this.#owed.set(hex(door), [...this.#owed.get(hex(door)) ?? [], frame]);
  }

  /** Who was let in, by whomever, and was not heard yet, may not have found its welcome. */
  recall(): void {
    this.#recalls = "all";
  }

  /** A member that seems to be unable to follow, and that knew us. */
  suspect(node: string): void {
    if (node !== this.group.node) this.#lost.add(node);
  }

  /** Whether this device may leave its log for its own door, which it does seldom. */
  mayLeave(now: number): boolean {
    if (now < this.#stays) return false;
    this.#stays = now + STAY_MS;
    return true;
  }

  /** It is in the present epoch. */
  found(node: string): void {
    this.#lost.delete(node);
  }

  /**
   * Visits all doors that somebody may stand at. What is done about it is done when the present log is
   * open again. `refused` hears why somebody is not let in. Answers whether anybody is there.
   */
  async visit(log: LogLink, refused: (error: unknown) => void): Promise<boolean> {
    const recalls = this.#recalls;
    for (const welcome of recalls ? await this.group.owedWelcomes() : []) {
      if (welcome.own || recalls === "all") this.owe(welcome);
    }
    this.#recalls = undefined;
    let anybody = this.#owed.size > 0;
    for (const [name, welcomes] of this.#owed) {
      const door = await GroupDoor.ofValue(fromHex(name));
      await ifOpen(bring(door, log, welcomes));
      this.#owed.delete(name);
    }
    /** By value: whose knocks alone are kept, where it is a member's. */
    const doors = new Map<Bytes, GroupPeer | undefined>();
    for (const { value } of this.group.membership?.data.invitations ?? []) {
      doors.set(value, undefined);
    }
    for (const node of this.#lost) {
      const peer = this.group.peer(node);
      if (!peer) this.#lost.delete(node);
      else if (this.#isKnownTo(node)) {
        doors.set((await GroupDoor.ofMember(peer.seed, this.group.id, peer.node)).value, peer);
      }
    }
    const names = [...doors.keys()].map(hex);
    for (const name of this.#watches.keys()) if (!names.includes(name)) this.#watches.delete(name);
    for (const [value, peer] of doors) {
      const look = this.#look(await GroupDoor.ofValue(value), peer, log, refused);
      await ifOpen(look.then((found) => anybody ||= found));
    }
    return anybody;
  }

  /** A rejoiner takes a welcome only of a member that it knew: one that was here before it. */
  #isKnownTo(node: string): boolean {
    const members = this.group.peers.map((peer) => hex(peer.node));
    const at = members.indexOf(node);
    return at === 0 || members.indexOf(this.group.node) < at;
  }

  /** A member's door is known to devices that were removed since: they crowd it with their own knocks. */
  #watch(door: GroupDoor, peer: GroupPeer | undefined): DoorWatch {
    const { membership } = this.group;
    if (!peer || !membership) return new DoorWatch(door);
    return new DoorWatch(door, (keyPackage) => isKnockOf(membership, peer, keyPackage));
  }

  /** Answers whether somebody stands there. */
  async #look(
    door: GroupDoor,
    peer: GroupPeer | undefined,
    log: LogLink,
    refused: (error: unknown) => void,
  ): Promise<boolean> {
    const name = hex(door.value);
    const watch = this.#watches.get(name) ?? this.#watch(door, peer);
    this.#watches.set(name, watch);
    const knocks = await watch.look(log);
    for (const keyPackage of knocks.slice(-MOST_AT_ONCE)) {
      const wish = async (membership: GroupMembership) => {
        const { oldestCarried } = this.group;
        const answer = answerKnock(membership, door, keyPackage, Date.now(), oldestCarried);
        const change = await answer.catch((error) => {
          watch.done(keyPackage);
          throw error;
        });
        if (!change) watch.done(keyPackage);
        return change;
      };
      // Nobody waits for it: the next visit finds who is still there.
      void this.wishes.add(wish).catch(refused);
    }
    return knocks.length > 0;
  }
}

/** Puts welcomes into their door, unless somebody has done so. */
async function bring(door: GroupDoor, log: LogLink, welcomes: readonly Bytes[]): Promise<void> {
  for (const welcome of await lacking(door, log, welcomes)) await log.append(welcome);
}

/** At a door that is shut, nobody can be served. */
const ifOpen = (visit: Promise<unknown>): Promise<unknown> =>
  visit.catch((error) => {
    if (!isShut(error)) throw error;
  });
