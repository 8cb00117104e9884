/**
 * Doors from both sides: who is let in, and which welcomes a newcomer takes.
 */
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { generateKeyPackageWithKey } from "ts-mls/keyPackage.js";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { encodeIdentity } from "../src/client/group/mls/credential.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { afterAdd } from "../src/client/group/mls/group_data.ts";
import { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { answerKnock } from "../src/client/group/mls/knock_answer.ts";
import { capabilitiesOf, lifetimeFrom } from "../src/client/group/mls/leaf_rules.ts";
import { readWelcome, writeKeyPackage, writeWelcome } from "../src/client/group/mls/mls_message.ts";
import { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import { mlsSuite, P256_SUITE, XWING_SUITE } from "../src/client/group/mls/webcrypto_provider.ts";
import { type Bytes, hex, sameBytes, WireError } from "../src/wire/bytes.ts";
import { anyCarry, anyHead, MlsWorld } from "./kit/mls.ts";
import {
  addOf,
  CARRY,
  carryOf,
  dataOf,
  forge,
  type Forgery,
  NO_CARRY,
  pskOf,
} from "./kit/mls_forge.ts";
import { dice } from "./kit/random.ts";

const code = async (work: () => Promise<unknown>): Promise<string> => {
  const error = await assertRejects(work, Error);
  return error instanceof ClientError || error instanceof WireError ? error.code : `${error}`;
};

/** A group of two with an invitation, and somebody who waits at its door. */
async function waiting() {
  const world = await MlsWorld.of(2);
  const door = await world.invite();
  const newcomer = await world.draw("newcomer", door);
  return { world, door, newcomer, member: world.members[0]! };
}

async function welcomeOf(
  member: GroupMembership,
  newcomer: GroupNewcomer,
  doors: readonly GroupDoor[],
  forgery: Partial<Forgery> = {},
): Promise<Bytes> {
  const data = dataOf(afterAdd(member.data, newcomer.node, newcomer.door.value));
  const proposals = [addOf(newcomer.keyPackage), ...doors.map((d) => pskOf(d.pskId)), data];
  return (await forge(member, anyHead(), { proposals, doors, ...forgery })).welcome!;
}

test("a newcomer takes the welcome of its door alone", async () => {
  const { world, door, newcomer, member } = await waiting();
  const another = await GroupDoor.ofInvitation(random(16), world.group);
  const refused = async (message: Bytes) =>
    assertEquals(await code(() => newcomer.enter(message)), "BAD_WELCOME");
  await refused(await welcomeOf(member, newcomer, []));
  await refused(await welcomeOf(member, newcomer, [another]));
  await refused(await welcomeOf(member, newcomer, [door, another]));
  await refused(await welcomeOf(member, newcomer, [door, door]));
  await refused(await welcomeOf(member, newcomer, [door], { infoExtensions: [] }));
  await refused(await welcomeOf(member, newcomer, [door], { infoExtensions: [CARRY, CARRY] }));
  await refused(await welcomeOf(member, newcomer, [door], { infoExtensions: [NO_CARRY] }));
  // As many epochs before as there were, at most, and with hashes of this suite's.
  const carried = (count: number, hash?: number) =>
    welcomeOf(member, newcomer, [door], { infoExtensions: [carryOf(anyCarry(count, hash))] });
  const before = Number(member.number) + 1;
  await refused(await carried(before + 1));
  await refused(await carried(1, 64));
  assertEquals((await newcomer.enter(await carried(before))).carry.length, before);

  // A group that somebody else made: the relay knows no PSK, who was invited knows it.
  const invite = { kind: "invite", value: door.value, expires: 0n } as const;
  const made = async (group: Bytes) => {
    const parts = { name: "x", signed: true, postQuantum: false };
    const own = await GroupMembership.create({ group, ...parts });
    return (await own.prepare(invite, anyHead(), [])).next;
  };
  await refused(await welcomeOf(await made(world.group), newcomer, [another]));
  await refused(await welcomeOf(await made(random(16)), newcomer, [door]));

  const first = afterAdd(member.data, newcomer.node, door.value);
  const members = [newcomer.node, ...member.data.members];
  const proposals = [
    addOf(newcomer.keyPackage),
    pskOf(door.pskId),
    dataOf({ ...first, members }),
  ];
  await refused(await welcomeOf(member, newcomer, [door], { proposals }));
  await newcomer.enter(await welcomeOf(member, newcomer, [door]));
});

test("a welcome is for one key package: for another of the same device it says nothing", async () => {
  const { world, door, newcomer, member } = await waiting();
  const message = await welcomeOf(member, newcomer, [door]);
  const again = await world.draw("newcomer", door);
  assertEquals(await code(() => again.enter(message)), "BAD_WELCOME");
  assertEquals(await code(() => again.enter(newcomer.keyPackage)), "BAD_WELCOME");
});

test("a welcome for two is none, whoever the other one is", async () => {
  const { door, newcomer, member } = await waiting();
  const message = await welcomeOf(member, newcomer, [door]);
  const welcome = readWelcome(message)!;
  const [own] = welcome.secrets;
  const other = { ...own!, newMember: random(32) };
  for (const secrets of [[own!, other], [other, own!], [other], []]) {
    const changed = writeWelcome({ ...welcome, secrets });
    assertEquals(await code(() => newcomer.enter(changed)), "BAD_WELCOME");
  }
  await newcomer.enter(writeWelcome(welcome));
});

test("a welcome that was cut, or changed in one bit, is refused", async () => {
  const { door, newcomer, member } = await waiting();
  const message = await welcomeOf(member, newcomer, [door]);
  for (let length = 0; length < message.length; length += 1 + (length >> 5)) {
    assertEquals(await code(() => newcomer.enter(message.slice(0, length))), "BAD_WELCOME");
  }
  const roll = dice();
  for (let i = 0; i < 100; i++) {
    const changed = message.slice();
    changed[roll(changed.length)]! ^= 1 << roll(8);
    assertEquals(await code(() => newcomer.enter(changed)), "BAD_WELCOME");
  }
});

test("a newcomer's state comes back whole, or not at all", async () => {
  const { door, newcomer, member } = await waiting();
  const saved = newcomer.save();
  for (let length = 0; length < saved.length; length++) {
    await assertRejects(() => GroupNewcomer.restore(saved.subarray(0, length)));
  }
  await assertRejects(() => GroupNewcomer.restore(Uint8Array.from([...saved, 0])));
  const back = await GroupNewcomer.restore(saved);
  assertEquals([back.reference, back.node], [newcomer.reference, newcomer.node]);
  await back.enter(await welcomeOf(member, newcomer, [door]));
});

test("a member that comes in again takes a welcome from those it knew, and from nobody else", async () => {
  const world = await MlsWorld.of(4);
  const [, removed, lost] = world.members as [GroupMembership, GroupMembership, GroupMembership];
  // It knows the seeds of all, and nobody draws new ones.
  const unaware = await world.again(lost);
  await world.commit(0, { kind: "remove", nodes: [removed.self.node] });
  const member = world.members.find(({ self }) => sameBytes(self.node, lost.self.node))!;
  const newcomer = await GroupNewcomer.restore((await world.again(member)).save());
  const { group } = world;
  const { node } = lost.self;
  const door = await GroupDoor.ofMember(removed.peer(node)!.seed, group, node);
  assertEquals(door.value, newcomer.door.value);

  // It goes on with the group as it was, or makes one that nobody has heard of.
  const goingOn = async ({ keyPackage }: GroupNewcomer) => {
    const change = { kind: "rejoin", keyPackage, node } as const;
    const { welcome } = await removed.prepare(change, anyHead(), world.carry);
    return (await door.openWelcome(welcome!.body)).message;
  };
  assertEquals(await code(async () => newcomer.enter(await goingOn(newcomer))), "BAD_WELCOME");
  const fresh = { group, name: "x", signed: true, postQuantum: false };
  const own = await GroupMembership.create(fresh);
  const message = await welcomeOf(own, newcomer, [door]);
  assertEquals(await code(() => newcomer.enter(message)), "BAD_WELCOME");
  // Who was not told of the removal takes it for a member: nothing else speaks against this welcome.
  const { membership } = await unaware.enter(await goingOn(unaware));
  assertEquals(membership.peers().length, 4);

  const { entered } = await world.admit(newcomer, 0);
  assertEquals(entered.membership.self.node, lost.self.node);
  await world.commit(1, { kind: "rotate" });
});

test("a key package is good for one rejoin, whoever has kept it", async () => {
  const world = await MlsWorld.of(3);
  const lost = world.members[2]!;
  const { node } = lost.self;
  const first = await world.again(lost);
  // Nobody has answered this one.
  const other = await world.again(lost);
  await world.admit(first, 0);
  const judge = world.members[0]!;
  const door = await GroupDoor.ofMember(judge.peer(node)!.seed, world.group, node);
  for (const { keyPackage } of [first, other]) {
    assertEquals(await code(() => answerKnock(judge, door, keyPackage)), "BAD_KNOCK");
    const change = { kind: "rejoin", keyPackage, node } as const;
    assertEquals(await code(() => judge.prepare(change, anyHead(), world.carry)), "BAD_COMMIT");
  }
  const again = world.members.find(({ self }) => sameBytes(self.node, node))!;
  await world.admit(await world.again(again), 0);
});

const DAY = 24 * 3600 * 1000;

test("a knock is answered while its invitation stands, and its key package is good", async () => {
  const { world, newcomer, member } = await waiting();
  const now = Date.now();
  const soon = await world.invite(0, BigInt(now + 1000));
  const judge = world.members[0]!;
  const late = await world.draw("late", soon);
  const answer = (n: GroupNewcomer, at = now, door = n.door) =>
    answerKnock(judge, door, n.keyPackage, at);
  assertEquals((await answer(late))?.kind, "add");
  assertEquals(await code(() => answer(late, now + 1000)), "NOT_ADMITTED");
  assertEquals(await code(() => answer(newcomer, now + 91 * DAY)), "BAD_KNOCK");
  assertEquals(await code(() => answer(newcomer, now - 2 * DAY)), "BAD_KNOCK");
  const unknown = await GroupDoor.ofInvitation(random(16), world.group);
  assertEquals(await answer(newcomer, now, unknown), undefined);
  assertEquals(await answerKnock(member, late.door, late.keyPackage), undefined);

  // Members and those who were removed do not come in as new.
  const keys = world.members[1]!.keys();
  const { group } = world;
  const draw = { group, name: "x", door: newcomer.door, postQuantum: false, keys };
  const member1 = await GroupNewcomer.draw(draw);
  assertEquals(await answer(member1), undefined, "it is in already");
  await world.commit(0, { kind: "remove", nodes: [world.members[1]!.self.node] });
  const door = await world.invite();
  const removed = await GroupNewcomer.draw({ ...draw, door });
  const last = world.members[0]!;
  assertEquals(await code(() => answerKnock(last, door, removed.keyPackage)), "BAD_KNOCK");
  const own = await GroupDoor.ofMember(last.self.seed, group, last.self.node);
  const stranger = await GroupNewcomer.draw({ ...draw, keys: undefined as never, door: own });
  assertEquals(await code(() => answerKnock(last, own, stranger.keyPackage)), "BAD_KNOCK");
});

test("a key package that was cut, changed, of another suite, or forged is not let in", async () => {
  const { world, door, newcomer, member } = await waiting();
  const pack = newcomer.keyPackage;
  const answer = (bytes: Bytes) => code(() => answerKnock(member, door, bytes));
  for (let length = 0; length < pack.length; length++) {
    assertEquals(await answer(pack.slice(0, length)), "BAD_KNOCK");
  }
  for (let bit = 0; bit < 8 * pack.length; bit += 7) {
    const changed = pack.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(await answer(changed), "BAD_KNOCK");
  }
  const { group } = world;
  const other = await GroupNewcomer.draw({ group, name: "x", door, postQuantum: true });
  assertEquals(await answer(other.keyPackage), "BAD_KNOCK");
  assertEquals(await answer(new Uint8Array(20_000)), "BAD_KNOCK");

  const suite = await mlsSuite(P256_SUITE);
  const pair = await suite.signature.keygen();
  const identity = encodeIdentity({ node: newcomer.node, seed: random(16), name: "x" });
  const { publicPackage } = await generateKeyPackageWithKey(
    { credentialType: "basic", identity },
    capabilitiesOf(suite),
    lifetimeFrom(Date.now()),
    [],
    pair,
    suite,
  );
  assertEquals(await answer(writeKeyPackage(publicPackage)), "BAD_KNOCK");
});

test("entries of a door open with its own seal, as what they are", async () => {
  const group = random(16);
  const key = random(16);
  const [door, same, other] = await Promise.all([
    GroupDoor.ofInvitation(key, group),
    GroupDoor.ofInvitation(key, group),
    GroupDoor.ofInvitation(key, random(16)),
  ]);
  const [knock, message, reference] = [random(300), random(500), random(32)];
  assertEquals(await same.openKnock(await door.sealKnock(knock)), knock);
  const sealed = await door.sealWelcome({ reference, message });
  assertEquals(await same.openWelcome(sealed), { reference, message });
  assertEquals(await code(() => other.openWelcome(sealed)), "AUTH_FAILED");
  assertEquals(await code(() => door.openKnock(sealed)), "AUTH_FAILED");
  for (let length = 0; length < sealed.length; length += 7) {
    const refusal = await code(() => door.openWelcome(sealed.subarray(0, length)));
    assertEquals(refusal, length < 12 ? "TRUNCATED" : "AUTH_FAILED");
  }
  const short = await door.sealKnock(random(31));
  assertEquals(await code(() => door.openWelcome(short)), "AUTH_FAILED");
  const member = await GroupDoor.ofMember(key, group, random(16));
  assertEquals(new Set([door, other, member].map(({ value }) => `${value}`)).size, 3);
  const long = await door.sealWelcome({ reference: random(64), message });
  assertEquals((await door.openWelcome(long)).message, message);
});

test("a key package that is not good now is drawn anew for the same device, and answers to both are taken", async () => {
  for (const postQuantum of [false, true]) {
    const world = await MlsWorld.of(1, postQuantum);
    const day = 86_400_000;
    const drawn = await world.draw("late", await world.invite());
    const now = Date.now();
    const good = [-2, -0.5, 0, 88, 90, 91].map((days) => drawn.isGood(now + days * day));
    assertEquals(good, [false, true, true, true, false, false]);
    const renewed = await GroupNewcomer.restore((await drawn.renewed(now + 91 * day)).save());
    assertEquals([renewed.isGood(now), renewed.isGood(now + 91 * day)], [false, true]);
    assertEquals(renewed.node, drawn.node);
    assertNotEquals(renewed.keyPackage, drawn.keyPackage);
    const twice = await renewed.renewed(now);
    for (const { reference } of [drawn, renewed, twice]) {
      assert(twice.offered(hex(reference.subarray(0, 32))));
    }
    assert(!drawn.offered(hex(renewed.reference.subarray(0, 32))));
    // Somebody has answered the first one.
    const answer = await answerKnock(world.members[0]!, drawn.door, drawn.keyPackage, now);
    const step = await world.commit(0, answer!);
    const { message } = await step.welcome!.door.openWelcome(step.welcome!.body);
    const restored = await GroupNewcomer.restore(twice.save());
    world.members.push((await restored.enter(message)).membership);
    await world.agree();
    // The last one is of a member by now.
    const other = await world.invite();
    const door = await GroupNewcomer.draw({
      group: world.group,
      name: "x",
      door: other,
      postQuantum,
    });
    assertEquals(await code(() => door.enter(message)), "BAD_WELCOME");
    await world.admit(await (await world.draw("later", other)).renewed(now));
    const truncated = twice.save();
    assertEquals(await code(() => GroupNewcomer.restore(truncated.subarray(0, -1))), "TRUNCATED");
  }
});

test("of key packages of before a few are kept", async () => {
  const world = await MlsWorld.of(1);
  let newcomer = await world.draw("late", await world.invite());
  const references: string[] = [];
  for (let i = 0; i < 10; i++) {
    references.push(hex(newcomer.reference));
    newcomer = await newcomer.renewed();
  }
  const offered = references.map((one) => newcomer.offered(one));
  assertEquals(offered, [false, false, ...Array<boolean>(8).fill(true)]);
});

test("a name above 63 bytes is refused", async () => {
  const group = random(16);
  const door = await GroupDoor.ofInvitation(random(16), group);
  const name = "é".repeat(32);
  const draw = () => GroupNewcomer.draw({ group, name, door, postQuantum: false });
  assertEquals(await code(draw), "NAME_LENGTH");
});

test("the post-quantum suite seals and opens on this runtime", async () => {
  const { hpke } = await mlsSuite(XWING_SUITE);
  const { publicKey, privateKey } = await hpke.generateKeyPair();
  const [text, info] = [random(9), random(3)];
  const { ct, enc } = await hpke.seal(publicKey, text, info);
  assertEquals(await hpke.open(privateKey, enc, ct, info), text);
  assertEquals(enc.length, 1120);
});
