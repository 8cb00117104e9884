/**
 * TLV 2 of a Handshake proves that its sender is a member, and of which epoch: epoch id 8 ‖ sealed
 * signature. The signature (label `BX2 handshake`) covers the whole Handshake payload as it is without
 * this TLV; it is sealed under the epoch's membership key, with that payload bound to it, so that
 * nobody else can tell whose key it is of.
 *
 * @module
 */
import { type Bytes, concat, hex, Reader } from "../../wire/bytes.ts";
import {
  encodeHandshake,
  type Handshake,
  type Tlv,
  tlv,
  TlvType,
} from "../../wire/blaze/handshake.ts";
import { type Epoch, EPOCH_ID_LENGTH } from "./e2e/epoch.ts";
import type { GroupMembership } from "./mls/group_membership.ts";

/** What a Handshake says of the epoch of its sender. */
export interface Claim {
  /** In hex. */
  readonly epoch: string;
  readonly sealed: Bytes;
}

export async function claimTlv(
  handshake: Handshake,
  epoch: Epoch,
  membership: GroupMembership,
): Promise<Tlv> {
  const bytes = encodeHandshake(handshake);
  const proof = await membership.sign("BX2 handshake", bytes);
  const value = concat(epoch.id, await epoch.sealClaim(proof, bytes));
  return { type: TlvType.membership, value };
}

/** The claim of a Handshake, if it makes one. Throws `TRUNCATED`. */
export function readClaim(handshake: Handshake): Claim | undefined {
  const value = tlv(handshake, TlvType.membership);
  if (!value) return undefined;
  const r = new Reader(value);
  return { epoch: hex(r.bytes(EPOCH_ID_LENGTH)), sealed: r.rest().slice() };
}

/** Whether the claim is true: the Handshake is as that member of this epoch made it. */
export async function claimHolds(
  claim: Claim,
  handshake: Handshake,
  epoch: Epoch,
  membership: GroupMembership,
): Promise<boolean> {
  const peer = membership.peer(hex(handshake.node));
  if (!peer) return false;
  const tlvs = handshake.tlvs.filter(({ type }) => type !== TlvType.membership);
  const bytes = encodeHandshake({ ...handshake, tlvs });
  try {
    const proof = await epoch.openClaim(claim.sealed, bytes);
    return await membership.verify("BX2 handshake", peer, proof, bytes);
  } catch {
    return false;
  }
}
