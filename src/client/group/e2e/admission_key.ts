/**
 * Joining: a device that holds an admission key asks, a member that knows the key adds it.
 *
 * Join request (Extension 0x16, to the room): admission id 8 ‖ salt 32 ‖ AES-256-GCM(card), where
 *
 * - admission id: HKDF(admission key, `BX1 admission id`), 8 bytes;
 * - key: HKDF(admission key, `BX1 join` ‖ salt); nonce 12 zeros, since the salt is drawn anew;
 * - additional data: admission id ‖ salt.
 *
 * The answer is an epoch package in the PSK mode of HPKE (see `package.ts`), with
 * HKDF(admission key, `BX1 psk`): so the relay can neither join nor let a device into a false group.
 *
 * @module
 */
import { type Bytes, concat, hex, Reader } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { aesKey, derive, random } from "./derive.ts";
import { type Card, encodeCard, readCard } from "./identity.ts";

export const ADMISSION_ID_LENGTH = 8;
export const SALT_LENGTH = 32;

/** A key that lets devices in. */
export class AdmissionKey {
  private constructor(
    readonly key: Bytes,
    /** 8 bytes. */
    readonly id: Bytes,
    readonly psk: Bytes,
    /** Good for one device only. */
    readonly once: boolean,
    /** Milliseconds since 1970; 0 for never. */
    readonly expires: number,
  ) {}

  static async of(key: Uint8Array, once: boolean, expires: number): Promise<AdmissionKey> {
    const id = await derive(key, ADMISSION_ID_LENGTH, "BX1 admission id");
    return new AdmissionKey(key.slice(), id, await derive(key, 32, "BX1 psk"), once, expires);
  }

  get name(): string {
    return hex(this.id);
  }

  async seal(card: Card): Promise<{ request: Bytes; salt: Bytes }> {
    const salt = random(SALT_LENGTH);
    const algorithm = this.#algorithm(salt);
    const key = await this.#key(salt);
    const sealed = await crypto.subtle.encrypt(algorithm, key, encodeCard(card));
    return { request: concat(this.id, salt, new Uint8Array(sealed)), salt };
  }

  async open({ salt, sealed }: JoinRequest): Promise<Card> {
    let card: ArrayBuffer;
    try {
      const key = await this.#key(salt);
      card = await crypto.subtle.decrypt(this.#algorithm(salt), key, sealed.slice());
    } catch {
      throw new ClientError("AUTH_FAILED", "a join request that nobody invited made");
    }
    const r = new Reader(new Uint8Array(card));
    const read = await readCard(r);
    r.end();
    return read;
  }

  #algorithm(salt: Uint8Array) {
    const additionalData = concat(this.id, salt);
    return { name: "AES-GCM", iv: new Uint8Array(12), additionalData };
  }

  async #key(salt: Uint8Array): Promise<CryptoKey> {
    return await aesKey(await derive(this.key, 32, "BX1 join", salt));
  }
}

export interface JoinRequest {
  /** Admission id in hex. */
  readonly name: string;
  readonly salt: Bytes;
  readonly sealed: Uint8Array;
}

/** Throws `TRUNCATED`. */
export function decodeJoinRequest(body: Uint8Array): JoinRequest {
  const r = new Reader(body);
  const name = hex(r.bytes(ADMISSION_ID_LENGTH));
  return { name, salt: r.bytes(SALT_LENGTH).slice(), sealed: r.rest() };
}
