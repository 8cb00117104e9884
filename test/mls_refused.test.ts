/**
 * Commits that nobody takes: each is made by a member with all its keys, that breaks one rule.
 */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createCommit,
  createGroupInfoWithExternalPubAndRatchetTree,
  joinGroupExternal,
} from "ts-mls/createCommit.js";
import { createProposal } from "ts-mls/createMessage.js";
import type { Commit } from "ts-mls/commit.js";
import { generateKeyPackageWithKey, type KeyPackage } from "ts-mls/keyPackage.js";
import type { Proposal } from "ts-mls/proposal.js";
import { createSecretTree } from "ts-mls/secretTree.js";
import type { UpdatePath } from "ts-mls/updatePath.js";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { CommitOfOurs } from "../src/client/group/mls/commit_judge.ts";
import { type CommitPlace, encodeCommitPlace } from "../src/client/group/mls/commit_place.ts";
import { encodeIdentity, nodeOfKey } from "../src/client/group/mls/credential.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import {
  afterAdd,
  afterInvite,
  afterRemove,
  encodeGroupData,
} from "../src/client/group/mls/group_data.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import {
  capabilitiesOf,
  DATA_EXTENSION,
  groupConfig,
  lifetimeFrom,
} from "../src/client/group/mls/leaf_rules.ts";
import {
  readPublicMessage,
  writeKeyPackage,
  writeMessage,
} from "../src/client/group/mls/mls_message.ts";
import type { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import type { GroupSuite } from "../src/client/group/mls/webcrypto_provider.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import { anyHead, MlsWorld } from "./kit/mls.ts";
import {
  addOf,
  dataOf,
  extensionsOf,
  forge,
  type Forgery,
  pskOf,
  removeOf,
  resigned,
} from "./kit/mls_forge.ts";
import { dice } from "./kit/random.ts";

/** Two invitations stand, one device was removed, one waits outside. */
interface Scene {
  readonly world: MlsWorld;
  readonly forger: GroupMembership;
  readonly judge: GroupMembership;
  readonly third: GroupMembership;
  readonly once: GroupDoor;
  readonly other: GroupDoor;
  readonly gone: GroupMembership;
  readonly newcomer: GroupNewcomer;
  readonly head: CommitPlace;
}

let scene: Promise<Scene> | undefined;

async function makeScene(): Promise<Scene> {
  const world = await MlsWorld.of(4);
  const gone = world.members[3]!;
  await world.commit(0, { kind: "remove", nodes: [gone.self.node] });
  const once = await world.invite();
  const other = await world.invite(0, 0n);
  const newcomer = await world.draw("newcomer", once);
  const [forger, judge, third] = world.members as [
    GroupMembership,
    GroupMembership,
    GroupMembership,
  ];
  return { world, forger, judge, third, once, other, gone, newcomer, head: anyHead() };
}

async function refused(judge: GroupMembership, message: Bytes, head: CommitPlace, why?: string) {
  const error = await assertRejects(() => judge.judge(message, head), ClientError);
  assertEquals(error.code, "BAD_COMMIT");
  if (why) assert(error.message.includes(why), error.message);
  return error;
}

/** A key package of the forger's making, signed as it should be. */
async function packageOf(
  suite: GroupSuite,
  change: Partial<KeyPackage["leafNode"]> & { keys?: { publicKey: Bytes; signKey: Bytes } },
  identity?: (node: Bytes) => Uint8Array,
): Promise<Bytes> {
  const { keys, ...leaf } = change;
  const pair = keys ?? await suite.signature.keygen();
  const node = await nodeOfKey(pair.publicKey);
  const { publicPackage } = await generateKeyPackageWithKey(
    {
      credentialType: "basic",
      identity: identity?.(node) ?? encodeIdentity({ node, seed: random(16), name: "x" }),
    },
    leaf.capabilities ?? capabilitiesOf(suite),
    "lifetime" in leaf ? leaf.lifetime! : lifetimeFrom(Date.now()),
    [],
    pair,
    suite,
    leaf.extensions ?? [],
  );
  return writeKeyPackage(publicPackage);
}

/** A key package of the third one's for a rejoin. */
async function comingBack({ forger, third }: Scene): Promise<Bytes> {
  const { self, group } = third;
  const door = await GroupDoor.ofMember(self.seed, group, self.node);
  const seed = await door.nextSeed();
  const identity = (node: Bytes) => encodeIdentity({ node, seed, name: "x" });
  return await packageOf(forger.view.suite, { keys: third.keys() }, identity);
}

/** What an add has to be, of this key package; `change` breaks it. */
function addition(
  { forger, once, newcomer }: Scene,
  change: (parts: Proposal[]) => Proposal[] = (parts) => parts,
  keyPackage = newcomer.keyPackage,
  node = newcomer.node,
): Forgery {
  const data = dataOf(afterAdd(forger.data, node, once.value));
  return { proposals: change([addOf(keyPackage), pskOf(once.pskId), data]), doors: [once] };
}

/** As it has to be where the forger's next epoch begins, unless said. */
const invitation = ({ forger }: Scene, epoch = forger.number + 1n) => ({
  value: random(32),
  expires: 0n,
  epoch,
});

const forgeries: readonly [string, string, (scene: Scene) => Forgery | Promise<Forgery>][] = [
  ["an add without a PSK", "no change", (s) => addition(s, ([add, , data]) => [add!, data!])],
  ["an add with two PSKs", "no change", (s) => ({
    ...addition(s, (parts) => [...parts, pskOf(s.other.pskId)]),
    doors: [s.once, s.other],
  })],
  [
    "an add with a PSK of no invitation",
    "no invitation",
    (s) => addition(s, ([add, , data]) => [add!, pskOf(random(16)), data!]),
  ],
  ["an add with a PSK that others cannot know", "MLS refuses", (s) => ({
    ...addition(s),
    doors: [],
  })],
  [
    "an add with a short nonce",
    "PSK",
    (s) => addition(s, ([add, , data]) => [add!, pskOf(s.once.pskId, 16), data!]),
  ],
  ["an add with a resumption PSK", "PSK", (s) =>
    addition(s, ([add, , data]) => [add!, {
      proposalType: "psk",
      psk: {
        preSharedKeyId: {
          ...{ psktype: "resumption", usage: "application" },
          ...{ pskGroupId: s.forger.group, pskEpoch: s.forger.number, pskNonce: random(32) },
        },
      },
    }, data!])],
  ["an add without group data", "no change", (s) => addition(s, ([add, psk]) => [add!, psk!])],
  [
    "an add that leaves the group data",
    "not what follows",
    (s) => addition(s, ([add, psk]) => [add!, psk!, dataOf(s.forger.data)]),
  ],
  ["an add that keeps the invitation", "not what follows", (s) =>
    addition(s, ([add, psk]) => {
      const members = [...s.forger.data.members, s.newcomer.node];
      return [add!, psk!, dataOf({ ...s.forger.data, members })];
    })],
  ["an add that puts the newcomer first", "not what follows", (s) =>
    addition(s, ([add, psk]) => {
      const data = afterAdd(s.forger.data, s.newcomer.node, s.once.value);
      const members = [s.newcomer.node, ...s.forger.data.members];
      return [add!, psk!, dataOf({ ...data, members })];
    })],
  ["an add of two", "no change", async (s) => {
    const second = await packageOf(s.forger.view.suite, {});
    return addition(s, (parts) => [...parts, addOf(second)]);
  }],
  [
    "an add and a removal",
    "no change",
    (s) => addition(s, (parts) => [...parts, removeOf(s.third.self.leaf)]),
  ],
  ["a node id of another key", "node id", async (s) => {
    const forged = await packageOf(
      s.forger.view.suite,
      {},
      () => encodeIdentity({ node: s.newcomer.node, seed: random(16), name: "x" }),
    );
    // The forger's own library must not notice either.
    const { state } = s.forger.view;
    const authService = { validateCredential: () => Promise.resolve(true) };
    const clientConfig = { ...groupConfig, authService };
    return { ...addition(s, undefined, forged), state: { ...state, clientConfig } };
  }],
  ["a member once more", "is a member", async (s) => {
    const again = await packageOf(s.forger.view.suite, { keys: s.third.keys() });
    const { ratchetTree } = s.forger.view.state;
    const { compareKeyPackages } = groupConfig.keyPackageEqualityConfig;
    const clientConfig = {
      ...groupConfig,
      keyPackageEqualityConfig: { compareKeyPackages, compareKeyPackageToLeafNode: () => false },
    };
    const data = dataOf(s.forger.data);
    const change = ([add, psk]: Proposal[]) => [add!, psk!, data];
    const state = { ...s.forger.view.state, ratchetTree, clientConfig };
    return { ...addition(s, change, again, s.newcomer.node), state };
  }],
  ["somebody who was removed", "was removed", async (s) => {
    const again = await packageOf(s.forger.view.suite, { keys: s.gone.keys() });
    const data = dataOf(s.forger.data);
    return addition(s, ([add, psk]) => [add!, psk!, data], again);
  }],
  ["a lifetime without an end", "lifetime", async (s) => {
    const lifetime = { notBefore: 0n, notAfter: 9223372036854775807n };
    return addition(s, undefined, await packageOf(s.forger.view.suite, { lifetime } as never));
  }],
  ["a leaf with extensions", "extensions of a leaf", async (s) => {
    const extensions = [{ extensionType: DATA_EXTENSION, extensionData: new Uint8Array(3) }];
    return addition(s, undefined, await packageOf(s.forger.view.suite, { extensions }));
  }],
  ["a removal without group data", "no change", (s) => ({
    proposals: [removeOf(s.third.self.leaf)],
  })],
  ["a removal that leaves the group data", "not what follows", (s) => ({
    proposals: [removeOf(s.third.self.leaf), dataOf(s.forger.data)],
  })],
  ["a removal that keeps invitations", "not what follows", (s) => {
    const { invitations } = s.forger.data;
    const data = { ...afterRemove(s.forger.data, [s.third.self.node]), invitations };
    return { proposals: [removeOf(s.third.self.leaf), dataOf(data)] };
  }],
  ["a removal that forgets whom", "not what follows", (s) => {
    const data = { ...afterRemove(s.forger.data, [s.third.self.node]), removed: [] };
    return { proposals: [removeOf(s.third.self.leaf), dataOf(data)] };
  }],
  ["a removal of another than it says", "not what follows", (s) => {
    const data = afterRemove(s.forger.data, [s.judge.self.node]);
    return { proposals: [removeOf(s.third.self.leaf), dataOf(data)] };
  }],
  ["group data as it was", "neither", (s) => ({ proposals: [dataOf(s.forger.data)] })],
  ["one invitation less and one more", "neither", (s) => {
    const [first] = s.forger.data.invitations;
    const data = { ...s.forger.data, invitations: [first!, invitation(s)] };
    return { proposals: [dataOf(data)] };
  }],
  ["an invitation in front", "neither", (s) => {
    const invitations = [invitation(s), ...s.forger.data.invitations];
    return { proposals: [dataOf({ ...s.forger.data, invitations })] };
  }],
  ["33 invitations", "cannot be read", (s) => {
    const invitations = Array.from({ length: 33 }, () => invitation(s));
    return { proposals: [dataOf({ ...s.forger.data, invitations })] };
  }],
  ["an invitation of the epoch that ends", "another epoch", (s) => ({
    proposals: [dataOf(afterInvite(s.forger.data, invitation(s, s.forger.number)))],
  })],
  ["an invitation of an epoch to come", "another epoch", (s) => ({
    proposals: [dataOf(afterInvite(s.forger.data, invitation(s, s.forger.number + 2n)))],
  })],
  ["an invitation that moves to another epoch", "neither", (s) => {
    const [first, ...others] = s.forger.data.invitations;
    const invitations = [{ ...first!, epoch: first!.epoch + 1n }, ...others];
    return { proposals: [dataOf({ ...s.forger.data, invitations })] };
  }],
  ["another policy beside an invitation", "not what follows", (s) => {
    const data = { ...afterInvite(s.forger.data, invitation(s)), signed: false };
    return { proposals: [dataOf(data)] };
  }],
  ["another order of members beside an invitation", "not what follows", (s) => {
    const members = s.forger.data.members.toReversed();
    return { proposals: [dataOf({ ...afterInvite(s.forger.data, invitation(s)), members })] };
  }],
  ["group data with bytes behind it", "cannot be read", (s) => ({
    proposals: [extensionsOf({
      extensionType: DATA_EXTENSION,
      extensionData: Uint8Array.from([...encodeGroupData(s.forger.data), 0]),
    })],
  })],
  ["an extension more", "other extensions", (s) => {
    const extensionData = encodeGroupData(afterInvite(s.forger.data, invitation(s)));
    const more = { extensionType: 0xf0b3, extensionData: new Uint8Array(1) };
    return { proposals: [extensionsOf({ extensionType: DATA_EXTENSION, extensionData }, more)] };
  }],
  ["no extension", "other extensions", () => ({ proposals: [extensionsOf()] })],
  ["a rejoin with the PSK of an invitation", "PSK", async (s) => {
    const again = await comingBack(s);
    const proposals = [removeOf(s.third.self.leaf), addOf(again), pskOf(s.once.pskId)];
    return { proposals, doors: [s.once] };
  }],
  ["a rejoin with an older key package", "not for this rejoin", async (s) => {
    const { self, group } = s.third;
    const door = await GroupDoor.ofMember(self.seed, group, self.node);
    const old = await packageOf(s.forger.view.suite, { keys: s.third.keys() });
    return { proposals: [removeOf(self.leaf), addOf(old), pskOf(door.pskId)], doors: [door] };
  }],
  ["a rejoin with the door seed of the leaf", "not for this rejoin", async (s) => {
    const { self, group } = s.third;
    const door = await GroupDoor.ofMember(self.seed, group, self.node);
    const same = await packageOf(
      s.forger.view.suite,
      { keys: s.third.keys() },
      () => encodeIdentity(self),
    );
    return { proposals: [removeOf(self.leaf), addOf(same), pskOf(door.pskId)], doors: [door] };
  }],
  ["a rejoin of another device", "another device", async (s) => {
    const { self, group } = s.third;
    const door = await GroupDoor.ofMember(self.seed, group, self.node);
    const proposals = [removeOf(self.leaf), addOf(s.newcomer.keyPackage), pskOf(door.pskId)];
    return { proposals, doors: [door] };
  }],
  ["an unknown proposal", "unknown proposal", () => ({
    proposals: [{ proposalType: 0xf0c0, proposalData: random(8) }],
  })],
  [
    "an unknown proposal beside a change",
    "unknown proposal",
    (s) => addition(s, (parts) => [...parts, { proposalType: 9, proposalData: random(8) }]),
  ],
  ["a path that changes a name", "who its author is", (s) => {
    const { state, self } = s.forger.view;
    const ratchetTree = state.ratchetTree.slice();
    const own = ratchetTree[2 * self.leaf];
    if (own?.nodeType !== "leaf") throw new Error("no leaf");
    const identity = encodeIdentity({ ...self, name: "somebody else" });
    const credential = { credentialType: "basic", identity } as const;
    ratchetTree[2 * self.leaf] = { nodeType: "leaf", leaf: { ...own.leaf, credential } };
    return { proposals: [], state: { ...state, ratchetTree } };
  }],
];

for (const [name, why, make] of forgeries) {
  test(`refused by every judge: ${name}`, async () => {
    const made = await (scene ??= makeScene());
    const { message } = await forge(made.forger, made.head, await make(made));
    await refused(made.judge, message, made.head, why);
    await refused(made.third, message, made.head, why);
  });
}

test("what breaks no rule is taken, so the others are refused for what they break", async () => {
  const made = await (scene ??= makeScene());
  const add = await forge(made.forger, made.head, addition(made));
  assertEquals((await made.judge.judge(add.message, made.head)).change.kind, "add");
  const { third: { self, group } } = made;
  const again = await comingBack(made);
  const door = await GroupDoor.ofMember(self.seed, group, self.node);
  const proposals = [removeOf(self.leaf), addOf(again), pskOf(door.pskId)];
  const rejoin = await forge(made.forger, made.head, { proposals, doors: [door] });
  assertEquals((await made.judge.judge(rejoin.message, made.head)).change.kind, "rejoin");
  assertEquals((await made.third.judge(rejoin.message, made.head)).next, undefined);
});

test("of a commit that removes the reader all but the confirmation tag is checked", async () => {
  const made = await (scene ??= makeScene());
  const { forger, judge, third, head } = made;
  const change = { kind: "remove", nodes: [judge.self.node] } as const;
  const { message } = await forger.prepare(change, head, []);
  const take = (change: (commit: Commit) => Commit) => resigned(forger, message, change);
  const path = (change: (path: UpdatePath) => Partial<UpdatePath>) =>
    take((commit) => ({ ...commit, path: { ...commit.path!, ...change(commit.path!) } }));
  const keyed = (hpkePublicKey: Uint8Array) =>
    path(({ nodes: [first, ...rest] }) => ({ nodes: [{ ...first!, hpkePublicKey }, ...rest] }));
  const proposals = (...some: Proposal[]) =>
    take((commit) => ({
      ...commit,
      proposals: some.map((proposal) => ({ proposalOrRefType: "proposal", proposal })),
    }));
  const removal = (...some: GroupMembership[]) =>
    proposals(
      ...some.map(({ self }) => removeOf(self.leaf)),
      dataOf(afterRemove(forger.data, some.map(({ self }) => self.node))),
    );

  // As it was, and signed once more: it is taken, so the others are refused for what they break.
  assertEquals((await judge.judge(message, head)).next, undefined);
  const same = await take((commit) => commit);
  assertEquals((await judge.judge(same, head)).next, undefined);

  const { content } = readPublicMessage(message)!;
  if (content.contentType !== "commit") throw new TypeError("no commit");
  const { leafNode } = content.commit.path!;
  const inTree = readKey(third, third.self.leaf);
  await refused(judge, await keyed(leafNode.hpkePublicKey), head, "a key twice, or again");
  await refused(judge, await keyed(inTree), head, "a key twice, or again");
  await refused(judge, await keyed(Uint8Array.of(4, ...random(64))), head, "a key that is none");
  const long = await path(({ nodes }) => ({ nodes: Array(17).fill(nodes[0]!) }));
  await refused(judge, long, head, "too long");
  const stale = { ...leafNode, hpkePublicKey: readKey(forger, forger.self.leaf) };
  await refused(judge, await path(() => ({ leafNode: stale })), head, "a key twice, or again");
  const forged = { ...leafNode, signature: leafNode.signature.toReversed() };
  await refused(judge, await path(() => ({ leafNode: forged })), head, "MLS refuses");
  await refused(
    judge,
    await take(({ proposals }) => ({ proposals, path: undefined })),
    head,
    "path",
  );

  await refused(judge, await removal(judge, judge), head, "twice");
  await refused(judge, await removal(judge, forger), head, "MLS refuses");
  const many = Array.from({ length: 1_004 }, () => removeOf(judge.self.leaf));
  await refused(judge, await proposals(...many), head, "too many proposals");

  // An add has none, so nobody has to look for a key in it.
  const add = await forge(forger, head, addition(made));
  const { path: one } = content.commit;
  const withPath = await resigned(forger, add.message, (commit) => ({ ...commit, path: one }));
  await refused(judge, withPath, head, "its path is there");
});

/** The key that secrets are sealed with for this leaf. */
function readKey({ view }: GroupMembership, leaf: number): Uint8Array {
  const node = view.state.ratchetTree[2 * leaf];
  if (node?.nodeType !== "leaf") throw new TypeError("no leaf");
  return node.leaf.hpkePublicKey;
}

test("an invitation that was used once is used up", async () => {
  const world = await MlsWorld.of(2);
  const door = await world.invite();
  const [early, late] = await Promise.all([world.draw("a", door), world.draw("b", door)]);
  await world.admit(early);
  const [author, judge] = world.members;
  const head = anyHead();
  const data = dataOf(afterAdd(author!.data, late.node, door.value));
  const proposals = [addOf(late.keyPackage), pskOf(door.pskId), data];
  const { message } = await forge(author!, head, { proposals, doors: [door] });
  await refused(judge!, message, head, "no invitation");
  const change = { kind: "add", keyPackage: late.keyPackage, door } as const;
  const error = await assertRejects(() => author!.prepare(change, head, []), ClientError);
  assertEquals(error.code, "NOT_ADMITTED");
});

test("a commit is good at its own head, in its own epoch, for others than its author", async () => {
  const world = await MlsWorld.of(3);
  const [author, judge] = world.members as [GroupMembership, GroupMembership];
  const head = anyHead();
  const { message, next } = await author.prepare({ kind: "rotate" }, head, []);
  await refused(judge, message, { ...head, sequence: head.sequence + 1n }, "something else");
  await refused(judge, message, { ...head, hash: random(32) }, "something else");
  await refused(author, message, head, "own");
  const after = (await judge.judge(message, head)).next!;
  await refused(after, message, head, "another epoch");
  await refused(next, message, head, "another epoch");
  await refused((await MlsWorld.of(2)).members[0]!, message, head, "another group");
});

test("what only outsiders send, and what this group has no use for, is refused", async () => {
  const { forger, judge, third, head, newcomer, once } = await (scene ??= makeScene());
  const { state, suite } = forger.view;
  const context = { state, cipherSuite: suite };
  const options = { wireAsPublicMessage: true, authenticatedData: encodeCommitPlace(head) };
  const take = async (proposal: Proposal, why: string) => {
    const made = await createCommit(context, { ...options, extraProposals: [proposal] });
    await refused(judge, writeMessage(made.commit), head, why);
  };
  const { groupId, extensions } = state.groupContext;
  const again = { version: "mls10", cipherSuite: suite.name, extensions } as const;
  await take({ proposalType: "reinit", reinit: { groupId, ...again } }, "not allowed");

  const remove = removeOf(third.self.leaf);
  const proposed = await createProposal(state, true, remove, suite);
  await refused(judge, writeMessage(proposed.message), head, "no commit");
  const byReference = await createCommit({ ...context, state: proposed.newState }, options);
  await refused(judge, writeMessage(byReference.commit), head, "by reference");

  // A private message, with a secret tree that our states do not keep.
  const secretTree = await createSecretTree(4, random(32), suite.kdf);
  const sealed = await createCommit({ ...context, state: { ...state, secretTree } }, {
    ...options,
    wireAsPublicMessage: false,
  });
  await refused(judge, writeMessage(sealed.commit), head, "no message");

  const info = await createGroupInfoWithExternalPubAndRatchetTree(state, [], suite);
  const outsider = await generateKeyPackageWithKey(
    {
      credentialType: "basic",
      identity: encodeIdentity({
        ...{ node: await nodeOfKey(newcomer.door.pskId), seed: random(16), name: "x" },
      }),
    },
    capabilitiesOf(suite),
    lifetimeFrom(Date.now()),
    [],
    await suite.signature.keygen(),
    suite,
  );
  const authService = { validateCredential: () => Promise.resolve(true) };
  const external = await joinGroupExternal(
    info,
    outsider.publicPackage,
    outsider.privatePackage,
    false,
    suite,
    undefined,
    { ...groupConfig, authService },
    encodeCommitPlace(head),
  );
  const { publicMessage } = external;
  const wireformat = "mls_public_message";
  const message = writeMessage({ version: "mls10", wireformat, publicMessage });
  await refused(judge, message, head, "outside");

  await refused(judge, newcomer.keyPackage, head, "no message");
  await refused(judge, await once.sealKnock(newcomer.keyPackage), head, "no message");
});

test("a commit that was cut, or changed in one bit, is refused; so is one that is too long", async () => {
  const world = await MlsWorld.of(3);
  const [author, judge, third] = world.members as [
    GroupMembership,
    GroupMembership,
    GroupMembership,
  ];
  const head = anyHead();
  const { message } = await author.prepare({ kind: "rotate" }, head, []);
  for (let length = 0; length < message.length; length++) {
    await refused(judge, message.slice(0, length), head);
  }
  await refused(judge, Uint8Array.from([...message, 0]), head, "no message");
  await refused(judge, new Uint8Array((1 << 20) + 1), head, "no message");
  const nodes = [judge.self.node];
  const removal = await author.prepare({ kind: "remove", nodes }, head, []);
  const roll = dice();
  for (let i = 0; i < 120; i++) {
    for (
      const [victim, bytes] of [
        [judge, message],
        [third, removal.message],
        // It goes, and checks what is left to check.
        [judge, removal.message],
        // Only who has its keys makes a commit that this one takes for its own.
        [author, message],
      ] as const
    ) {
      const changed = bytes.slice();
      changed[roll(changed.length)]! ^= 1 << roll(8);
      assert(!(await refused(victim, changed, head) instanceof CommitOfOurs));
    }
  }
  assert(await refused(author, message, head) instanceof CommitOfOurs);
  assert((await third.judge(removal.message, head)).next);
});

test("bytes at random are no commit", async () => {
  const { judge, head } = await (scene ??= makeScene());
  const roll = dice();
  for (let i = 0; i < 300; i++) {
    const bytes = Uint8Array.from({ length: roll(400) }, () => roll(256));
    if (i % 2) bytes.set([0, 1, 0, 1].slice(0, bytes.length));
    await refused(judge, bytes, head);
  }
});
