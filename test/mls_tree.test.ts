/**
 * The tree that a newcomer is given: each one here breaks one rule, and is hashed as if it were right.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { LeafNode } from "ts-mls/leafNode.js";
import type { Node, RatchetTree } from "ts-mls/ratchetTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { random } from "../src/client/group/e2e/derive.ts";
import { MAX_MEMBERS } from "../src/client/group/mls/group_data.ts";
import { flawOfTree } from "../src/client/group/mls/tree_rules.ts";
import type { GroupSuite } from "../src/client/group/mls/webcrypto_provider.ts";
import { MlsWorld } from "./kit/mls.ts";

type Parent = Extract<Node, { nodeType: "parent" }>["parent"];

interface Scene {
  readonly suite: GroupSuite;
  readonly group: Uint8Array;
  readonly tree: RatchetTree;
}

let scene: Promise<Scene> | undefined;

/**
 * Five devices, of which the last came in after the others had renewed what is above them: leaf 4 is
 * unmerged where there is a parent above it.
 */
async function makeScene(): Promise<Scene> {
  const world = await MlsWorld.of(5);
  for (let by = 0; by < 5; by++) await world.commit(by, { kind: "rotate" });
  await world.add("the last");
  await world.add("and another");
  const { state, suite } = world.members[0]!.view;
  return { suite, group: state.groupContext.groupId, tree: state.ratchetTree };
}

/** What is wrong with the tree once this was done to it; its hash is right unless it is given. */
async function flaw(change: (tree: RatchetTree) => void, treeHash?: Uint8Array) {
  const { suite, group, tree } = await (scene ??= makeScene());
  const changed = tree.slice();
  change(changed);
  // Of a tree that is too strange there is no hash.
  const hash = treeHash ?? await treeHashRoot(changed, suite.hash).catch(() => random(32));
  return await flawOfTree(changed, { groupId: group, treeHash: hash }, suite);
}

function changeLeaf(tree: RatchetTree, leaf: number, change: Partial<LeafNode>): void {
  const node = tree[2 * leaf];
  if (node?.nodeType !== "leaf") throw new TypeError("no leaf");
  tree[2 * leaf] = { nodeType: "leaf", leaf: { ...node.leaf, ...change } as LeafNode };
}

function leafOf(tree: RatchetTree, leaf: number): LeafNode {
  const node = tree[2 * leaf];
  if (node?.nodeType !== "leaf") throw new TypeError("no leaf");
  return node.leaf;
}

/** Places of the parents that are there. */
const parents = (tree: RatchetTree): number[] =>
  tree.flatMap((node, at) => node?.nodeType === "parent" ? [at] : []);

function changeParent(tree: RatchetTree, at: number, change: (parent: Parent) => Partial<Parent>) {
  const node = tree[at];
  if (node?.nodeType !== "parent") throw new TypeError("no parent");
  tree[at] = { nodeType: "parent", parent: { ...node.parent, ...change(node.parent) } };
}

/** The parent that has the most unmerged leaves. */
function unmerged(tree: RatchetTree): number {
  const count = (at: number) => {
    const node = tree[at];
    return node?.nodeType === "parent" ? node.parent.unmergedLeaves.length : 0;
  };
  return parents(tree).toSorted((a, b) => count(b) - count(a))[0]!;
}

test("a tree as it is has no flaw, with unmerged leaves in it", async () => {
  assertEquals(await flaw(() => {}), undefined);
  const { tree } = await scene!;
  const node = tree[unmerged(tree)];
  assert(node?.nodeType === "parent" && node.parent.unmergedLeaves.length >= 2, "two of them");
});

test("a tree of another hash is refused", async () => {
  assertEquals(await flaw(() => {}, random(32)), "another hash");
});

test("leaves of a tree are signed, each for its place, and keep the rules of leaves", async () => {
  const { tree } = await (scene ??= makeScene());
  const forged = (leaf: number, change: (leaf: LeafNode) => Partial<LeafNode>) =>
    flaw((tree) => changeLeaf(tree, leaf, change(leafOf(tree, leaf))));
  const reversed = ({ signature }: LeafNode) => ({ signature: signature.toReversed() });
  assertEquals(leafOf(tree, 0).leafNodeSource, "commit");
  assertEquals(await forged(0, reversed), "a leaf that is forged");
  assertEquals(leafOf(tree, 6).leafNodeSource, "key_package");
  assertEquals(await forged(6, reversed), "a leaf that is forged");
  // Its signature says where a leaf of a commit stands.
  const swapped = (tree: RatchetTree) => [tree[0], tree[2]] = [tree[2], tree[0]];
  assertEquals(await flaw(swapped), "a leaf that is forged");
  const nameless = new Uint8Array(33);
  const credential = { credentialType: "basic", identity: nameless } as const;
  assertEquals(await forged(6, () => ({ credential })), "a node id that is not of its key");
  assertEquals(await forged(0, () => ({ leafNodeSource: "update" })), "a leaf of an update");
});

test("no key stands twice in a tree", async () => {
  const twice = "a key twice";
  const leaves = (tree: RatchetTree) =>
    changeLeaf(tree, 6, { hpkePublicKey: leafOf(tree, 0).hpkePublicKey });
  assertEquals(await flaw(leaves), twice);
  const above = (tree: RatchetTree) => {
    const [at] = parents(tree);
    changeParent(tree, at!, () => ({ hpkePublicKey: leafOf(tree, 0).hpkePublicKey }));
  };
  assertEquals(await flaw(above), twice);
});

test("a node of a tree stands where its kind does", async () => {
  const kind = "a node in the place of another kind";
  assertEquals(await flaw((tree) => tree.splice(0, 1)), kind);
  assertEquals(await flaw((tree) => tree[0] = tree[unmerged(tree)]), kind);
  assertEquals(await flaw((tree) => tree[1] = tree[12]), kind);
});

test("unmerged leaves are there, below their node, in order, and so in all between", async () => {
  const none = "unmerged leaves that are none";
  const leaves = (change: (leaves: readonly number[]) => number[], at?: number) =>
    flaw((tree) =>
      changeParent(tree, at ?? unmerged(tree), ({ unmergedLeaves }) => ({
        unmergedLeaves: change(unmergedLeaves as number[]) as Parent["unmergedLeaves"],
      }))
    );
  assertEquals(await leaves((some) => some.toReversed()), none);
  assertEquals(await leaves(([first, ...rest]) => [first!, first!, ...rest]), none);
  assertEquals(await leaves((some) => [...some, 7]), none, "nobody is there");
  assertEquals(await leaves((some) => [...some, 1_000]), none, "nor so far out");
  const { tree } = await scene!;
  // Leaf 6 is not below the parent of leaves 0 and 1.
  assert(parents(tree).includes(1));
  assertEquals(await leaves(() => [6], 1), none);
  // The root says that leaf 0 is unmerged, and the node between the two does not.
  assertEquals(await leaves((some) => [0, ...some]), none);
});

test("a parent that nobody below has made is refused by the hash that speaks for it", async () => {
  const { suite } = await (scene ??= makeScene());
  const pair = await suite.hpke.generateKeyPair();
  const hpkePublicKey = await suite.hpke.exportPublicKey(pair.publicKey);
  const replaced = (tree: RatchetTree) => changeParent(tree, 1, () => ({ hpkePublicKey }));
  assertEquals(await flaw(replaced), "parent hashes that are wrong");
});

test("a tree is too large only where it has four times the nodes that members need", async () => {
  const { tree } = await (scene ??= makeScene());
  const long = [...tree, ...Array(4 * MAX_MEMBERS + 1 - tree.length).fill(undefined)];
  const { suite, group } = await scene!;
  const context = { groupId: group, treeHash: random(32) };
  assertEquals(await flawOfTree(long, context, suite), "a tree of too many leaves");
});
