/**
 * Knocks as members see them: key packages with one flaw each, signed as they should be.
 */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { signKeyPackage } from "ts-mls/keyPackage.js";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import type { DeviceKeys } from "../src/client/group/mls/key_package.ts";
import { answerKnock, isKnockOf } from "../src/client/group/mls/knock_answer.ts";
import { capabilitiesOf } from "../src/client/group/mls/leaf_rules.ts";
import { readKeyPackage, writeKeyPackage } from "../src/client/group/mls/mls_message.ts";
import { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import { mlsSuite, P256_SUITE, XWING_SUITE } from "../src/client/group/mls/webcrypto_provider.ts";
import { hex } from "../src/wire/bytes.ts";
import { MlsWorld } from "./kit/mls.ts";
import { repacked } from "./kit/mls_forge.ts";

test("a key package with a flaw is not let in, however well it is signed", async () => {
  const world = await MlsWorld.of(2);
  const door = await world.invite();
  const newcomer = await world.draw("newcomer", door);
  const member = world.members[0]!;
  const { group } = world;
  const suite = await mlsSuite(P256_SUITE);
  const keys = await suite.signature.keygen() as DeviceKeys;
  const drawn = await GroupNewcomer.draw({ group, name: "x", door, postQuantum: false, keys });
  const signed = (change: Parameters<typeof repacked>[3]) =>
    repacked(drawn.keyPackage, suite, keys.signKey, change);
  const refused = async (why: string, change: Parameters<typeof repacked>[3]) => {
    const bytes = await signed(change);
    const error = await assertRejects(() => answerKnock(member, door, bytes), ClientError, why);
    assertEquals(error.code, "BAD_KNOCK");
  };

  const { initKey, leafNode } = readKeyPackage(newcomer.keyPackage)!;
  const fresh = initKey.slice();
  // Drawn for two devices: what is whose is for the tree to say, and nothing is wrong with it.
  const fine = await signed({ pack: { initKey: fresh } });
  assertEquals((await answerKnock(member, door, fine))?.kind, "add");

  const none = Uint8Array.of(4, ...random(64));
  await refused("a key that is none", { pack: { initKey: none } });
  await refused("a key that is none", { leaf: { hpkePublicKey: none } });
  const { hpkePublicKey } = leafNode;
  const twice = { leaf: { hpkePublicKey }, pack: { initKey: hpkePublicKey } };
  await refused("one key for two purposes", twice);
  const leaf = member.view.state.ratchetTree[0];
  if (leaf?.nodeType !== "leaf") throw new TypeError("no leaf");
  await refused("a key that is in the tree", {
    leaf: { hpkePublicKey: leaf.leaf.hpkePublicKey },
  });
  const extensions = [{ extensionType: 0xf0b2, extensionData: new Uint8Array(1) }];
  await refused("extensions of a key package", { pack: { extensions } });

  const capabilities = capabilitiesOf(suite);
  const lacking: Partial<typeof capabilities>[] = [
    { versions: [] },
    { ciphersuites: [XWING_SUITE] },
    { extensions: [0xf0b3] },
    { credentials: ["x509"] },
  ];
  for (const less of lacking) {
    await refused("does not understand", { leaf: { capabilities: { ...capabilities, ...less } } });
  }

  const now = BigInt(Math.floor(Date.now() / 1000));
  const longest = 366n * 86_400n;
  const lasting = (notBefore: bigint, notAfter: bigint) => ({
    leaf: { lifetime: { notBefore, notAfter } } as never,
  });
  const [begun, ended] = [now - 100n, now + 100n];
  assertEquals(
    (await answerKnock(member, door, await signed(lasting(begun, begun + longest))))?.kind,
    "add",
  );
  await refused("a lifetime without an end", lasting(begun, begun + longest + 1n));
  await refused("a lifetime without an end", lasting(ended, begun));
  await refused("a lifetime without an end", lasting(now, now));
  await refused("not good now", lasting(ended, ended + 100n));
  await refused("not good now", lasting(begun - 100n, begun));

  // Each of its two signatures is needed, and of the right key.
  const other = await suite.signature.keygen();
  const foreign = await repacked(drawn.keyPackage, suite, other.signKey, {});
  const pack = readKeyPackage(drawn.keyPackage)!;
  const wrong = readKeyPackage(foreign)!;
  for (
    const half of [{ ...pack, signature: wrong.signature }, { ...pack, leafNode: wrong.leafNode }]
  ) {
    const bytes = writeKeyPackage(half);
    await assertRejects(() => answerKnock(member, door, bytes), ClientError, "signatures");
  }
  // Its own signature is right, and that of its leaf is not.
  const signature = wrong.leafNode.signature;
  const half = writeKeyPackage(
    await signKeyPackage(
      { ...pack, leafNode: { ...pack.leafNode, signature } },
      keys.signKey,
      suite.signature,
    ),
  );
  await assertRejects(() => answerKnock(member, door, half), ClientError, "signatures");
});

test("a knock at a member's door is told from those that others put there", async () => {
  const world = await MlsWorld.of(3);
  const [judge, lost, other] = world.members as [
    GroupMembership,
    GroupMembership,
    GroupMembership,
  ];
  const peer = judge.peer(hex(lost.self.node))!;
  const { keyPackage } = await world.again(lost);
  assert(await isKnockOf(judge, peer, keyPackage));
  assert(!await isKnockOf(judge, peer, (await world.again(other)).keyPackage));
  assert(!await isKnockOf(judge, peer, keyPackage.slice(1)));
  const { suite } = judge.view;
  const foreign = await repacked(keyPackage, suite, other.keys().signKey, {});
  assert(!await isKnockOf(judge, peer, foreign), "with its key in it, and not signed by it");
});

test("an invitation is answered as long as its epoch can be shown, and not from when it expires", async () => {
  const world = await MlsWorld.of(1);
  const now = Date.now();
  const door = await world.invite(0, BigInt(now + 1_000));
  const newcomer = await world.draw("x", door);
  const [member] = world.members;
  const { epoch } = member!.data.invitations[0]!;
  const answer = (at: number, oldest: bigint) =>
    answerKnock(member!, door, newcomer.keyPackage, at, oldest);
  const refused = async (at: number, oldest: bigint) => {
    const error = await assertRejects(() => answer(at, oldest), ClientError);
    assertEquals(error.code, "NOT_ADMITTED");
  };
  assertEquals((await answer(now + 999, epoch))?.kind, "add");
  await refused(now, epoch + 1n);
  await refused(now + 1_000, epoch);
  // One that is permanent needs no epoch of before.
  const permanent = await world.invite(0, 0n);
  const { keyPackage } = await world.draw("y", permanent);
  const later = await answerKnock(world.members[0]!, permanent, keyPackage, now, 1n << 40n);
  assertEquals(later?.kind, "add");
});
