/**
 * Joins by a Welcome (RFC 9420, 12.4.3.1), step by step with the parts of the library: its own
 * function for it refuses some trees that are right, and says nothing of the PSKs (see
 * `tree_rules.ts`).
 *
 * @module
 */
import type { GroupState } from "ts-mls/clientState.js";
import type { Extension } from "ts-mls/extension.js";
import {
  type GroupInfo,
  verifyGroupInfoConfirmationTag,
  verifyGroupInfoSignature,
} from "ts-mls/groupInfo.js";
import type { GroupSecrets } from "ts-mls/groupSecrets.js";
import { type KeyPackage, makeKeyPackageRef, type PrivateKeyPackage } from "ts-mls/keyPackage.js";
import { deriveKeySchedule } from "ts-mls/keySchedule.js";
import { pathToRoot } from "ts-mls/pathSecrets.js";
import { mergePrivateKeyPaths, toPrivateKeyPath } from "ts-mls/privateKeyPath.js";
import { accumulatePskSecret, type PskIndex } from "ts-mls/pskIndex.js";
import { decodeRatchetTree, findLeafIndex, type RatchetTree } from "ts-mls/ratchetTree.js";
import { leafToNodeIndex, toLeafIndex } from "ts-mls/treemath.js";
import { firstCommonAncestor } from "ts-mls/updatePath.js";
import { decryptGroupInfo, decryptGroupSecrets, type Welcome } from "ts-mls/welcome.js";
import { ClientError } from "../../client_error.ts";
import { flawOfTree, type LeafRule } from "./tree_rules.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** Refuses a welcome. `detail`: what is wrong with it, in words without an end. */
export function refuseWelcome(detail: string): never {
  throw new ClientError("BAD_WELCOME", detail);
}

export interface Joined {
  readonly state: GroupState;
  /** Of the GroupInfo, but for the tree. */
  readonly extensions: readonly Extension[];
}

/** What a group asks of a welcome beyond what MLS does. */
export interface JoinRules {
  /** Refuses secrets, by the PSKs that they name: those are asked for next. */
  readonly checkSecrets: (secrets: GroupSecrets) => void;
  /** Refuses a GroupInfo, by the signature key of its signer, a member. */
  readonly checkSigner?: ((key: Uint8Array) => void) | undefined;
  /** Those of this profile unless it is given. */
  readonly leaf?: LeafRule;
}

/**
 * Joins the group of a welcome. `psks` is asked for what `checkSecrets` has seen and let pass.
 *
 * Throws `BAD_WELCOME`, and anything else for bytes that are too strange.
 */
export async function joinByWelcome(
  welcome: Welcome,
  keyPackage: KeyPackage,
  keys: PrivateKeyPackage,
  suite: GroupSuite,
  psks: PskIndex,
  rules: JoinRules,
): Promise<Joined> {
  const { hpke, hash, kdf } = suite;
  const reference = await makeKeyPackageRef(keyPackage, hash);
  const initKey = await hpke.importPrivateKey(keys.initPrivateKey);
  const secrets = await decryptGroupSecrets(initKey, reference, welcome, hpke);
  if (!secrets) return refuseWelcome("its secrets cannot be read");
  rules.checkSecrets(secrets);
  const zeros = new Uint8Array(kdf.size);
  const [pskSecret] = await accumulatePskSecret(secrets.psks, psks, suite, zeros);
  const info = await decryptGroupInfo(welcome, secrets.joinerSecret, pskSecret, suite);
  if (!info || info.groupContext.cipherSuite !== suite.name) {
    return refuseWelcome("its group cannot be read");
  }
  const tree = treeOf(info);
  await checkInfo(info, tree, secrets, pskSecret, suite, rules);
  const leafIndex = findLeafIndex(tree, keyPackage.leafNode);
  if (leafIndex === undefined) return refuseWelcome("this device is not in its tree");
  const own = {
    leafIndex,
    privateKeys: { [leafToNodeIndex(leafIndex)]: keys.hpkePrivateKey },
  };
  const { groupContext, confirmationTag } = info;
  const [keySchedule] = await deriveKeySchedule(
    secrets.joinerSecret,
    pskSecret,
    groupContext,
    kdf,
  );
  const state: GroupState = {
    groupContext,
    ratchetTree: tree,
    privatePath: mergePrivateKeyPaths(await pathOf(info, tree, secrets, leafIndex, suite), own),
    signaturePrivateKey: keys.signaturePrivateKey,
    confirmationTag,
    keySchedule,
    secretTree: [],
    unappliedProposals: {},
    historicalReceiverData: new Map(),
    groupActiveState: { kind: "active" },
  };
  const extensions = info.extensions.filter(({ extensionType }) =>
    extensionType !== "ratchet_tree"
  );
  return { state, extensions };
}

function treeOf({ extensions }: GroupInfo): RatchetTree {
  const [extension, ...more] = extensions.filter(({ extensionType }) =>
    extensionType === "ratchet_tree"
  );
  const [tree, length] = extension ? decodeRatchetTree(extension.extensionData, 0) ?? [] : [];
  if (!tree || more.length > 0 || length !== extension!.extensionData.length) {
    return refuseWelcome("it has no tree");
  }
  return tree;
}

/** Signature, confirmation tag and tree. */
async function checkInfo(
  info: GroupInfo,
  tree: RatchetTree,
  { joinerSecret }: GroupSecrets,
  pskSecret: Uint8Array,
  suite: GroupSuite,
  { checkSigner, leaf }: JoinRules,
): Promise<void> {
  const signer = tree[2 * info.signer];
  if (signer?.nodeType !== "leaf") return refuseWelcome("its signer is no member");
  const { signaturePublicKey } = signer.leaf;
  if (!await verifyGroupInfoSignature(info, signaturePublicKey, suite.signature)) {
    refuseWelcome("its signature is wrong");
  }
  checkSigner?.(signaturePublicKey);
  if (!await verifyGroupInfoConfirmationTag(info, joinerSecret, pskSecret, suite)) {
    refuseWelcome("its confirmation tag is wrong");
  }
  const flaw = await flawOfTree(tree, info.groupContext, suite, leaf);
  if (flaw) refuseWelcome(`it has ${flaw}`);
}

/** The private keys above the own leaf, where the commit had a path; each of its public key. */
async function pathOf(
  { signer }: GroupInfo,
  tree: RatchetTree,
  { pathSecret }: GroupSecrets,
  leaf: number,
  suite: GroupSuite,
) {
  if (!pathSecret) return { leafIndex: leaf, privateKeys: {} };
  const own = toLeafIndex(leaf);
  const ancestor = firstCommonAncestor(tree, own, toLeafIndex(signer));
  const secrets = await pathToRoot(tree, ancestor, pathSecret, suite.kdf);
  return await toPrivateKeyPath(secrets, own, suite);
}
