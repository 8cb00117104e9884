/**
 * What a device offers to be let in with: its leaf, and a key that the welcome is sealed for.
 *
 * @module
 */
import {
  generateKeyPackageWithKey,
  type KeyPackage,
  type PrivateKeyPackage,
} from "ts-mls/keyPackage.js";
import type { Bytes } from "../../../wire/bytes.ts";
import { random } from "../e2e/derive.ts";
import { encodeIdentity, nodeOfKey } from "./credential.ts";
import { capabilitiesOf, lifetimeFrom } from "./leaf_rules.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

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

/**
 * Draws a key package, good from a day before `now` (milliseconds since 1970) for 90 days. The door
 * seed is new each time; the signature keys are, unless `keys` has them. Throws `NAME_LENGTH`.
 */
export async function drawKeyPackage(
  suite: GroupSuite,
  name: string,
  now: number,
  keys?: DeviceKeys,
): Promise<DrawnKeyPackage> {
  const pair = keys ?? await suite.signature.keygen();
  const node = await nodeOfKey(pair.publicKey);
  const identity = encodeIdentity({ node, seed: random(16), name });
  return await generateKeyPackageWithKey(
    { credentialType: "basic", identity },
    capabilitiesOf(suite),
    lifetimeFrom(now),
    [],
    pair,
    suite,
  );
}
