import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { initializeEpoch } from "ts-mls/keySchedule.js";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import type { GroupChange } from "../src/client/group/mls/commit_maker.ts";
import { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { type Bytes, hex, WireError } from "../src/wire/bytes.ts";
import { anyHead, MlsWorld } from "./kit/mls.ts";
import { anything, inAndOut } from "./kit/mls_walk.ts";

const nodes = (list: readonly { readonly node: Bytes }[]) => list.map(({ node }) => hex(node));

test("seven devices: in by whoever is there, keys anew, out, and of one mind all the time", () =>
  inAndOut(7));

test("a member that cannot follow comes in again: same node, same place, new door", async () => {
  const world = await MlsWorld.of(4);
  const lost = world.members[2]!;
  const before = nodes(lost.peers());
  const { self } = lost;
  world.carry = [{
    bound: { sequence: 9n, hash: random(32) },
    ...await world.members[0]!.witness(),
  }];
  await world.commit(0, { kind: "rotate" });
  const place = world.members.findIndex((member) => member.self.name === "device 2");
  const stale = world.members[place]!;
  const { judged, entered } = await world.admit(await world.again(lost), 3);
  assertEquals(judged.map(({ change }) => change.kind), ["rejoin", "rejoin", "rejoin"]);
  assertEquals(judged.filter(({ next }) => !next).length, 1, "its old leaf is gone");
  const { membership } = entered;
  assertEquals(entered.carry, world.carry);
  assertEquals(nodes(membership.peers()), before);
  assertEquals(membership.self.node, stale.self.node);
  assert(hex(membership.self.seed) !== hex(self.seed));
  await world.commit(1, { kind: "rotate" });
});

test("invitations: taken back, void after a removal, gone when used unless permanent", async () => {
  const world = await MlsWorld.of(2);
  const once = await world.invite(0);
  const always = await world.invite(1, 0n);
  const third = await world.invite(1);
  const values = () => world.members[0]!.data.invitations.map(({ value }) => hex(value));
  assertEquals(values(), [once, always, third].map(({ value }) => hex(value)));
  const { judged } = await world.commit(0, { kind: "revoke", values: [third.value] });
  assertEquals(judged[0]!.change, { kind: "revoke", removed: [] });
  await world.add("by once", 0, once);
  await world.add("by always", 0, always);
  await world.add("by always again", 2, always);
  assertEquals(values(), [hex(always.value)]);
  await world.commit(0, { kind: "remove", nodes: [world.members[1]!.self.node] });
  assertEquals(values(), []);
});

test("a state has the secrets of its own epoch only", async () => {
  const world = await MlsWorld.of(3);
  const old: string[] = [];
  for (const kind of ["rotate", "invite", "rotate", "remove", "rotate"] as const) {
    for (const { view: { state, self } } of world.members) {
      const { initSecret, exporterSecret, membershipKey, confirmationKey, resumptionPsk } =
        state.keySchedule;
      const secrets = [initSecret, exporterSecret, membershipKey, confirmationKey, resumptionPsk];
      old.push(...secrets.map(hex));
      // A commit of the first device renews or blanks all but the leaves of the others.
      if (kind === "invite") continue;
      for (const [at, key] of Object.entries(state.privatePath.privateKeys)) {
        if (self.leaf === 0 || Number(at) !== 2 * self.leaf) old.push(hex(key));
      }
    }
    if (kind === "rotate") await world.commit(0, { kind });
    else if (kind === "invite") await world.invite(0);
    else await world.commit(0, { kind, nodes: [world.members[2]!.self.node] });
    for (const member of world.members) {
      const saved = hex(member.save());
      assertEquals(old.filter((secret) => saved.includes(secret)), [], `after ${kind}`);
      assertEquals(member.view.state.historicalReceiverData.size, 0);
    }
  }
});

test("who was removed cannot compute the next epoch, also where one device is left", async () => {
  for (const count of [2, 3]) {
    const world = await MlsWorld.of(count);
    const gone = world.members[1]!.view;
    await world.commit(0, { kind: "remove", nodes: [gone.self.node] });
    const { suite, state } = world.members[0]!.view;
    const zeros = new Uint8Array(suite.kdf.size);
    const { initSecret } = gone.state.keySchedule;
    // All that it knows: the init secret, and the context that the commit tells it.
    const guess = await initializeEpoch(initSecret, zeros, state.groupContext, zeros, suite.kdf);
    assertNotEquals(guess.keySchedule.exporterSecret, state.keySchedule.exporterSecret);
  }
});

test("members sign, with a label and their name in it", async () => {
  for (const postQuantum of [false, true]) {
    const world = await MlsWorld.of(2, postQuantum);
    const [a, b] = world.members as [GroupMembership, GroupMembership];
    const message = random(100);
    const signature = await a.sign("BX2 operation", message);
    assertEquals(signature.length, 64);
    assert(await b.verify("BX2 operation", a.self.node, signature, message));
    assert(await b.verify("BX2 operation", b.peer(hex(a.self.node))!, signature, message));
    assert(!await b.verify("BX2 announce", a.self.node, signature, message));
    assert(!await b.verify("BX2 operation", b.self.node, signature, message));
    assert(!await b.verify("BX2 operation", random(16), signature, message));
    assert(!await b.verify("BX2 operation", a.self.node, signature.subarray(1), message));
    assert(!await b.verify("BX2 operation", a.self.node, signature, random(100)));
  }
});

test("the post-quantum suite does all of it", async () => {
  const world = await MlsWorld.of(4, true);
  await world.commit(2, { kind: "rotate" });
  await world.commit(1, { kind: "remove", nodes: [world.members[3]!.self.node] });
  await world.add("one more", 2);
  assert(world.members[3]!.postQuantum);
});

test("a saved state that was cut or changed is refused, or is another's", async () => {
  const saved = (await MlsWorld.of(2)).members[0]!.save();
  for (let length = 0; length < saved.length; length += 1 + (length >> 4)) {
    await assertRejects(() => GroupMembership.restore(saved.subarray(0, length)));
  }
  const other = saved.slice();
  other[0] = 9;
  await assertRejects(() => GroupMembership.restore(other), WireError, "BAD_STATE");
});

test("whatever happens in a group, all are of one mind", () => anything(16));

test("a change that makes no sense is refused before anybody sees it", async () => {
  const world = await MlsWorld.of(2);
  const [member, other] = world.members as [GroupMembership, GroupMembership];
  const door = await GroupDoor.ofInvitation(random(16), world.group);
  const stranger = await world.draw("stranger", door);
  const cases: readonly [GroupChange, string][] = [
    [{ kind: "remove", nodes: [random(16)] }, "NOT_A_MEMBER"],
    [{ kind: "remove", nodes: [] }, "BAD_COMMIT"],
    [{ kind: "remove", nodes: [member.self.node] }, "BAD_COMMIT"],
    [{ kind: "remove", nodes: [other.self.node, other.self.node] }, "BAD_COMMIT"],
    [{ kind: "revoke", values: [random(32)] }, "BAD_COMMIT"],
    [{ kind: "add", keyPackage: stranger.keyPackage, door }, "NOT_ADMITTED"],
    [{ kind: "rejoin", keyPackage: stranger.keyPackage, node: random(16) }, "NOT_A_MEMBER"],
    [{ kind: "rejoin", keyPackage: stranger.keyPackage, node: other.self.node }, "BAD_COMMIT"],
    [{ kind: "rejoin", keyPackage: random(50), node: other.self.node }, "BAD_KNOCK"],
  ];
  for (const [change, code] of cases) {
    const error = await assertRejects(() => member.prepare(change, anyHead(), []), ClientError);
    assertEquals(error.code, code, change.kind);
  }
  const invite = () => ({ kind: "invite", value: random(32), expires: 0n }) as const;
  let full = member;
  for (let i = 0; i < 32; i++) full = (await full.prepare(invite(), anyHead(), [])).next;
  const error = await assertRejects(() => full.prepare(invite(), anyHead(), []), ClientError);
  assertEquals(error.code, "TOO_MANY");
});
