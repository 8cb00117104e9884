/**
 * How a device knows again a partner that was confirmed once: a bond of 32 bytes, derived of the secret
 * of the connection that people confirmed, and proven under the secret of each later one. A relay that
 * sits in between has no bond, and cannot pass one side's proof on to the other, since the secret and
 * both Handshakes of the connection are in it.
 *
 * HKDF-SHA256 of the connection's secret, 32 bytes each. H is SHA-256 of a Handshake payload.
 *
 * | value  | salt              | info                                                   |
 * | ------ | ----------------- | ------------------------------------------------------ |
 * | bond   | `blazedb-sync-v1` | `BX1 bond` ‖ both H, sorted as bytes                   |
 * | known  | the bond          | `BX1 known` ‖ H of who proves ‖ H of who checks        |
 * | agreed | `blazedb-sync-v1` | `BX1 agreed` ‖ H of who says yes ‖ H of who is told so |
 *
 * @module
 */
import { type Bytes, compareBytes, concat, utf8Bytes } from "../../wire/bytes.ts";
import { encodeHandshake, type Handshake } from "../../wire/blaze/handshake.ts";
import type { PairKeys } from "./pair_keys.ts";

export const BOND_LENGTH = 32;

/** One connection of a pair, as one side sees it: what bonds and proofs are made of. */
export class Meeting {
  private constructor(
    private readonly keys: PairKeys,
    private readonly own: Bytes,
    private readonly other: Bytes,
  ) {}

  static async of(keys: PairKeys, own: Handshake, other: Handshake): Promise<Meeting> {
    return new Meeting(keys, await hash(own), await hash(other));
  }

  /** What to remember of the partner: the same on both sides. */
  bond(): Promise<Bytes> {
    const [first, second] = [this.own, this.other].sort(compareBytes);
    return this.keys.derive(concat(utf8Bytes("BX1 bond"), first!, second!));
  }

  /** Proves to the partner that we hold the bond. */
  known(bond: Bytes): Promise<Bytes> {
    return this.#proof("BX1 known", this.own, this.other, bond);
  }

  /** Whether the partner's proof shows that it holds the bond. */
  async knows(proof: Uint8Array, bond: Bytes): Promise<boolean> {
    return sameSecret(proof, await this.#proof("BX1 known", this.other, this.own, bond));
  }

  /** Tells the partner that our side said yes. */
  agreed(): Promise<Bytes> {
    return this.#proof("BX1 agreed", this.own, this.other);
  }

  /** Whether the partner's side said yes. */
  async agrees(proof: Uint8Array): Promise<boolean> {
    return sameSecret(proof, await this.#proof("BX1 agreed", this.other, this.own));
  }

  #proof(label: string, from: Bytes, to: Bytes, salt?: Bytes): Promise<Bytes> {
    return this.keys.derive(concat(utf8Bytes(label), from, to), salt);
  }
}

async function hash(handshake: Handshake): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encodeHandshake(handshake)));
}

/** In constant time for one length. */
function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= (a[i] ?? 0) ^ b[i]!;
  return difference === 0;
}
