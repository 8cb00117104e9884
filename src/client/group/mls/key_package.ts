/**
 * What a device offers to be let in with: its leaf, and a key that the welcome is sealed for.
 *
 * @module
 */
import {
  generateKeyPackageWithKey,
  type KeyPackage,
  makeKeyPackageRef,
  type PrivateKeyPackage,
} from "ts-mls/keyPackage.js";
import type { Bytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { random } from "../e2e/derive.ts";
import { encodeIdentity, nodeOfKey } from "./credential.ts";
import type { GroupDoor } from "./door.ts";
import { capabilitiesOf, lifetimeFrom } from "./leaf_rules.ts";
import { readKeyPackage } from "./mls_message.ts";
import { type GroupSuite, mlsSuite, P256_SUITE, XWING_SUITE } from "./webcrypto_provider.ts";

/** The signature keys that a device keeps for good: its node id is made of them. */
export interface DeviceKeys {
  readonly publicKey: Bytes;
  /** PKCS#8. */
  readonly signKey: Bytes;
}

export interface DrawnKeyPackage {
  readonly publicPackage: KeyPackage;
  readonly privatePackage: PrivateKeyPackage;
}

/** What a device draws another key package with. */
export interface ComingBack {
  readonly keys: DeviceKeys;
  /** Of the leaf that it replaces, where it is a member that comes in again. */
  readonly door?: GroupDoor | undefined;
}

/**
 * Draws a key package, good from a day before `now` (milliseconds since 1970) for 90 days. The door
 * seed is new each time; the signature keys are, unless `again` has them. Throws `NAME_LENGTH`.
 */
export async function drawKeyPackage(
  suite: GroupSuite,
  name: string,
  now: number,
  again?: ComingBack,
): Promise<DrawnKeyPackage> {
  const pair = again?.keys ?? await suite.signature.keygen();
  const node = await nodeOfKey(pair.publicKey);
  const seed = await again?.door?.nextSeed() ?? random(16);
  const identity = encodeIdentity({ node, seed, name });
  return await generateKeyPackageWithKey(
    { credentialType: "basic", identity },
    capabilitiesOf(suite),
    lifetimeFrom(now),
    [],
    pair,
    suite,
  );
}

/** The reference of a key package (an MLSMessage), its first 32 bytes. Throws `BAD_KNOCK`. */
export async function referenceOf(keyPackage: Bytes): Promise<Bytes> {
  const pack = readKeyPackage(keyPackage);
  const name = pack?.cipherSuite;
  if (!pack || (name !== P256_SUITE && name !== XWING_SUITE)) {
    throw new ClientError("BAD_KNOCK", "it is no key package of MLS");
  }
  const reference = await makeKeyPackageRef(pack, (await mlsSuite(name)).hash);
  return reference.slice(0, 32);
}
