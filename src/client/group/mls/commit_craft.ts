/**
 * Makes a Commit (RFC 9420, 12.4.1), step by step with the parts of the library. Its own function
 * for it cannot be used for two reasons:
 *
 * - It seals path secrets for the GroupContext before the commit where the RFC (and its own
 * receiving   side) has the extensions after it: nobody could open a path beside new group data.
 * - With nobody to seal for, its commit secret is zero: who was removed last would know the next
 * epoch.
 *
 * @module
 */
import { applyProposals, type GroupState, nextEpochContext } from "ts-mls/clientState.js";
import type { ClientState } from "ts-mls/clientState.js";
import { createGroupInfoWithRatchetTree } from "ts-mls/createCommit.js";
import type { Extension } from "ts-mls/extension.js";
import { createConfirmationTag, createContentCommitSignature } from "ts-mls/framedContent.js";
import type { GroupContext } from "ts-mls/groupContext.js";
import { type KeyPackage, makeKeyPackageRef } from "ts-mls/keyPackage.js";
import { type EpochSecrets, initializeEpoch } from "ts-mls/keySchedule.js";
import type { MLSMessage } from "ts-mls/message.js";
import { protectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import { getCommitSecret, pathToPathSecrets } from "ts-mls/pathSecrets.js";
import {
  mergePrivateKeyPaths,
  type PrivateKeyPath,
  toPrivateKeyPath,
  updateLeafKey,
} from "ts-mls/privateKeyPath.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { PreSharedKeyID } from "ts-mls/presharedkey.js";
import type { PskIndex } from "ts-mls/pskIndex.js";
import type { RatchetTree } from "ts-mls/ratchetTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { type LeafIndex, leafToNodeIndex, toLeafIndex, toNodeIndex } from "ts-mls/treemath.js";
import {
  createUpdatePath,
  firstCommonAncestor,
  type PathSecret,
  type UpdatePath,
} from "ts-mls/updatePath.js";
import { encryptGroupInfo, encryptGroupSecrets, type Welcome } from "ts-mls/welcome.js";
import type { GroupSuite } from "./webcrypto_provider.ts";

export interface CommitOrder {
  readonly proposals: readonly Proposal[];
  readonly psks: PskIndex;
  readonly authenticatedData: Uint8Array;
  /** Of the GroupInfo, beside the tree. */
  readonly infoExtensions: readonly Extension[];
}

export interface CraftedCommit {
  readonly commit: MLSMessage;
  /** For who comes in, at most one. */
  readonly welcome: Welcome | undefined;
  readonly next: GroupState;
}

/** The tree after a commit, with its path where it has one. */
interface Grown {
  readonly tree: RatchetTree;
  readonly path: UpdatePath | undefined;
  readonly secrets: readonly PathSecret[];
  readonly commitSecret: Uint8Array;
  readonly privatePath: PrivateKeyPath;
}

type Newcomers = readonly (readonly [LeafIndex, KeyPackage])[];

/** Makes the commit of these proposals. Throws errors of the library for those that MLS refuses. */
export async function craftCommit(
  state: ClientState,
  suite: GroupSuite,
  { proposals, psks, authenticatedData, infoExtensions }: CommitOrder,
): Promise<CraftedCommit> {
  const { groupContext, privatePath: { leafIndex }, signaturePrivateKey } = state;
  const entries = proposals.map((proposal) => ({
    proposalOrRefType: "proposal" as const,
    proposal,
  }));
  const applied = await applyProposals(
    state,
    entries,
    toLeafIndex(leafIndex),
    psks,
    true,
    suite,
  );
  const { additionalResult: result, pskSecret, pskIds } = applied;
  if (result.kind !== "memberCommit") throw new TypeError("not a commit of a member");
  const extensions = result.extensions.length > 0 ? result.extensions : groupContext.extensions;
  const context = { ...groupContext, extensions };
  const newcomers: Newcomers = result.addedLeafNodes;
  const grown = await growPath(state, suite, applied, context, newcomers);
  const { signature, framedContent } = await createContentCommitSignature(
    groupContext,
    "mls_public_message",
    { proposals: entries, path: grown.path },
    { senderType: "member", leafIndex },
    authenticatedData,
    signaturePrivateKey,
    suite.signature,
  );
  const after = await nextEpochContext(
    context,
    "mls_public_message",
    framedContent,
    signature,
    await treeHashRoot(grown.tree, suite.hash),
    state.confirmationTag,
    suite.hash,
  );
  const { initSecret } = state.keySchedule;
  const epoch = await initializeEpoch(initSecret, grown.commitSecret, after, pskSecret, suite.kdf);
  const { confirmationKey } = epoch.keySchedule;
  const confirmationTag = await createConfirmationTag(
    confirmationKey,
    after.confirmedTranscriptHash,
    suite.hash,
  );
  const auth = { contentType: framedContent.contentType, signature, confirmationTag };
  const content = { wireformat: "mls_public_message", content: framedContent, auth } as const;
  const { membershipKey } = state.keySchedule;
  const publicMessage = await protectPublicMessage(membershipKey, groupContext, content, suite);
  const next: GroupState = {
    ...state,
    groupContext: after,
    ratchetTree: grown.tree,
    privatePath: grown.privatePath,
    keySchedule: epoch.keySchedule,
    confirmationTag,
  };
  return {
    commit: { version: "mls10", wireformat: "mls_public_message", publicMessage },
    welcome: await welcomeFor(newcomers, next, state, suite, grown, epoch, pskIds, infoExtensions),
    next,
  };
}

async function growPath(
  { privatePath, signaturePrivateKey }: ClientState,
  suite: GroupSuite,
  { needsUpdatePath, tree }: { needsUpdatePath: boolean; tree: RatchetTree },
  context: GroupContext,
  newcomers: Newcomers,
): Promise<Grown> {
  const { hpke, kdf, rng } = suite;
  if (!needsUpdatePath) {
    const commitSecret = new Uint8Array(kdf.size);
    return { tree, path: undefined, secrets: [], commitSecret, privatePath };
  }
  const { leafIndex } = privatePath;
  const [grown, path, secrets, key] = await createUpdatePath(
    tree,
    toLeafIndex(leafIndex),
    context,
    signaturePrivateKey,
    suite,
    // They get the path secret in the welcome.
    newcomers.map(([leaf]) => leafToNodeIndex(leaf)),
  );
  const keys = await toPrivateKeyPath(pathToPathSecrets(secrets), leafIndex, suite);
  const leaf = updateLeafKey(privatePath, await hpke.exportPrivateKey(key));
  const top = secrets.at(-1);
  return {
    tree: grown,
    path,
    secrets,
    // Alone in the tree: nobody has to derive it, and nobody may.
    commitSecret: top
      ? await getCommitSecret(grown, toNodeIndex(top.nodeIndex), top.secret, kdf)
      : rng.randomBytes(kdf.size),
    privatePath: mergePrivateKeyPaths(leaf, keys),
  };
}

async function welcomeFor(
  newcomers: Newcomers,
  next: GroupState,
  state: ClientState,
  suite: GroupSuite,
  { tree, secrets }: Grown,
  { joinerSecret, welcomeSecret }: EpochSecrets,
  psks: PreSharedKeyID[],
  extensions: readonly Extension[],
): Promise<Welcome | undefined> {
  const [newcomer] = newcomers;
  if (!newcomer) return undefined;
  const { hash, hpke, name: cipherSuite } = suite;
  const { groupContext, confirmationTag, privatePath } = next;
  const info = await createGroupInfoWithRatchetTree(
    groupContext,
    confirmationTag,
    state,
    tree,
    [...extensions],
    suite,
  );
  const encryptedGroupInfo = await encryptGroupInfo(info, welcomeSecret, suite);
  const [leaf, keyPackage] = newcomer;
  const ancestor = firstCommonAncestor(tree, leaf, toLeafIndex(privatePath.leafIndex));
  const pathSecret = secrets.find(({ nodeIndex }) => nodeIndex === ancestor)?.secret;
  const { enc: kemOutput, ct: ciphertext } = await encryptGroupSecrets(
    await hpke.importPublicKey(keyPackage.initKey),
    encryptedGroupInfo,
    { joinerSecret, pathSecret, psks },
    hpke,
  );
  const newMember = await makeKeyPackageRef(keyPackage, hash);
  const secret = { newMember, encryptedGroupSecrets: { kemOutput, ciphertext } };
  return { cipherSuite, secrets: [secret], encryptedGroupInfo };
}
