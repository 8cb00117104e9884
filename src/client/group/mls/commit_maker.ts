/**
 * Makes commits. What comes out has been judged by the same rules that all others judge it by, so
 * that a mistake of the caller's is an error here and not a commit that nobody takes.
 *
 * @module
 */
import { MlsError } from "ts-mls/mlsError.js";
import type { Proposal } from "ts-mls/proposal.js";
import { type Bytes, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { type Carry, encodeCarry } from "./carry.ts";
import { type CommitPlace, encodeCommitPlace } from "./commit_place.ts";
import { craftCommit } from "./commit_craft.ts";
import { doorPsks, examineCommit } from "./commit_judge.ts";
import { refuseCommit } from "./commit_rules.ts";
import { GroupDoor } from "./door.ts";
import { type EpochView, type GroupPeer, viewOf } from "./epoch_view.ts";
import {
  afterAdd,
  afterInvite,
  afterRemove,
  afterRevoke,
  encodeGroupData,
  type GroupData,
  invitationOf,
  MAX_INVITATIONS,
  MAX_MEMBERS,
} from "./group_data.ts";
import { referenceOf } from "./key_package.ts";
import { CARRY_EXTENSION, DATA_EXTENSION, identityOf } from "./leaf_rules.ts";
import { MAX_MLS_MESSAGE, readKeyPackage, writeMessage, writeWelcome } from "./mls_message.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** What a commit can do. Key packages are MLSMessages, nodes 16 bytes. */
export type GroupChange =
  /** New secrets for everybody. */
  | { readonly kind: "rotate" }
  /** Lets somebody in by the door of an invitation. */
  | { readonly kind: "add"; readonly keyPackage: Bytes; readonly door: GroupDoor }
  /** Removes members for good; no invitation stays. */
  | { readonly kind: "remove"; readonly nodes: readonly Bytes[] }
  /** Lets a member in again that could not follow. */
  | { readonly kind: "rejoin"; readonly keyPackage: Bytes; readonly node: Bytes }
  /** `value`: of the door. `expires`: milliseconds since 1970, 0 for never. */
  | { readonly kind: "invite"; readonly value: Bytes; readonly expires: bigint }
  | { readonly kind: "revoke"; readonly values: readonly Bytes[] };

/** A commit that nobody has seen yet. */
export interface CommitDraft {
  /** MLSMessage (PublicMessage). */
  readonly message: Bytes;
  /** For who comes in: the door, and the body of the welcome that goes into it. */
  readonly welcome: { readonly door: GroupDoor; readonly body: Bytes } | undefined;
  readonly next: EpochView;
}

interface Plan {
  readonly proposals: Proposal[];
  readonly door?: GroupDoor;
  readonly keyPackage?: Bytes;
}

/**
 * Makes the commit of a change at a place. Whoever comes in is given `carry`.
 *
 * Throws `NOT_A_MEMBER`, `GROUP_FULL`, `TOO_MANY`, `BAD_KNOCK` (the key package), `NOT_ADMITTED`
 * (the door is of no invitation), `BAD_COMMIT` for any other change that makes no sense in this
 * epoch.
 */
export async function prepareCommit(
  view: EpochView,
  change: GroupChange,
  place: CommitPlace,
  carry: Carry,
): Promise<CommitDraft> {
  const { state, suite } = view;
  const { proposals, door, keyPackage } = await planOf(view, change);
  const made = await craftCommit(state, suite, {
    proposals,
    psks: doorPsks(door),
    authenticatedData: encodeCommitPlace(place),
    infoExtensions: [{ extensionType: CARRY_EXTENSION, extensionData: encodeCarry(carry) }],
  }).catch((error) => {
    if (error instanceof MlsError) refuseCommit(`MLS refuses it: ${error.message}`);
    throw error;
  });
  const message = writeMessage(made.commit);
  const answer = made.welcome && writeWelcome(made.welcome);
  if (Math.max(message.length, answer?.length ?? 0) > MAX_MLS_MESSAGE) {
    throw new ClientError("GROUP_FULL", "a message of this group would be above 1 MiB");
  }
  await examineCommit(view, message, place);
  const next = viewOf(suite, made.next);
  if (!door || !keyPackage || !answer) return { message, welcome: undefined, next };
  const reference = await referenceOf(keyPackage);
  const body = await door.sealWelcome({ reference, message: answer });
  return { message, welcome: { door, body }, next };
}

async function planOf(view: EpochView, change: GroupChange): Promise<Plan> {
  const { data, suite, group } = view;
  switch (change.kind) {
    case "rotate":
      return { proposals: [] };
    case "add": {
      const { door, keyPackage } = change;
      if (data.members.length >= MAX_MEMBERS) throw full("members", MAX_MEMBERS);
      if (!invitationOf(data, door.value)) {
        throw new ClientError("NOT_ADMITTED", "the door is of no invitation that stands");
      }
      const pack = packageOf(keyPackage);
      const after = afterAdd(data, identityOf(pack.leafNode).node, door.value);
      const proposals = [add(keyPackage), psk(door, suite), dataProposal(after)];
      return { proposals, door, keyPackage };
    }
    case "remove": {
      const removed = change.nodes.map((node) => peerOf(view, node).leaf);
      const proposals = removed.map(remove);
      return { proposals: [...proposals, dataProposal(afterRemove(data, change.nodes))] };
    }
    case "rejoin": {
      const { keyPackage } = change;
      const peer = peerOf(view, change.node);
      const door = await GroupDoor.ofMember(peer.seed, group, peer.node);
      const proposals = [remove(peer.leaf), add(keyPackage), psk(door, suite)];
      return { proposals, door, keyPackage };
    }
    case "invite": {
      const { value, expires } = change;
      if (data.invitations.length >= MAX_INVITATIONS) {
        throw new ClientError("TOO_MANY", `${MAX_INVITATIONS} invitations stand already`);
      }
      const epoch = view.state.groupContext.epoch + 1n;
      return { proposals: [dataProposal(afterInvite(data, { value, expires, epoch }))] };
    }
    case "revoke":
      return { proposals: [dataProposal(afterRevoke(data, change.values))] };
  }
}

const full = (what: string, most: number): ClientError =>
  new ClientError("GROUP_FULL", `a group has at most ${most} ${what}`);

function peerOf({ peers }: EpochView, node: Uint8Array): GroupPeer {
  const peer = peers.find((peer) => sameBytes(peer.node, node));
  if (!peer) throw new ClientError("NOT_A_MEMBER", "the device is not in the group");
  return peer;
}

function packageOf(keyPackage: Uint8Array) {
  const pack = readKeyPackage(keyPackage);
  if (!pack) throw new ClientError("BAD_KNOCK", "no key package of MLS");
  return pack;
}

const add = (keyPackage: Uint8Array): Proposal => ({
  proposalType: "add",
  add: { keyPackage: packageOf(keyPackage) },
});

const remove = (leaf: number): Proposal => ({
  proposalType: "remove",
  remove: { removed: leaf },
});

const psk = ({ pskId }: GroupDoor, { rng, kdf }: GroupSuite): Proposal => ({
  proposalType: "psk",
  psk: { preSharedKeyId: { psktype: "external", pskId, pskNonce: rng.randomBytes(kdf.size) } },
});

const dataProposal = (data: GroupData): Proposal => ({
  proposalType: "group_context_extensions",
  groupContextExtensions: {
    extensions: [{ extensionType: DATA_EXTENSION, extensionData: encodeGroupData(data) }],
  },
});
