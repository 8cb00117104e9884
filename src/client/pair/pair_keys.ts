/**
 * The cryptography of a pair (seed 1, "Handshake security"): two devices, one key that the relay
 * never sees. WebCrypto only.
 *
 * - ECDH over P-256 gives a 32-byte secret, the x coordinate.
 * - HKDF-SHA256 of it, salt `blazedb-sync-v1`, info the sorted database names joined with `:`, gives
 *   the AES-256-GCM key.
 * - Verify is HMAC-SHA256 of the challenge, keyed with the secret itself.
 * - A sealed payload is nonce 12, ciphertext, tag 16; no additional data.
 *
 * @module
 */
import {
  type Bytes,
  compareBytes,
  concat,
  sameBytes,
  utf8Bytes,
  WireError,
} from "../../wire/bytes.ts";
import {
  Capability,
  encodeHandshake,
  type Handshake,
  TlvType,
} from "../../wire/blaze/handshake.ts";
import { ClientError } from "../client_error.ts";

export const NONCE_LENGTH = 12;
export const TAG_LENGTH = 16;

const SALT = utf8Bytes("blazedb-sync-v1");
const CURVE = { name: "ECDH", namedCurve: "P-256" } as const;
const HMAC = { name: "HMAC", hash: "SHA-256" } as const;

/** An ephemeral key pair, drawn for one connection. */
export interface KeyPair {
  readonly privateKey: CryptoKey;
  /** 65 bytes: `04`, x, y. */
  readonly publicKey: Bytes;
}

export async function drawKeyPair(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]);
  const raw = await crypto.subtle.exportKey("raw", pair.publicKey);
  return { privateKey: pair.privateKey, publicKey: new Uint8Array(raw) };
}

/** What two devices share. */
export class PairKeys {
  private constructor(
    private readonly secret: CryptoKey,
    private readonly sealing: CryptoKey,
    /** Keys of the Verify: the secret, as the text says, and the derived key, as some code does. */
    private readonly proving: CryptoKey,
    private readonly provingDerived: CryptoKey,
  ) {}

  /**
   * Derives the keys of a pair. Throws `INVALID_POINT` for a public key that is not on the curve.
   */
  static async derive(
    privateKey: CryptoKey,
    publicKey: Uint8Array,
    databases: readonly [string, string],
  ): Promise<PairKeys> {
    const secret = await agree(privateKey, publicKey);
    const names = databases.map(utf8Bytes).sort(compareBytes);
    const info = concat(names[0]!, utf8Bytes(":"), names[1]!);
    const material = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
    const derived = await expandSecret(material, SALT, info);
    const [sealing, proving, provingDerived] = await Promise.all([
      crypto.subtle.importKey("raw", derived, "AES-GCM", false, ["encrypt", "decrypt"]),
      crypto.subtle.importKey("raw", secret, HMAC, false, ["sign", "verify"]),
      crypto.subtle.importKey("raw", derived, HMAC, false, ["verify"]),
    ]);
    secret.fill(0);
    derived.fill(0);
    return new PairKeys(material, sealing, proving, provingDerived);
  }

  /** 32 bytes of the secret for another purpose: HKDF-SHA256, the same salt unless one is given. */
  derive(info: Bytes, salt: Bytes = SALT): Promise<Bytes> {
    return expandSecret(this.secret, salt, info);
  }

  /** The 32 bytes that prove to the partner that we hold the secret. */
  async prove(challenge: Uint8Array): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.sign(HMAC, this.proving, challenge.slice()));
  }

  /** Whether the partner's 32 bytes prove the same, in constant time. */
  async verify(challenge: Uint8Array, proof: Uint8Array): Promise<boolean> {
    const [message, signature] = [challenge.slice(), proof.slice()];
    return await crypto.subtle.verify(HMAC, this.proving, signature, message) ||
      await crypto.subtle.verify(HMAC, this.provingDerived, signature, message);
  }

  /** Nonce, ciphertext and tag. The nonce is drawn anew unless a test brings one. */
  async seal(
    plaintext: Uint8Array,
    nonce: Bytes = crypto.getRandomValues(new Uint8Array(NONCE_LENGTH)),
  ): Promise<Bytes> {
    const algorithm = { name: "AES-GCM", iv: nonce };
    const sealed = await crypto.subtle.encrypt(algorithm, this.sealing, plaintext.slice());
    return concat(nonce, new Uint8Array(sealed));
  }

  /** Throws `CIPHERTEXT_TOO_SHORT`, and `AUTH_FAILED` for whatever was not sealed with this key. */
  async open(payload: Uint8Array): Promise<Bytes> {
    if (payload.length < NONCE_LENGTH + TAG_LENGTH) {
      throw new WireError("CIPHERTEXT_TOO_SHORT", payload.length);
    }
    const algorithm = { name: "AES-GCM", iv: payload.slice(0, NONCE_LENGTH) };
    try {
      const sealed = payload.slice(NONCE_LENGTH);
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, this.sealing, sealed));
    } catch {
      throw new ClientError("AUTH_FAILED", "not sealed with the key of this pair");
    }
  }
}

async function expandSecret(secret: CryptoKey, salt: Bytes, info: Bytes): Promise<Bytes> {
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, secret, 256));
}

async function agree(privateKey: CryptoKey, publicKey: Uint8Array): Promise<Bytes> {
  try {
    const key = await crypto.subtle.importKey("raw", publicKey.slice(), CURVE, false, []);
    const bits = await crypto.subtle.deriveBits({ name: "ECDH", public: key }, privateKey, 256);
    return new Uint8Array(bits);
  } catch {
    throw new ClientError("INVALID_POINT", "the public key is not on the curve");
  }
}

/** SHA-256 of the nonce that a later reveal will show: TLV 1 of a Handshake. */
export async function commitment(nonce: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", nonce));
}

/** Length of the nonce that a `reveal` shows. */
export const REVEAL_LENGTH = 16;

/**
 * Throws `REFLECTED` for a partner that is this device itself, as a relay that sends everything back
 * would have it. The x coordinate decides: the point on the other side of the curve has the same one,
 * and gives the same secret.
 */
export function refuseReflection(own: Handshake, other: Handshake): void {
  const x = ({ publicKey }: Handshake) => publicKey.subarray(1, 33);
  if (sameBytes(x(own), x(other)) || sameBytes(own.node, other.node)) {
    throw new ClientError("REFLECTED", "the partner is this device itself");
  }
}

/**
 * Throws `COMMITMENT_MISSING` for a partner whose Handshake says that trailing values follow and brings
 * no commitment: somebody took it out, so that a code which can be ground is compared. Taking out the bit
 * as well changes the code of one side. A sponsor is no device of a pair and commits to nothing.
 */
export function refuseStripped({ capabilities, tlvs }: Handshake): void {
  const says = (capabilities & Capability.tlvs) !== 0 && (capabilities & Capability.group) === 0;
  if (!says || tlvs.some(({ type }) => type === TlvType.commitment)) return;
  throw new ClientError("COMMITMENT_MISSING", "the partner did not commit to a nonce");
}

/** One side of a pair, as both sides see it. */
export interface CodeSide {
  readonly handshake: Handshake;
  /** The revealed nonce, where both sides committed to one. */
  readonly nonce?: Uint8Array;
}

const CODE_LABEL = utf8Bytes("BX1 code");
/** Rounds of PBKDF2 that make each guess at thirty digits dear. */
const CODE_ROUNDS = 200_000;

/**
 * The code that people compare: equal on both screens unless somebody sits in between.
 *
 * With commitments on both sides, six digits: nobody can choose a key after seeing the other's nonce,
 * so there is one guess in a million. Without, an attacker may grind Handshakes until the digits fit.
 * It chooses one for each side, so thirty digits hold for about 2^50 guesses and not 2^100; PBKDF2-HMAC-
 * SHA256 of the digest (RFC 8018, 5.2; salt the label) makes each cost 400,000 hashes. They are over the
 * fixed fields of the Handshakes, which every client knows.
 */
export async function comparisonCode(a: CodeSide, b: CodeSide): Promise<string> {
  const committed = a.nonce !== undefined && b.nonce !== undefined;
  const sides = [a, b].map(({ handshake, nonce }) => ({
    nonce: committed ? nonce! : new Uint8Array(),
    bytes: committed ? encodeHandshake(handshake) : encodeHandshake({ ...handshake, tlvs: [] }),
  })).sort((left, right) => compareBytes(left.bytes, right.bytes));
  const hash = new Uint8Array(
    await crypto.subtle.digest(
      "SHA-256",
      concat(CODE_LABEL, ...sides.map(({ bytes }) => bytes), ...sides.map(({ nonce }) => nonce)),
    ),
  );
  const digits = committed ? 6 : 30;
  let number = 0n;
  for (const byte of committed ? hash : await stretch(hash)) number = number << 8n | BigInt(byte);
  return String(number % 10n ** BigInt(digits)).padStart(digits, "0");
}

async function stretch(digest: Bytes): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", digest, "PBKDF2", false, ["deriveBits"]);
  const rounds = { name: "PBKDF2", hash: "SHA-256", salt: CODE_LABEL, iterations: CODE_ROUNDS };
  return new Uint8Array(await crypto.subtle.deriveBits(rounds, key, 256));
}
