/**
 * How a device knows again a partner that was confirmed once: a bond of 32 bytes, derived of the secret
 * of the connection that people confirmed, and proven under the secret of each later one. A relay that
 * sits in between has no bond, and cannot pass one side's proof on to the other, since the secret and
 * both Handshakes of the connection are in it.
 *
 * HKDF-SHA256 of the connection's secret, 32 bytes each. H is SHA-256 of a Handshake payload.
 *
 * | value  | salt              | info                                                    |
 * | ------ | ----------------- | ------------------------------------------------------- |
 * | bond   | `blazedb-sync-v1` | `BX1 bond` ‖ both H, sorted as bytes                    |
 * | known  | the bond          | `BX1 known` ‖ side u8 ‖ H of who proves ‖ H of who checks |
 * | agreed | `blazedb-sync-v1` | `BX1 agreed` ‖ H of who says yes ‖ H of who is told so  |
 *
 * The side is that of who proves: 0 where the H of its Handshake was the lower one in the connection
 * that made the bond, else 1. So a copy of a device does not pass for its partner.
 *
 * @module
 */
// `@std/crypto` by the name that every bundler resolves.
import { timingSafeEqual } from "deno-std/crypto/timing_safe_equal.js";
import { type Bytes, compareBytes, concat, utf8Bytes } from "../../wire/bytes.ts";
import { encodeHandshake, type Handshake } from "../../wire/blaze/handshake.ts";
import type { PairKeys } from "./pair_keys.ts";
import type { Bond, Side } from "./partner.ts";

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

  /** What to remember of the partner: the same secret on both sides, and which of them we are. */
  async bond(): Promise<Pick<Bond, "secret" | "side">> {
    const [first, second] = [this.own, this.other].sort(compareBytes);
    const secret = await this.keys.derive(concat(utf8Bytes("BX1 bond"), first!, second!));
    return { secret, side: first === this.own ? 0 : 1 };
  }

  /** Proves to the partner that we hold our half of the bond. */
  known({ secret, side }: Bond): Promise<Bytes> {
    return this.#known(side, this.own, this.other, secret);
  }

  /** Whether the partner's proof shows that it holds the other half of the bond. */
  async knows(proof: Uint8Array, { secret, side }: Bond): Promise<boolean> {
    const other = side === 0 ? 1 : 0;
    return sameSecret(proof, await this.#known(other, this.other, this.own, secret));
  }

  /** Whether the partner's proof shows that it holds our half: then it is a copy of this device. */
  async copies(proof: Uint8Array, { secret, side }: Bond): Promise<boolean> {
    return sameSecret(proof, await this.#known(side, this.other, this.own, secret));
  }

  /** Tells the partner that our side said yes. */
  agreed(): Promise<Bytes> {
    return this.#agreed(this.own, this.other);
  }

  /** Whether the partner's side said yes. */
  async agrees(proof: Uint8Array): Promise<boolean> {
    return sameSecret(proof, await this.#agreed(this.other, this.own));
  }

  #agreed(from: Bytes, to: Bytes): Promise<Bytes> {
    return this.keys.derive(concat(utf8Bytes("BX1 agreed"), from, to));
  }

  #known(side: Side, from: Bytes, to: Bytes, secret: Bytes): Promise<Bytes> {
    return this.keys.derive(concat(utf8Bytes("BX1 known"), Uint8Array.of(side), from, to), secret);
  }
}

async function hash(handshake: Handshake): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encodeHandshake(handshake)));
}

/** In constant time for one length; the length is no secret. */
const sameSecret = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b);
