/**
 * Whether a member lets in who knocks: rules 14 and 16 of `docs/protocol/group.md`.
 *
 * @module
 */
import { verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import { type KeyPackage, verifyKeyPackage } from "ts-mls/keyPackage.js";
import { type Bytes, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import type { GroupChange } from "./commit_maker.ts";
import { GroupDoor } from "./door.ts";
import type { GroupPeer } from "./epoch_view.ts";
import { invitationOf } from "./group_data.ts";
import type { GroupMembership } from "./group_membership.ts";
import { flawOfKeyPackage, MEMBER_ALREADY } from "./leaf_rules.ts";
import { readKeyPackage } from "./mls_message.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/**
 * The change that answers a knock (an MLSMessage with a key package) in this door: an add where it
 * is of an invitation, a rejoin where it is a member's; nothing for who is a member by now, and
 * where the door is of nobody any more.
 *
 * Throws `NOT_ADMITTED` where it has expired at `now` (milliseconds since 1970), or where its holder
 * could not be shown what came since: all epochs from `oldest` on. Throws `BAD_KNOCK` for a key package
 * that must not come in.
 */
export async function answerKnock(
  membership: GroupMembership,
  door: GroupDoor,
  keyPackage: Bytes,
  now = Date.now(),
  oldest = 0n,
): Promise<GroupChange | undefined> {
  const { view, data } = membership;
  const invitation = invitationOf(data, door.value);
  const again = invitation ? undefined : await memberOf(membership, door);
  if (invitation && invitation.expires !== 0n && invitation.expires <= BigInt(now)) {
    throw new ClientError("NOT_ADMITTED", "somebody knocks with an invitation that has expired");
  }
  if (invitation && invitation.expires !== 0n && invitation.epoch < oldest) {
    throw new ClientError("NOT_ADMITTED", "too much has changed since that invitation was made");
  }
  // It was used, or revoked, or a removal has made it void.
  if (!invitation && !again) return undefined;
  const pack = readKeyPackage(keyPackage) ?? refuseKnock("it is no key package of MLS");
  const flaw = await flawOfKeyPackage(
    pack,
    view.suite,
    data,
    view.state.ratchetTree,
    again && {
      ...again,
      door,
    },
  );
  // Somebody else was quicker.
  if (flaw === MEMBER_ALREADY) return undefined;
  if (flaw) refuseKnock(`it is of ${flaw}`);
  const { leafNode } = pack;
  if (!await isSigned(pack, view.suite) || leafNode.leafNodeSource !== "key_package") {
    return refuseKnock("its signatures are wrong");
  }
  const { notBefore, notAfter } = leafNode.lifetime;
  const seconds = BigInt(Math.floor(now / 1000));
  if (seconds < notBefore || seconds > notAfter) refuseKnock("it is not good now");
  return again
    ? { kind: "rejoin", keyPackage, node: again.node }
    : { kind: "add", keyPackage, door };
}

/** Whether a knock (an MLSMessage with a key package) is of this member, as its signatures say. */
export async function isKnockOf(
  { view }: GroupMembership,
  { signKey }: GroupPeer,
  keyPackage: Bytes,
): Promise<boolean> {
  const pack = readKeyPackage(keyPackage);
  return pack !== undefined && pack.cipherSuite === view.suite.name &&
    sameBytes(pack.leafNode.signaturePublicKey, signKey) && await isSigned(pack, view.suite);
}

async function isSigned(pack: KeyPackage, { signature }: GroupSuite): Promise<boolean> {
  const { leafNode } = pack;
  return leafNode.leafNodeSource === "key_package" &&
    await verifyLeafNodeSignatureKeyPackage(leafNode, signature) &&
    await verifyKeyPackage(pack, signature);
}

async function memberOf(membership: GroupMembership, door: GroupDoor) {
  for (const peer of membership.peers()) {
    const own = await GroupDoor.ofMember(peer.seed, membership.group, peer.node);
    if (sameBytes(own.value, door.value)) return peer;
  }
  return undefined;
}

function refuseKnock(detail: string): never {
  throw new ClientError("BAD_KNOCK", detail);
}
