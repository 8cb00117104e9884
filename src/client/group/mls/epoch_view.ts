/**
 * One epoch as one device has it: the state of the MLS library, and what it means here.
 *
 * @module
 */
import type { ClientState, GroupState } from "ts-mls/clientState.js";
import type { Extension } from "ts-mls/extension.js";
import { type Bytes, hex, WireError } from "../../../wire/bytes.ts";
import { decodeGroupData, type GroupData } from "./group_data.ts";
import { DATA_EXTENSION, groupConfig, identityOf } from "./leaf_rules.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** A member, as its leaf tells. */
export interface GroupPeer {
  /** 16 bytes. */
  readonly node: Bytes;
  readonly name: string;
  /** 65 bytes (P-256), or 32 (Ed25519). */
  readonly signKey: Bytes;
  /** Index of its leaf. */
  readonly leaf: number;
  /** 16 bytes: of it is the member's door. */
  readonly seed: Bytes;
}

export interface EpochView {
  readonly suite: GroupSuite;
  readonly state: ClientState;
  readonly group: Bytes;
  readonly data: GroupData;
  readonly self: GroupPeer;
  /** The longest member first. */
  readonly peers: readonly GroupPeer[];
}

/**
 * The view of a state, without what this profile has no use for: secrets of epochs before (the
 * library keeps all where it is told to keep none), those that private messages would be sealed
 * with, and keys of nodes that are blank now.
 *
 * Throws `BAD_GROUP_DATA` where the group data and the tree are not of the same members.
 */
export function viewOf(suite: GroupSuite, full: GroupState): EpochView {
  const { groupContext, ratchetTree, privatePath: { leafIndex, privateKeys } } = full;
  const kept = Object.entries(privateKeys).filter(([at]) => ratchetTree[Number(at)]);
  const state: ClientState = {
    ...full,
    historicalReceiverData: new Map(),
    unappliedProposals: {},
    secretTree: [],
    privatePath: { leafIndex, privateKeys: Object.fromEntries(kept) },
    clientConfig: groupConfig,
  };
  const data = decodeGroupData(dataExtension(groupContext.extensions));
  const peers = peersOf(full, data);
  const self = peers.find((peer) => peer.leaf === leafIndex);
  if (!self) throw new WireError("BAD_GROUP_DATA", 0, "this device is no member");
  return { suite, state, group: groupContext.groupId.slice(), data, self, peers };
}

/** The group data among the extensions of a GroupContext: no others are allowed. */
function dataExtension(extensions: readonly Extension[]): Uint8Array {
  const [extension, ...more] = extensions;
  if (more.length > 0 || extension?.extensionType !== DATA_EXTENSION) {
    throw new WireError("BAD_GROUP_DATA", 0, "other extensions than the group data");
  }
  return extension.extensionData;
}

function peersOf({ ratchetTree }: GroupState, { members }: GroupData): readonly GroupPeer[] {
  const byNode = new Map<string, GroupPeer>();
  for (let leaf = 0; 2 * leaf < ratchetTree.length; leaf++) {
    const node = ratchetTree[2 * leaf];
    if (node?.nodeType !== "leaf") continue;
    const signKey = node.leaf.signaturePublicKey.slice();
    const identity = identityOf(node.leaf);
    if (byNode.has(hex(identity.node))) throw new WireError("BAD_GROUP_DATA", 0, "one node twice");
    byNode.set(hex(identity.node), { ...identity, signKey, leaf });
  }
  const peers = members.flatMap((node) => byNode.get(hex(node)) ?? []);
  if (peers.length !== members.length || byNode.size !== members.length) {
    throw new WireError("BAD_GROUP_DATA", 0, "other members than the tree has");
  }
  return peers;
}
