/**
 * What a commit may be, before MLS looks at it: exactly one change of the table in
 * `docs/protocol/group.md`, made at the head that the reader is at.
 *
 * @module
 */
import type { ClientState } from "ts-mls/clientState.js";
import type { KeyPackage } from "ts-mls/keyPackage.js";
import type { PreSharedKeyID } from "ts-mls/presharedkey.js";
import type { PublicMessage } from "ts-mls/publicMessage.js";
import type { UpdatePath } from "ts-mls/updatePath.js";
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { type CommitPlace, decodeCommitPlace, type LogPlace } from "./commit_place.ts";
import { type GroupData, MAX_MEMBERS } from "./group_data.ts";
import { DATA_EXTENSION, flawOfLeaf, hpkeKeys, isHpkeKey } from "./leaf_rules.ts";
import { readPublicMessage } from "./mls_message.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** More levels than a tree of {@linkcode MAX_MEMBERS} has. */
const MAX_PATH = 16;
/** Removals of everybody else, and one of each other kind. */
const MAX_PROPOSALS = MAX_MEMBERS + 3;

export type ChangeKind = "rotate" | "add" | "remove" | "rejoin" | "invite" | "revoke";

/** Refuses a commit. `detail`: what is wrong with it, in words without an end. */
export function refuseCommit(detail: string): never {
  throw new ClientError("BAD_COMMIT", detail);
}

/** A commit of this group, this epoch and this head, not checked any further. */
export interface OpenedCommit {
  readonly message: PublicMessage;
  /** It was made for this place; or for another ring, and was appended again. */
  readonly inPlace: boolean;
  /** For its author the epoch was in doubt. */
  readonly doubt: boolean;
  /** Index of its author's leaf. */
  readonly leaf: number;
  readonly adds: readonly KeyPackage[];
  /** Indices of leaves. */
  readonly removes: readonly number[];
  readonly psks: readonly PreSharedKeyID[];
  /** The group data after it, where it has some. */
  readonly data: readonly Uint8Array[];
  readonly path: UpdatePath | undefined;
}

function placeOf(data: Uint8Array) {
  try {
    return decodeCommitPlace(data);
  } catch {
    refuseCommit("it does not say where it was made");
  }
}

/** Where a commit was made, unchecked. Throws `BAD_COMMIT`. */
export function placeOfCommit(bytes: Uint8Array): CommitPlace {
  const message = readPublicMessage(bytes) ?? refuseCommit("it is no message of MLS");
  return placeOf(message.content.authenticatedData);
}

/** Opens a commit. Throws `BAD_COMMIT`, whatever the bytes are. */
export function openCommit(
  bytes: Uint8Array,
  state: ClientState,
  place: LogPlace,
): OpenedCommit {
  const message = readPublicMessage(bytes) ?? refuseCommit("it is no message of MLS");
  const { content, auth } = message;
  const { groupId, epoch } = state.groupContext;
  if (content.contentType !== "commit" || auth.contentType !== "commit") {
    refuseCommit("it is no commit");
  }
  if (content.sender.senderType !== "member") refuseCommit("its author is outside");
  if (!sameBytes(content.groupId, groupId)) refuseCommit("it is of another group");
  if (content.epoch !== epoch) refuseCommit("it is of another epoch");
  const { doubt, ...read } = placeOf(content.authenticatedData);
  const inPlace = sameBytes(read.ring, place.ring);
  if (inPlace && (read.sequence !== place.sequence || !sameBytes(read.hash, place.hash))) {
    refuseCommit("its author had read something else");
  }
  const { proposals, path } = content.commit;
  if (proposals.length > MAX_PROPOSALS) refuseCommit("it has too many proposals");
  if (path && path.nodes.length > MAX_PATH) refuseCommit("its path is too long");
  const adds: KeyPackage[] = [];
  const removes: number[] = [];
  const psks: PreSharedKeyID[] = [];
  const data: Uint8Array[] = [];
  for (const entry of proposals) {
    if (entry.proposalOrRefType !== "proposal") refuseCommit("it has proposals by reference");
    const { proposal } = entry;
    // A number: a type that is unknown, or a known one that could not be read.
    if (typeof proposal.proposalType === "number") refuseCommit("it has an unknown proposal");
    switch (proposal.proposalType) {
      case "add":
        adds.push(proposal.add.keyPackage);
        break;
      case "remove":
        removes.push(proposal.remove.removed);
        break;
      case "psk":
        psks.push(proposal.psk.preSharedKeyId);
        break;
      case "group_context_extensions": {
        const [extension, ...more] = proposal.groupContextExtensions.extensions;
        if (more.length > 0 || extension?.extensionType !== DATA_EXTENSION) {
          refuseCommit("it has other extensions than the group data");
        }
        data.push(extension.extensionData);
        break;
      }
      default:
        refuseCommit("it has a proposal that is not allowed here");
    }
  }
  const leaf = content.sender.leafIndex;
  return { message, inPlace, doubt, leaf, adds, removes, psks, data, path };
}

/**
 * Which change this is, of those that differ in their proposals; `data` stands for the last two.
 */
export function shapeOf({ adds, removes, psks, data, path }: OpenedCommit) {
  const shape = [adds.length, removes.length, psks.length, data.length].join();
  const kind = shape === "0,0,0,0"
    ? "rotate"
    : shape === "1,0,1,1"
    ? "add"
    : shape === "1,1,1,0"
    ? "rejoin"
    : shape === "0,0,0,1"
    ? "data"
    : removes.length > 0 && shape === `0,${removes.length},0,1`
    ? "remove"
    : refuseCommit("its proposals are no change that there is");
  const renews = kind === "rotate" || kind === "remove" || kind === "rejoin";
  if (renews !== (path !== undefined)) {
    refuseCommit("its path is there, or is not, against the rule");
  }
  return kind;
}

/** The one PSK of a commit has to be that of a door. */
export function checkPsk(id: PreSharedKeyID, pskId: Uint8Array, suite: GroupSuite): void {
  if (!isDoorPsk(id, pskId, suite)) refuseCommit("its PSK is not of the door");
}

export const isDoorPsk = (id: PreSharedKeyID, pskId: Uint8Array, suite: GroupSuite): boolean =>
  id.psktype === "external" && sameBytes(id.pskId, pskId) && id.pskNonce.length === suite.kdf.size;

/** A path renews its author's keys, and nothing else of its leaf. */
export async function checkPath(
  { leafNode, nodes }: UpdatePath,
  state: ClientState,
  leaf: number,
  suite: GroupSuite,
): Promise<void> {
  const before = state.ratchetTree[2 * leaf];
  if (before?.nodeType !== "leaf") return refuseCommit("its author is no member");
  const flaw = await flawOfLeaf(leafNode, suite);
  if (flaw) refuseCommit(`its path has ${flaw}`);
  const same = sameBytes(leafNode.signaturePublicKey, before.leaf.signaturePublicKey) &&
    leafNode.credential.credentialType === "basic" &&
    before.leaf.credential.credentialType === "basic" &&
    sameBytes(leafNode.credential.identity, before.leaf.credential.identity);
  if (!same) refuseCommit("its path changes who its author is");
  const keys = hpkeKeys(state.ratchetTree);
  for (const key of [leafNode.hpkePublicKey, ...nodes.map((node) => node.hpkePublicKey)]) {
    if (keys.has(hex(key))) refuseCommit("its path has a key twice, or again");
    keys.add(hex(key));
    if (!await isHpkeKey(key, suite)) refuseCommit("its path has a key that is none");
  }
}

/**
 * Whether invitations became more, or fewer, and nothing else happened. `epoch`: the number of the one
 * that begins, which new ones have to name.
 */
export function dataChange(
  before: GroupData,
  after: GroupData,
  epoch: bigint,
): "invite" | "revoke" {
  const text = ({ invitations }: GroupData): string[] =>
    invitations.map(({ value, expires, epoch }) => `${hex(value)} ${expires} ${epoch}`);
  const [old, now] = [text(before), text(after)];
  if (now.length > old.length && old.every((entry, i) => now[i] === entry)) {
    const added = after.invitations.slice(old.length);
    if (added.every((one) => one.epoch === epoch)) return "invite";
    refuseCommit("its invitation names another epoch than the one that begins");
  }
  const kept = old.filter((entry) => now.includes(entry));
  if (now.length < old.length && kept.join() === now.join()) return "revoke";
  return refuseCommit("its group data is neither more invitations nor fewer");
}

/** Whether this is the data that has to follow. */
export function checkData(found: Uint8Array, expected: Bytes): void {
  if (!sameBytes(found, expected)) refuseCommit("its group data is not what follows from it");
}
