/**
 * What a leaf of the tree has to be, beyond what MLS asks: its own node id, what it claims to
 * understand, a lifetime that ends, keys that nobody else has.
 *
 * @module
 */
import type { Capabilities } from "ts-mls/capabilities.js";
import { type ClientConfig, defaultClientConfig } from "ts-mls/clientConfig.js";
import type { KeyPackage } from "ts-mls/keyPackage.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import type { Lifetime } from "ts-mls/lifetime.js";
import { getHpkePublicKey, type RatchetTree } from "ts-mls/ratchetTree.js";
import { hex, sameBytes } from "../../../wire/bytes.ts";
import { decodeIdentity, identityFits, type LeafIdentity } from "./credential.ts";
import type { GroupDoor } from "./door.ts";
import { type GroupData, isMember, wasRemoved } from "./group_data.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** The extension of the group's data, in GroupContext. */
export const DATA_EXTENSION = 0xf0b2;
/** The extension of what a newcomer is given, in GroupInfo. */
export const CARRY_EXTENSION = 0xf0b3;

const DAY = 24n * 3600n;
/** Longer than this a key package is good for nobody: seconds. */
const LONGEST_LIFE = 366n * DAY;

/** What our leaves claim: exactly what is used here, and no grease. */
export const capabilitiesOf = (suite: GroupSuite): Capabilities => ({
  versions: ["mls10"],
  ciphersuites: [suite.name],
  extensions: [DATA_EXTENSION, CARRY_EXTENSION],
  proposals: [],
  credentials: ["basic"],
});

/** From a day ago, for clocks that differ, to 90 days from now (milliseconds since 1970). */
export function lifetimeFrom(now: number): Lifetime {
  const seconds = BigInt(Math.floor(now / 1000));
  return { notBefore: seconds - DAY, notAfter: seconds + 90n * DAY };
}

/** Whether a lifetime ends. All members have to agree on it, so no clock is asked. */
const isFinite = ({ notBefore, notAfter }: Lifetime): boolean =>
  notAfter > notBefore && notAfter - notBefore <= LONGEST_LIFE;

/** How the library is to work: node ids are checked wherever it looks at a credential. */
export const groupConfig: ClientConfig = {
  ...defaultClientConfig,
  authService: {
    validateCredential: async (credential, signKey) =>
      credential.credentialType === "basic" && await identityFits(credential.identity, signKey),
  },
};

/** Throws `WireError` for a leaf that nobody has checked, and that is none of ours. */
export function identityOf(leaf: LeafNode): LeafIdentity {
  const { credential } = leaf;
  if (credential.credentialType !== "basic") throw new TypeError("not a basic credential");
  return decodeIdentity(credential.identity);
}

/** What is wrong with a leaf by itself; signatures apart. */
export async function flawOfLeaf(
  leaf: LeafNode,
  suite: GroupSuite,
): Promise<string | undefined> {
  const { capabilities: can, credential, signaturePublicKey } = leaf;
  if (signaturePublicKey.length !== suite.signKeyLength) return "a signature key of another length";
  if (credential.credentialType !== "basic") return "a credential that is not basic";
  if (!await identityFits(credential.identity, signaturePublicKey)) {
    return "a node id that is not of its key";
  }
  const understands = can.versions.includes("mls10") && can.ciphersuites.includes(suite.name) &&
    can.extensions.includes(DATA_EXTENSION) && can.credentials.includes("basic");
  if (!understands) return "a device that does not understand this group";
  if (leaf.extensions.length > 0) return "extensions of a leaf";
  if (leaf.leafNodeSource === "key_package" && !isFinite(leaf.lifetime)) {
    return "a lifetime without an end";
  }
  if (leaf.leafNodeSource === "update") return "a leaf of an update";
  return await isHpkeKey(leaf.hpkePublicKey, suite) ? undefined : "a key that is none";
}

/** Whether secrets can be sealed for this key: one that cannot would stop everybody's commits. */
export async function isHpkeKey(key: Uint8Array, suite: GroupSuite): Promise<boolean> {
  try {
    const imported = await suite.hpke.importPublicKey(key);
    return sameBytes(await suite.hpke.exportPublicKey(imported), key);
  } catch {
    return false;
  }
}

/**
 * What is wrong with a newcomer's key package, its signatures apart, which the library checks.
 * `again`: the member whose leaf it replaces, with its door. The library does not compare keys with the tree's.
 */
export async function flawOfKeyPackage(
  { version, cipherSuite, initKey, leafNode, extensions }: KeyPackage,
  suite: GroupSuite,
  data: GroupData,
  tree: RatchetTree,
  again?: { readonly node: Uint8Array; readonly signKey: Uint8Array; readonly door: GroupDoor },
): Promise<string | undefined> {
  if (version !== "mls10" || cipherSuite !== suite.name) return "another suite";
  if (extensions.length > 0) return "extensions of a key package";
  if (leafNode.leafNodeSource !== "key_package") return "a leaf that is of no key package";
  const flaw = await flawOfLeaf(leafNode, suite);
  if (flaw) return flaw;
  const { node, seed } = identityOf(leafNode);
  if (wasRemoved(data, node)) return "a device that was removed";
  if (again) {
    if (!sameBytes(node, again.node) || !sameBytes(leafNode.signaturePublicKey, again.signKey)) {
      return "another device than the one that it replaces";
    }
    if (!await again.door.isNextSeed(seed)) return "a key package that is not for this rejoin";
  } else if (isMember(data, node)) {
    return MEMBER_ALREADY;
  }
  if (!await isHpkeKey(initKey, suite)) return "a key that is none";
  const keys = hpkeKeys(tree);
  if (sameBytes(initKey, leafNode.hpkePublicKey)) return "one key for two purposes";
  if (keys.has(hex(leafNode.hpkePublicKey))) return "a key that is in the tree";
  return undefined;
}

/** What {@linkcode flawOfKeyPackage} says of who need not come in any more. */
export const MEMBER_ALREADY = "a device that is a member";

/** The public keys of all nodes, as hex. */
export function hpkeKeys(tree: RatchetTree): Set<string> {
  const keys = new Set<string>();
  for (const node of tree) if (node) keys.add(hex(getHpkePublicKey(node)));
  return keys;
}
