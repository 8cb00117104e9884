/**
 * A group whose members are all here: each commit goes to all of them at once.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { random } from "../../src/client/group/e2e/derive.ts";
import type { Carry } from "../../src/client/group/mls/carry.ts";
import type { CommitPlace } from "../../src/client/group/mls/commit_place.ts";
import type { GroupChange } from "../../src/client/group/mls/commit_maker.ts";
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import {
  GroupMembership,
  type JudgedCommit,
  type PreparedCommit,
} from "../../src/client/group/mls/group_membership.ts";
import { answerKnock } from "../../src/client/group/mls/knock_answer.ts";
import { type Entered, GroupNewcomer } from "../../src/client/group/mls/newcomer.ts";
import type { Bytes } from "../../src/wire/bytes.ts";

export const anyHead = (): CommitPlace => ({
  ring: random(8),
  sequence: 7n,
  hash: random(32),
  doubt: false,
});

/** So many epochs before, of which nothing is true. `length`: of the suite's hash. */
export const anyCarry = (count: number, length = 32): Carry =>
  Array.from({ length: count }, (_, i) => ({
    bound: { sequence: BigInt(i), hash: random(32) },
    interim: random(length),
    confirmationKey: random(length),
  }));

/** What happened in one step. */
export interface MlsStep extends PreparedCommit {
  readonly head: CommitPlace;
  readonly judged: readonly JudgedCommit[];
}

export class MlsWorld {
  /** As they came, those who are out left out. */
  members: GroupMembership[] = [];
  carry: Carry;

  private constructor(readonly group: Bytes, readonly postQuantum: boolean) {
    this.carry = anyCarry(1, postQuantum ? 64 : 32);
  }

  /** A group of this many, let in by an invitation of one's own each. */
  static async of(count: number, postQuantum = false, group = random(16)): Promise<MlsWorld> {
    const world = new MlsWorld(group, postQuantum);
    const first = { group, name: "device 0", signed: true, postQuantum };
    world.members.push(await GroupMembership.create(first));
    while (world.members.length < count) await world.add(`device ${world.members.length}`);
    return world;
  }

  /** One member commits, the others judge; then all are saved and restored, and of one mind. */
  async commit(by: number, change: GroupChange): Promise<MlsStep> {
    const author = this.members[by]!;
    const head = anyHead();
    const made = await author.prepare(change, head, this.carry);
    const others = this.members.filter((member) => member !== author);
    const judged = await Promise.all(others.map((member) => member.judge(made.message, head)));
    const next = new Map(others.map((member, i) => [member, judged[i]!.next]));
    next.set(author, made.next);
    const members = this.members.flatMap((member) => next.get(member) ?? []);
    this.members = await Promise.all(members.map((one) => GroupMembership.restore(one.save())));
    await this.agree();
    return { ...made, head, judged };
  }

  /** Whether all members have the same secret, number, data and peers. */
  async agree(): Promise<void> {
    const views = await Promise.all(this.members.map(async (member) => ({
      secret: await member.epochSecret(),
      number: member.number,
      data: member.data,
      peers: member.peers(),
    })));
    for (const view of views) assertEquals(view, views[0]);
  }

  async invite(by = 0, expires = 1n << 60n): Promise<GroupDoor> {
    const door = await GroupDoor.ofInvitation(random(16), this.group);
    await this.commit(by, { kind: "invite", value: door.value, expires });
    return door;
  }

  draw(name: string, door: GroupDoor): Promise<GroupNewcomer> {
    const { group, postQuantum } = this;
    return GroupNewcomer.draw({ group, name, door, postQuantum });
  }

  /** What a member that cannot follow any more stands at its own door with. */
  async again(lost: GroupMembership): Promise<GroupNewcomer> {
    const { group, postQuantum } = this;
    const { name, node, seed } = lost.self;
    const door = await GroupDoor.ofMember(seed, group, node);
    const knows = lost.peers().filter((peer) => peer !== lost.self).map((peer) => peer.signKey);
    return await GroupNewcomer.draw({ group, name, door, postQuantum, keys: lost.keys(), knows });
  }

  /** Lets a newcomer in by this door, or one of its own. */
  async add(name: string, by = 0, way?: GroupDoor): Promise<MlsStep & { entered: Entered }> {
    const door = way ?? await this.invite(by);
    return await this.admit(await this.draw(name, door), by);
  }

  async admit(drawn: GroupNewcomer, by = 0): Promise<MlsStep & { entered: Entered }> {
    const newcomer = await GroupNewcomer.restore(drawn.save());
    const { door } = newcomer;
    const knock = await door.openKnock(await door.sealKnock(newcomer.keyPackage));
    const step = await this.commit(by, (await answerKnock(this.members[by]!, door, knock))!);
    const { message } = await step.welcome!.door.openWelcome(step.welcome!.body);
    const entered = await newcomer.enter(message);
    this.members.push(await GroupMembership.restore(entered.membership.save()));
    await this.agree();
    return { ...step, entered };
  }
}
