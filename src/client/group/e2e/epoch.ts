/**
 * An epoch of the group, and what is derived of its secret: the names and keys of its log, and the keys
 * of all that is sealed in it. (docs/protocol/group.md, "Derived values")
 *
 * The secret follows of MLS's confirmation key: it opens the payloads of this epoch and nothing else.
 *
 * @module
 */
import { type Bytes, concat, hex, utf8Bytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { aesKey, derive, random } from "./derive.ts";

/** A log, and what lets us in. */
export interface LogTarget {
  /** 16 bytes. */
  readonly id: Bytes;
  /** 32 bytes, shown to the relay. */
  readonly key: Bytes;
}

export const EPOCH_ID_LENGTH = 8;
const NONCE = 12;

export class Epoch {
  private constructor(
    /** 16 bytes. */
    readonly group: Bytes,
    /** 32 bytes. */
    readonly secret: Bytes,
    /** 8 bytes: how it is named on the wire. */
    readonly id: Bytes,
    readonly log: LogTarget,
    private readonly commits: CryptoKey,
    private readonly claims: CryptoKey,
  ) {}

  static async of(secret: Uint8Array, group: Uint8Array): Promise<Epoch> {
    const derived = (length: number, label: string) => derive(secret, length, label, group);
    const [id, log, key, commits, claims] = await Promise.all([
      derived(EPOCH_ID_LENGTH, "BX2 epoch id"),
      derived(16, "BX2 log id"),
      derived(32, "BX2 log key"),
      derived(32, "BX2 commit").then(aesKey),
      derived(32, "BX2 membership").then(aesKey),
    ]);
    return new Epoch(group.slice(), secret.slice(), id, { id: log, key }, commits, claims);
  }

  /** The id in hex. */
  get name(): string {
    return hex(this.id);
  }

  /** Seals what a commit entry holds: nonce 12 ‖ ciphertext. */
  sealCommit(content: Uint8Array): Promise<Bytes> {
    return seal(this.commits, content, this.#commitData);
  }

  /** Throws `AUTH_FAILED`. */
  openCommit(sealed: Uint8Array): Promise<Bytes> {
    return open(this.commits, sealed, this.#commitData);
  }

  /** Seals the proof in a Handshake, which is what is bound to it. */
  sealClaim(proof: Uint8Array, handshake: Uint8Array): Promise<Bytes> {
    return seal(this.claims, proof, handshake);
  }

  /** Throws `AUTH_FAILED`. */
  openClaim(sealed: Uint8Array, handshake: Uint8Array): Promise<Bytes> {
    return open(this.claims, sealed, handshake);
  }

  get #commitData(): Bytes {
    return concat(utf8Bytes("BX2 commit"), this.log.id);
  }
}

async function seal(key: CryptoKey, content: Uint8Array, data: Uint8Array): Promise<Bytes> {
  const iv = random(NONCE);
  const algorithm = { name: "AES-GCM", iv, additionalData: data.slice() };
  return concat(iv, new Uint8Array(await crypto.subtle.encrypt(algorithm, key, content.slice())));
}

async function open(key: CryptoKey, sealed: Uint8Array, data: Uint8Array): Promise<Bytes> {
  const algorithm = { name: "AES-GCM", iv: sealed.slice(0, NONCE), additionalData: data.slice() };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, sealed.slice(NONCE)));
  } catch {
    throw new ClientError("AUTH_FAILED", "not sealed in this epoch");
  }
}
