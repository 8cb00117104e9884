/**
 * Checks the tree that a newcomer is given (RFC 9420, 12.4.3.1), with the rules of this profile.
 *
 * The library has such a check, but it refuses trees that are right: it wants the same unmerged
 * leaves in all ancestors of such a leaf, where the RFC wants a leaf that is unmerged in a node to
 * be so in those between the two.
 *
 * @module
 */
import type { GroupContext } from "ts-mls/groupContext.js";
import { verifyLeafNodeSignature, verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import { verifyParentHashes } from "ts-mls/parentHash.js";
import type { RatchetTree } from "ts-mls/ratchetTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { directPath, leafToNodeIndex, leafWidth, toLeafIndex } from "ts-mls/treemath.js";
import { hex, sameBytes } from "../../../wire/bytes.ts";
import { MAX_MEMBERS } from "./group_data.ts";
import { flawOfLeaf } from "./leaf_rules.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** What is wrong with a leaf by itself, in a word. */
export type LeafRule = (leaf: LeafNode, suite: GroupSuite) => Promise<string | undefined>;

/** What is wrong with a tree. Anything may be thrown for one that is too strange. */
export async function flawOfTree(
  tree: RatchetTree,
  context: Pick<GroupContext, "groupId" | "treeHash">,
  suite: GroupSuite,
  rule: LeafRule = flawOfLeaf,
): Promise<string | undefined> {
  // Leaves that were removed stay as blanks: of a tree of 2^n leaves up to half may be.
  if (tree.length > 4 * MAX_MEMBERS) return "a tree of too many leaves";
  const keys = new Set<string>();
  for (const [at, node] of tree.entries()) {
    if (!node) continue;
    if ((node.nodeType === "leaf") !== (at % 2 === 0)) return "a node in the place of another kind";
    const key = node.nodeType === "leaf" ? node.leaf.hpkePublicKey : node.parent.hpkePublicKey;
    if (keys.has(hex(key))) return "a key twice";
    keys.add(hex(key));
    if (node.nodeType === "leaf") {
      const flaw = await rule(node.leaf, suite);
      if (flaw) return flaw;
      if (!await isSigned(node.leaf, context.groupId, at / 2, suite)) {
        return "a leaf that is forged";
      }
    } else if (!unmergedFit(tree, at, node.parent.unmergedLeaves)) {
      return "unmerged leaves that are none";
    }
  }
  if (!await verifyParentHashes(tree, suite.hash)) return "parent hashes that are wrong";
  if (!sameBytes(await treeHashRoot(tree, suite.hash), context.treeHash)) return "another hash";
  return undefined;
}

const isSigned = (
  leaf: LeafNode,
  group: Uint8Array,
  index: number,
  { signature }: GroupSuite,
): Promise<boolean> => {
  const { leafNodeSource } = leaf;
  return leafNodeSource === "key_package"
    ? verifyLeafNodeSignatureKeyPackage({ ...leaf, leafNodeSource }, signature)
    : verifyLeafNodeSignature(leaf as never, group, index, signature);
};

/** Each unmerged leaf is there, below the node, and unmerged in all nodes between the two. */
function unmergedFit(tree: RatchetTree, at: number, unmerged: readonly number[]): boolean {
  let last = -1;
  for (const leaf of unmerged) {
    if (leaf <= last) return false;
    last = leaf;
    const index = leafToNodeIndex(toLeafIndex(leaf));
    if (index >= tree.length || !tree[index]) return false;
    const path = directPath(index, leafWidth(tree.length)) as number[];
    const height = path.indexOf(at);
    if (height < 0) return false;
    for (const between of path.slice(0, height)) {
      const node = tree[between];
      if (node?.nodeType === "parent" && !(node.parent.unmergedLeaves as number[]).includes(leaf)) {
        return false;
      }
    }
  }
  return true;
}
