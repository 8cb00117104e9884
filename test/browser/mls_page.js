/** A group of three in a page: each comes in by an invitation, one is removed, all agree. */
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import { GroupMembership } from "../../src/client/group/mls/group_membership.ts";
import { answerKnock } from "../../src/client/group/mls/knock_answer.ts";
import { GroupNewcomer } from "../../src/client/group/mls/newcomer.ts";

const random = (length) => crypto.getRandomValues(new Uint8Array(length));

/** Gives the distinct epoch secrets after the removal, and whether a signature was taken. */
export async function play(postQuantum) {
  const group = random(16);
  const head = { ring: random(8), sequence: 1n, hash: random(32), doubt: false };
  let members = [
    await GroupMembership.create({ group, name: "first", signed: true, postQuantum }),
  ];
  const hash = () => random(postQuantum ? 64 : 32);
  const carry = [{ secret: random(32), bound: head, interim: hash(), confirmationKey: hash() }];
  const commit = async (change) => {
    const { message, welcome, next } = await members[0].prepare(change, head, carry);
    const others = members.slice(1).map((member) => member.judge(message, head));
    members = [next, ...(await Promise.all(others)).flatMap(({ next }) => next ?? [])];
    return welcome;
  };
  const door = await GroupDoor.ofInvitation(random(16), group);
  await commit({ kind: "invite", value: door.value, expires: 0n });
  for (const name of ["second", "third", "fourth"]) {
    const newcomer = await GroupNewcomer.draw({ group, name, door, postQuantum });
    const { body } = await commit(await answerKnock(members[0], door, newcomer.keyPackage));
    const { message } = await door.openWelcome(body);
    members.push((await newcomer.enter(message)).membership);
  }
  await commit({ kind: "rotate" });
  await commit({ kind: "remove", nodes: [members[1].self.node] });
  members = await Promise.all(members.map((member) => GroupMembership.restore(member.save())));
  const secrets = await Promise.all(members.map((member) => member.epochSecret()));
  const message = random(9);
  const signature = await members[1].sign("BX2 operation", message);
  const { node } = members[1].self;
  const taken = await members[0].verify("BX2 operation", node, signature, message);
  return { members: members.length, secrets: new Set(secrets.map(String)).size, taken };
}
