/**
 * TLV 2 of a Handshake proves that its sender is a member, and says which epoch it is in:
 * number u32 ‖ epoch id 8 ‖ MAC 32. The MAC (HMAC-SHA256 under the epoch's membership key) covers the
 * whole Handshake payload as it is without this TLV: keys, capabilities, database and node.
 *
 * @module
 */
import { type Bytes, concat, hex, Reader, Writer } from "../../../wire/bytes.ts";
import {
  encodeHandshake,
  type Handshake,
  type Tlv,
  tlv,
  TlvType,
} from "../../../wire/blaze/handshake.ts";
import { EPOCH_ID_LENGTH, HASH_LENGTH } from "./change.ts";
import type { Epoch } from "./epoch.ts";

/** What a Handshake says of the epoch of its sender. */
export interface Claim {
  readonly number: number;
  /** In hex. */
  readonly epoch: string;
  readonly proof: Bytes;
}

export async function membershipTlv(handshake: Handshake, epoch: Epoch): Promise<Tlv> {
  const proof = await epoch.vouch(encodeHandshake(handshake));
  const head = new Writer(16).u32(epoch.number).bytes(epoch.id).finish();
  return { type: TlvType.membership, value: concat(head, proof) };
}

/** The claim of a Handshake, if it makes one. Throws `TRUNCATED`, `TRAILING_BYTES`. */
export function readClaim(handshake: Handshake): Claim | undefined {
  const value = tlv(handshake, TlvType.membership);
  if (!value) return undefined;
  const r = new Reader(value);
  const claim = {
    number: r.u32(),
    epoch: hex(r.bytes(EPOCH_ID_LENGTH)),
    proof: r.bytes(HASH_LENGTH).slice(),
  };
  r.end();
  return claim;
}

/** Whether the claim is true: the Handshake is as a member of this epoch made it. */
export function claimHolds(claim: Claim, handshake: Handshake, epoch: Epoch): Promise<boolean> {
  const tlvs = handshake.tlvs.filter(({ type }) => type !== TlvType.membership);
  return epoch.vouched(claim.proof, encodeHandshake({ ...handshake, tlvs }));
}
