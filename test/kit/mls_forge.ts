/**
 * Commits that the client would not make: of a member that breaks the rules, with all its keys.
 *
 * @module
 */
import type { ClientState } from "ts-mls/clientState.js";
import type { Commit } from "ts-mls/commit.js";
import type { Extension } from "ts-mls/extension.js";
import { createContentCommitSignature } from "ts-mls/framedContent.js";
import { type KeyPackage, signKeyPackage } from "ts-mls/keyPackage.js";
import { type LeafNode, signLeafNodeKeyPackage } from "ts-mls/leafNode.js";
import { protectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import type { Proposal } from "ts-mls/proposal.js";
import { random } from "../../src/client/group/e2e/derive.ts";
import { type Carry, encodeCarry } from "../../src/client/group/mls/carry.ts";
import { type CommitPlace, encodeCommitPlace } from "../../src/client/group/mls/commit_place.ts";
import { craftCommit } from "../../src/client/group/mls/commit_craft.ts";
import type { GroupDoor } from "../../src/client/group/mls/door.ts";
import { encodeGroupData, type GroupData } from "../../src/client/group/mls/group_data.ts";
import type { GroupMembership } from "../../src/client/group/mls/group_membership.ts";
import { CARRY_EXTENSION, DATA_EXTENSION } from "../../src/client/group/mls/leaf_rules.ts";
import {
  readKeyPackage,
  readPublicMessage,
  writeKeyPackage,
  writeMessage,
  writeWelcome,
} from "../../src/client/group/mls/mls_message.ts";
import type { GroupSuite } from "../../src/client/group/mls/webcrypto_provider.ts";
import { type Bytes, sameBytes } from "../../src/wire/bytes.ts";
import { anyCarry } from "./mls.ts";

export const addOf = (keyPackage: Bytes): Proposal => ({
  proposalType: "add",
  add: { keyPackage: readKeyPackage(keyPackage)! },
});

export const removeOf = (leaf: number): Proposal => ({
  proposalType: "remove",
  remove: { removed: leaf },
});

export const pskOf = (pskId: Uint8Array, nonce = 32): Proposal => ({
  proposalType: "psk",
  psk: { preSharedKeyId: { psktype: "external", pskId, pskNonce: random(nonce) } },
});

export const extensionsOf = (...extensions: Extension[]): Proposal => ({
  proposalType: "group_context_extensions",
  groupContextExtensions: { extensions },
});

export const dataOf = (data: GroupData): Proposal =>
  extensionsOf({ extensionType: DATA_EXTENSION, extensionData: encodeGroupData(data) });

export const carryOf = (carry: Carry): Extension => ({
  extensionType: CARRY_EXTENSION,
  extensionData: encodeCarry(carry),
});

/** One epoch to read back. */
export const CARRY = carryOf(anyCarry(1));

/** Nothing to read back. */
export const NO_CARRY = carryOf([]);

export interface Forgery {
  readonly proposals: readonly Proposal[];
  /** Doors whose PSKs the forger has. */
  readonly doors?: readonly GroupDoor[];
  readonly infoExtensions?: readonly Extension[];
  readonly state?: ClientState;
}

/** The commit, and the welcome, of these proposals, whatever they are. */
export async function forge(
  { view }: GroupMembership,
  head: CommitPlace,
  { proposals, doors = [], infoExtensions = [CARRY], state = view.state }: Forgery,
): Promise<{ message: Bytes; welcome: Bytes | undefined }> {
  const { commit, welcome } = await craftCommit(state, view.suite, {
    proposals,
    psks: {
      findPsk: (id) =>
        id.psktype === "external"
          ? doors.find(({ pskId }) => sameBytes(pskId, id.pskId))?.psk ?? new Uint8Array(32)
          : view.state.keySchedule.resumptionPsk,
    },
    authenticatedData: encodeCommitPlace(head),
    infoExtensions,
  });
  return { message: writeMessage(commit), welcome: welcome && writeWelcome(welcome) };
}

/**
 * A commit with something changed, signed anew by its author as if it were so. The confirmation tag
 * stays: whom the commit removes cannot check that.
 */
export async function resigned(
  { view: { state, suite } }: GroupMembership,
  message: Bytes,
  change: (commit: Commit) => Commit,
): Promise<Bytes> {
  const { content, auth } = readPublicMessage(message)!;
  if (content.contentType !== "commit" || auth.contentType !== "commit") {
    throw new TypeError("no commit");
  }
  const wireformat = "mls_public_message";
  const { framedContent, signature } = await createContentCommitSignature(
    state.groupContext,
    wireformat,
    change(content.commit),
    content.sender,
    content.authenticatedData,
    state.signaturePrivateKey,
    suite.signature,
  );
  const publicMessage = await protectPublicMessage(
    state.keySchedule.membershipKey,
    state.groupContext,
    { wireformat, content: framedContent, auth: { ...auth, signature } },
    suite,
  );
  return writeMessage({ version: "mls10", wireformat, publicMessage });
}

/** A key package with something changed in it or in its leaf, signed anew by this key. */
export async function repacked(
  keyPackage: Bytes,
  suite: GroupSuite,
  signKey: Uint8Array,
  change: { readonly pack?: Partial<KeyPackage>; readonly leaf?: Partial<LeafNode> },
): Promise<Bytes> {
  const before = readKeyPackage(keyPackage)!;
  const leaf = { ...before.leafNode, ...change.leaf } as Parameters<
    typeof signLeafNodeKeyPackage
  >[0];
  const leafNode = await signLeafNodeKeyPackage(leaf, signKey, suite.signature);
  const pack = { ...before, leafNode, ...change.pack };
  return writeKeyPackage(await signKeyPackage(pack, signKey, suite.signature));
}
