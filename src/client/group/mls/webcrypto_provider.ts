/**
 * What MLS needs of cryptography, on WebCrypto: the suites 2 and 83 of {@linkcode mlsSuite}.
 *
 * Public keys are as RFC 9420 has them on the wire: P-256 uncompressed (65 bytes), Ed25519 raw
 * (32). Private signature keys are PKCS#8, as WebCrypto exports them; private HPKE keys as `@hpke`
 * writes them (raw scalars or seeds). ECDSA signatures are DER on the wire, r ‖ s in WebCrypto.
 *
 * The library's own provider is not loaded: it brings `@noble/curves` for what a browser can do by
 * itself.
 *
 * @module
 */
import {
  Aes128Gcm,
  Aes256Gcm,
  CipherSuite,
  DhkemP256HkdfSha256,
  HkdfSha256,
  HkdfSha512,
  type KemInterface,
} from "@hpke/core";
import type { Aead } from "ts-mls/crypto/aead.js";
import { type CiphersuiteImpl, getCiphersuiteFromName } from "ts-mls/crypto/ciphersuite.js";
import type { Hash } from "ts-mls/crypto/hash.js";
import { makeKdfImpl } from "ts-mls/crypto/implementation/default/makeKdfImpl.js";
import { makeGenericHpke } from "ts-mls/crypto/implementation/hpke.js";
import type { Signature } from "ts-mls/crypto/signature.js";
import type { Bytes } from "../../../wire/bytes.ts";
import { random } from "../e2e/derive.ts";
import { derOf, rawOf } from "./ecdsa_der.ts";

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const ED25519 = { name: "Ed25519" } as const;

/** Suite 2 of RFC 9420. */
export const P256_SUITE = "MLS_128_DHKEMP256_AES128GCM_SHA256_P256";
/**
 * Suite 83 of the library: X-Wing, so that who records today reads nothing with a quantum computer.
 */
export const XWING_SUITE = "MLS_256_XWING_AES256GCM_SHA512_Ed25519";

export type GroupSuiteName = typeof P256_SUITE | typeof XWING_SUITE;

/** A suite, ready to use, and signatures of 64 bytes beside those of MLS. */
export interface GroupSuite extends CiphersuiteImpl {
  readonly name: GroupSuiteName;
  /** Length of a public signature key. */
  readonly signKeyLength: number;
  /** r ‖ s, or Ed25519: 64 bytes. `key` is PKCS#8. */
  signRaw(key: Uint8Array, message: Uint8Array): Promise<Bytes>;
  /** Whether this key signed this. A key that is none signs nothing. */
  verifyRaw(key: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean>;
}

const suites = new Map<string, Promise<GroupSuite>>();

/** The suite of a name. What X-Wing needs is loaded when it is asked for. */
export function mlsSuite(name: GroupSuiteName): Promise<GroupSuite> {
  let suite = suites.get(name);
  if (!suite) {
    suite = name === P256_SUITE ? makeP256() : makeXWing();
    suite.catch(() => suites.delete(name));
    suites.set(name, suite);
  }
  return suite;
}

const makeP256 = (): Promise<GroupSuite> =>
  makeSuite(P256_SUITE, new DhkemP256HkdfSha256(), ECDSA, 65, "SHA-256");

async function makeXWing(): Promise<GroupSuite> {
  const { XWing } = await import("@hpke/hybridkem-x-wing");
  return makeSuite(XWING_SUITE, new XWing(), ED25519, 32, "SHA-512");
}

async function makeSuite(
  name: GroupSuiteName,
  kem: KemInterface,
  algorithm: typeof ECDSA | typeof ED25519,
  signKeyLength: number,
  hash: "SHA-256" | "SHA-512",
): Promise<GroupSuite> {
  const kdf = hash === "SHA-256" ? new HkdfSha256() : new HkdfSha512();
  const aead = hash === "SHA-256" ? new Aes128Gcm() : new Aes256Gcm();
  const { hpke } = getCiphersuiteFromName(name);
  const raw = rawSignatures(algorithm);
  return {
    name,
    signKeyLength,
    ...raw,
    hash: hashOf(hash),
    kdf: makeKdfImpl(kdf),
    hpke: await makeGenericHpke(hpke, aesGcm, new CipherSuite({ kem, kdf, aead })),
    signature: signaturesOf(algorithm, raw),
    rng: { randomBytes: random },
  };
}

type RawSignatures = Pick<GroupSuite, "signRaw" | "verifyRaw">;

function rawSignatures(algorithm: typeof ECDSA | typeof ED25519): RawSignatures {
  const { subtle } = crypto;
  // A device signs with one key all day, and hears the same few: by array, since those stay.
  const keys = new WeakMap<Uint8Array, Promise<CryptoKey>>();
  const keyOf = (form: "pkcs8" | "raw", bytes: Uint8Array): Promise<CryptoKey> => {
    let key = keys.get(bytes);
    if (!key) {
      const use: KeyUsage[] = form === "raw" ? ["verify"] : ["sign"];
      key = subtle.importKey(form, bytes.slice(), algorithm, false, use);
      keys.set(bytes, key);
    }
    return key;
  };
  return {
    async signRaw(pkcs8, message) {
      const key = await keyOf("pkcs8", pkcs8);
      return new Uint8Array(await subtle.sign(algorithm, key, message.slice()));
    },
    async verifyRaw(publicKey, signature, message) {
      try {
        const key = await keyOf("raw", publicKey);
        return await subtle.verify(algorithm, key, signature.slice(), message.slice());
      } catch {
        return false;
      }
    },
  };
}

/** Signatures as they are inside MLS. */
function signaturesOf(algorithm: typeof ECDSA | typeof ED25519, raw: RawSignatures): Signature {
  const der = algorithm === ECDSA;
  return {
    async sign(key, message) {
      const signature = await raw.signRaw(key, message);
      return der ? derOf(signature) : signature;
    },
    async verify(publicKey, message, signature) {
      const plain = der ? rawOf(signature) : signature;
      return plain !== undefined && await raw.verifyRaw(publicKey, plain, message);
    },
    async keygen() {
      const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const { publicKey, privateKey } = pair as CryptoKeyPair;
      return {
        publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)),
        signKey: new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey)),
      };
    },
  };
}

function hashOf(hash: "SHA-256" | "SHA-512"): Hash {
  const { subtle } = crypto;
  const hmac = { name: "HMAC", hash } as const;
  const keyOf = (key: Uint8Array): Promise<CryptoKey> =>
    subtle.importKey("raw", key.slice(), hmac, false, ["sign", "verify"]);
  return {
    digest: async (data) => new Uint8Array(await subtle.digest(hash, data.slice())),
    mac: async (key, data) =>
      new Uint8Array(await subtle.sign("HMAC", await keyOf(key), data.slice())),
    verifyMac: async (key, tag, data) =>
      subtle.verify("HMAC", await keyOf(key), tag.slice(), data.slice()),
  };
}

const aesGcm: Aead = {
  encrypt: (key, nonce, aad, plaintext) => aes("encrypt", key, nonce, aad, plaintext),
  decrypt: (key, nonce, aad, ciphertext) => aes("decrypt", key, nonce, aad, ciphertext),
};

async function aes(
  way: "encrypt" | "decrypt",
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  data: Uint8Array,
): Promise<Bytes> {
  const imported = await crypto.subtle.importKey("raw", key.slice(), "AES-GCM", false, [way]);
  const how = { name: "AES-GCM", iv: nonce.slice(), additionalData: aad.slice() };
  return new Uint8Array(await crypto.subtle[way](how, imported, data.slice()));
}
