/**
 * An epoch: 32 fresh random bytes that begin with a change of the group, and what is derived of them.
 *
 * | value          | HKDF-SHA256 of the secret, salt `blazedb-sync-v1`, info     | bytes |
 * | -------------- | ------------------------------------------------------------ | ----- |
 * | commitment     | `BX1 commitment` ‖ group id 16                               | 32    |
 * | membership key | `BX1 membership` ‖ group id 16                               | 32    |
 * | tag key        | `BX1 tag` ‖ group id 16                                      | 32    |
 * | sender         | `BX1 sender` ‖ group id 16 ‖ number u32 ‖ node 16 ‖ instance 8 | 36    |
 * | ECG sender     | `BX1 ecg sender` ‖ the same                                    | 36    |
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { EPOCH_ID_LENGTH, HASH_LENGTH, type SignedChange } from "./change.ts";
import { derive, mac, macFits, macKey, random } from "./derive.ts";

export const SECRET_LENGTH = 32;

/** A secret, and what a change says of it before it is known to anybody else. */
export async function drawSecret(group: Uint8Array): Promise<{ secret: Bytes; commitment: Bytes }> {
  const secret = random(SECRET_LENGTH);
  return { secret, commitment: await commitTo(secret, group) };
}

const commitTo = (secret: Uint8Array, group: Uint8Array): Promise<Bytes> =>
  derive(secret, HASH_LENGTH, "BX1 commitment", group);

export class Epoch {
  private constructor(
    readonly group: Bytes,
    readonly number: number,
    /** 8 bytes: how it is named on the wire. */
    readonly id: Bytes,
    readonly secret: Bytes,
    private readonly membership: CryptoKey,
    private readonly tags: CryptoKey,
  ) {}

  /** The epoch that a change began. Throws `WRONG_SECRET` for another secret than it committed to. */
  static async of(change: SignedChange, secret: Uint8Array): Promise<Epoch> {
    const { group, number, id, commitment } = change;
    if (!sameBytes(await commitTo(secret, group), commitment)) {
      throw new ClientError("WRONG_SECRET", `not the secret of epoch ${number}`);
    }
    const [membership, tags] = await Promise.all(
      ["BX1 membership", "BX1 tag"].map(async (label) =>
        await macKey(await derive(secret, 32, label, group))
      ),
    );
    const name = id.slice(0, EPOCH_ID_LENGTH);
    return new Epoch(group, number, name, secret.slice(), membership!, tags!);
  }

  get name(): string {
    return hex(this.id);
  }

  /** Proves membership: 32 bytes over a Handshake. */
  vouch(handshake: Uint8Array): Promise<Bytes> {
    return mac(this.membership, handshake);
  }

  vouched(proof: Uint8Array, handshake: Uint8Array): Promise<boolean> {
    return macFits(this.membership, proof, handshake);
  }

  /** The 8 bytes under which the relay may tell frames of a collection from others. */
  async tag(collection: Uint8Array): Promise<Bytes> {
    return (await mac(this.tags, collection)).slice(0, 8);
  }
}
