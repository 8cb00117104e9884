/**
 * Commits that the client would not make: of a member that breaks the rules, with all its keys.
 *
 * @module
 */
import type { ClientState } from "ts-mls/clientState.js";
import type { Extension } from "ts-mls/extension.js";
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
  writeMessage,
  writeWelcome,
} from "../../src/client/group/mls/mls_message.ts";
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
