/**
 * A door: a small log of its own where somebody asks to come in, and is answered. Who holds an
 * invitation can open its door; a member's door is its own, for the case that it cannot follow any
 * more. What a door says of itself is under "Derived values" of `docs/protocol/group.md`.
 *
 * Entries (sealed with AES-256-GCM, the door's seal): nonce 12 ‖ ciphertext.
 *
 * | entry   | additional data        | content                                                     |
 * | ------- | ---------------------- | ----------------------------------------------------------- |
 * | knock   | `BX2 knock` ‖ log id   | MLSMessage (KeyPackage)                                     |
 * | welcome | `BX2 welcome` ‖ log id | reference of the key package 32 ‖ MLSMessage (Welcome)      |
 *
 * Of a reference that is longer (`postQuantum`) the first 32 bytes stand there.
 *
 * @module
 */
import { type Bytes, concat, Reader, sameBytes, utf8Bytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { aesKey, derive, random } from "../e2e/derive.ts";

const NONCE = 12;
const REFERENCE = 32;
const SEED = 16;
const DRAWN = 8;

/** A welcome, as it stands in a door. */
export interface DoorWelcome {
  /** The first 32 bytes of the reference of the key package that it is for. */
  readonly reference: Bytes;
  /** MLSMessage (Welcome). */
  readonly message: Bytes;
}

export class GroupDoor {
  readonly #seal: CryptoKey;

  private constructor(
    /** 32 bytes, secret: all else is made of it. An invitation's stands in the group data. */
    readonly value: Bytes,
    readonly logId: Bytes,
    readonly logKey: Bytes,
    readonly pskId: Bytes,
    /** What a commit that lets somebody in by this door mixes in. */
    readonly psk: Bytes,
    seal: CryptoKey,
  ) {
    this.#seal = seal;
  }

  /** The door of an invitation: of its key (16 bytes). */
  static async ofInvitation(key: Uint8Array, group: Uint8Array): Promise<GroupDoor> {
    return await GroupDoor.ofValue(await derive(key, 32, "BX2 invitation", group));
  }

  /** The door of a member: of the seed (16 bytes) in its credential, and its node id. */
  static async ofMember(
    seed: Uint8Array,
    group: Uint8Array,
    node: Uint8Array,
  ): Promise<GroupDoor> {
    return await GroupDoor.ofValue(await derive(seed, 32, "BX2 member door", group, node));
  }

  /** The door of this value: 32 bytes, as they stand in the group data. */
  static async ofValue(value: Uint8Array): Promise<GroupDoor> {
    const [logId, logKey, pskId, psk, seal] = await Promise.all([
      derive(value, 16, "BX2 door id"),
      derive(value, 32, "BX2 door key"),
      derive(value, 16, "BX2 psk id"),
      derive(value, 32, "BX2 psk"),
      derive(value, 32, "BX2 door seal").then(aesKey),
    ]);
    return new GroupDoor(value.slice(), logId, logKey, pskId, psk, seal);
  }

  /**
   * A door seed (16 bytes) for the leaf that replaces the one of this door: drawn at random 8 ‖ derived of
   * it 8. So a key package is made for one rejoin, and an older one of the same device cannot be used.
   */
  async nextSeed(drawn: Uint8Array = random(DRAWN)): Promise<Bytes> {
    return concat(drawn, await derive(this.value, SEED - DRAWN, "BX2 next seed", drawn));
  }

  /** Whether {@linkcode nextSeed} of this door gave that. */
  async isNextSeed(seed: Uint8Array): Promise<boolean> {
    return sameBytes(seed, await this.nextSeed(seed.subarray(0, DRAWN)));
  }

  /** The body of a knock: `keyPackage` is an MLSMessage. */
  sealKnock(keyPackage: Uint8Array): Promise<Bytes> {
    return this.#close("BX2 knock", keyPackage);
  }

  /** The MLSMessage in a knock. Throws `AUTH_FAILED`, `TRUNCATED`. */
  openKnock(body: Uint8Array): Promise<Bytes> {
    return this.#open("BX2 knock", body);
  }

  /** The body of a welcome. */
  sealWelcome({ reference, message }: DoorWelcome): Promise<Bytes> {
    return this.#close("BX2 welcome", concat(reference.subarray(0, REFERENCE), message));
  }

  /** Throws `AUTH_FAILED`, `TRUNCATED`. */
  async openWelcome(body: Uint8Array): Promise<DoorWelcome> {
    const r = new Reader(await this.#open("BX2 welcome", body));
    return { reference: r.bytes(REFERENCE).slice(), message: r.rest().slice() };
  }

  #how(label: string, iv: Bytes) {
    return { name: "AES-GCM", iv, additionalData: concat(utf8Bytes(label), this.logId) };
  }

  async #close(label: string, content: Uint8Array): Promise<Bytes> {
    const nonce = random(NONCE);
    const how = this.#how(label, nonce);
    const sealed = await crypto.subtle.encrypt(how, this.#seal, content.slice());
    return concat(nonce, new Uint8Array(sealed));
  }

  async #open(label: string, body: Uint8Array): Promise<Bytes> {
    const r = new Reader(body);
    const how = this.#how(label, r.bytes(NONCE).slice());
    try {
      return new Uint8Array(await crypto.subtle.decrypt(how, this.#seal, r.rest().slice()));
    } catch {
      throw new ClientError("AUTH_FAILED", "an entry of a door does not open");
    }
  }
}
