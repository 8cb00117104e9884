/**
 * Lets others in: looks into the doors of open invitations, wants the changes that let in who stands
 * there, and brings their welcomes.
 *
 * @module
 */
import { type Bytes, fromHex, hex, sameBytes } from "../../../wire/bytes.ts";
import { faultOf } from "../../client_error.ts";
import type { Group } from "./group_state.ts";
import { DoorWatch, lacking } from "./doors.ts";
import { type CommitEntry, commitIn } from "./log_entries.ts";
import { isShut, type LogLink } from "./log_link.ts";
import { answerKnock, isKnockOf } from "../mls/knock_answer.ts";
import type { GroupPeer } from "../mls/epoch_view.ts";
import { Epoch } from "../e2e/epoch.ts";
import { GroupDoor } from "../mls/door.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import type { Wishes } from "./wishes.ts";

/** Who stands at one door and is let in at a time. */
const MOST_AT_ONCE = 4;

/** Doors of members that are looked into when a link begins: where nobody is who could hint at them. */
const MOST_MEMBER_DOORS = 32;

/** Milliseconds between two visits of this device to its own door. */
const STAY_MS = 600_000;

/** What belongs into a door, since it may not be there. */
interface OwedWelcome extends NonNullable<CommitEntry["welcome"]> {
  /** This device has let in its newcomer. */
  readonly own: boolean;
}

export class Reception {
  /** Welcomes that may not be in their doors, by door in hex. */
  readonly #owed = new Map<string, Bytes[]>();
  /** Those that had no room there: for the next link. */
  #later: OwedWelcome[] = [];
  /** Of newcomers that were not heard yet: whose welcomes are looked after next. */
  #recalls: "own" | "all" | undefined;
  /** Doors that were looked into, by value in hex. */
  readonly #watches = new Map<string, DoorWatch>();
  /** Members that may stand at their own doors, in hex. */
  readonly #lost = new Set<string>();
  /** Why knocks are not kept that were read in this visit, by message. */
  readonly #refusals = new Map<string, unknown>();
  /** Until then this device does not leave its log. */
  #stays = 0;

  constructor(private readonly group: Group, private readonly wishes: Wishes) {}

  /** A link begins: any member may have come to its own door, and gone, while this device was away. */
  begin(): void {
    this.#recalls = "own";
    for (const welcome of this.#later.splice(0)) this.owe(welcome);
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

  /** At a door whose knocks were more than are kept, those that are left can be served. */
  get crowded(): boolean {
    return [...this.#watches.values()].some(({ crowded }) => crowded);
  }

  /**
   * Brings the welcomes that may not be in their doors yet. What comes to be owed meanwhile is for the next
   * time, as is what this link cannot bring.
   */
  async bring(log: LogLink): Promise<void> {
    const recalls = this.#recalls;
    this.#recalls = undefined;
    for (const welcome of recalls ? await awaitedWelcomes(this.group) : []) {
      if (welcome.own || recalls === "all") this.owe(welcome);
    }
    for (const [name, welcomes] of [...this.#owed]) {
      this.#owed.delete(name);
      const door = await GroupDoor.ofValue(fromHex(name));
      await ifOpen(putInto(door, log, welcomes)).catch((error) => {
        const offline = faultOf(error).code === "OFFLINE";
        for (const frame of welcomes) {
          const welcome = { door: door.value, frame, own: true };
          if (offline) this.owe(welcome);
          // Whoever has seen the text can fill its door: nobody else is to suffer for it.
          else if (this.#awaits(door)) this.#later.push(welcome);
        }
        if (offline) throw error;
      });
    }
  }

  /**
   * Visits all doors that somebody may stand at. What is done about it is done when the present log is
   * open again. `refused` hears why somebody is not let in. Answers whether anybody is there.
   */
  async visit(log: LogLink, refused: (error: unknown) => void): Promise<boolean> {
    let anybody = false;
    this.#refusals.clear();
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
      const watch = this.#watches.get(hex(value)) ?? await this.#watch(value, peer);
      this.#watches.set(hex(value), watch);
      await ifOpen(watch.look(log).then(({ length }) => anybody ||= length > 0));
      this.#serve(watch, refused);
    }
    for (const error of this.#refusals.values()) refused(error);
    return anybody;
  }

  #awaits({ value }: GroupDoor): boolean {
    return this.group.awaited.some(({ door }) => sameBytes(door, value));
  }

  /** A rejoiner takes a welcome only of a member that it knew: one that was here before it. */
  #isKnownTo(node: string): boolean {
    const members = this.group.peers.map((peer) => hex(peer.node));
    const at = members.indexOf(node);
    return at === 0 || members.indexOf(this.group.node) < at;
  }

  async #watch(value: Bytes, peer: GroupPeer | undefined): Promise<DoorWatch> {
    const door = await GroupDoor.ofValue(value);
    return new DoorWatch(door, async (keyPackage) => {
      const { membership } = this.group;
      // A member's door is known to devices that were removed since: they crowd it with knocks of their own.
      if (!membership || (peer && !await isKnockOf(membership, peer, keyPackage))) return false;
      try {
        return await this.#answer(membership, door, keyPackage) !== undefined;
      } catch (error) {
        this.#refusals.set(faultOf(error).message, error);
        return false;
      }
    });
  }

  #answer(membership: GroupMembership, door: GroupDoor, keyPackage: Bytes) {
    return answerKnock(membership, door, keyPackage, Date.now(), this.group.oldestCarried);
  }

  /** Who stands at a door is let in, a few at a time: other changes do not wait for all of them. */
  #serve(watch: DoorWatch, refused: (error: unknown) => void): void {
    for (const keyPackage of watch.take(MOST_AT_ONCE)) {
      const wish = (membership: GroupMembership) =>
        this.#answer(membership, watch.door, keyPackage);
      // Nobody waits for it: whoever it was, the next one can be let in.
      void this.wishes.add(wish).then(() => true, (error) => {
        refused(error);
        const { code } = faultOf(error);
        if (code === "READ_ONLY") watch.release(keyPackage);
        else watch.done(keyPackage);
        return code === "BAD_KNOCK" || code === "NOT_ADMITTED";
      }).then((goesOn) => {
        if (!goesOn) return;
        watch.done(keyPackage);
        this.#serve(watch, refused);
      });
    }
  }
}

/** The welcomes of those who were let in and not heard since, as far as they are kept. */
async function awaitedWelcomes({ id, node, past, awaited }: Group): Promise<OwedWelcome[]> {
  const owed: OwedWelcome[] = [];
  for (const { number } of awaited) {
    const ended = past.all.find((one) => one.number === number);
    if (!ended?.ending) continue;
    const { frame, author } = ended.ending;
    const commit = await commitIn(frame, await Epoch.of(ended.secret, id));
    if (commit?.welcome) owed.push({ ...commit.welcome, own: author === node });
  }
  return owed;
}

/** Puts welcomes into their door, unless somebody has done so. */
async function putInto(door: GroupDoor, log: LogLink, welcomes: readonly Bytes[]): Promise<void> {
  for (const welcome of await lacking(door, log, welcomes)) await log.append(welcome);
}

/** At a door that is shut, nobody can be served. */
const ifOpen = (visit: Promise<unknown>): Promise<unknown> =>
  visit.catch((error) => {
    if (!isShut(error)) throw error;
  });
