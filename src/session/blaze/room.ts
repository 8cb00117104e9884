/**
 * A room: the devices that meet in one database, and who is introduced to whom.
 *
 * Profile members hear each other in a channel. Paired members (the seed's protocol as it stands)
 * know one partner only: the longest-connected profile member, else the longest-waiting other paired
 * one. The relay owns no key: each of the two gets a HandshakeAck made of the other's Handshake.
 *
 * @module
 */
import { Close } from "../../close.ts";
import type { Channels, Membership } from "../../channel/channels.ts";
import { hex } from "../../wire/bytes.ts";
import { encodeExtension, type Extension } from "../../wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import { Capability, CHALLENGE_LENGTH, encodeHandshakeAck } from "../../wire/blaze/handshake.ts";
import type { Host } from "../../host.ts";
import type { BlazeMember } from "./member.ts";

export class Room {
  /** In the order they came; by node id. */
  readonly #profiles = new Map<string, BlazeMember>();
  readonly #paired = new Map<string, BlazeMember>();
  readonly #memberships = new Map<BlazeMember, Membership>();

  constructor(
    readonly name: string,
    private readonly channels: Channels,
    private readonly host: Host,
    private readonly membersShown: number,
  ) {}

  get size(): number {
    return this.#profiles.size + this.#paired.size;
  }

  /** The member with this node id, if it is here. */
  member(node: string): BlazeMember | undefined {
    return this.#profiles.get(node) ?? this.#paired.get(node);
  }

  join(member: BlazeMember): void {
    if (member.profile) this.#joinProfile(member);
    else this.#joinPaired(member);
  }

  leave(member: BlazeMember): void {
    if (this.member(member.node) !== member) return;
    if (member.profile) this.#leaveProfile(member);
    else this.#leavePaired(member);
  }

  drained(member: BlazeMember): void {
    this.#memberships.get(member)?.drained();
  }

  /** A frame of a profile member, to the others. */
  publish(message: Uint8Array<ArrayBuffer>, from: BlazeMember): void {
    this.channels.get(this.name)?.publish(message, from);
  }

  /** A tagged frame: only members that subscribed to its tag, or to nothing, get it. */
  publishTagged(message: Uint8Array<ArrayBuffer>, tag: Uint8Array, from: BlazeMember): void {
    const key = hex(tag);
    let filtered = false;
    for (const member of this.#profiles.values()) filtered ||= member.tags !== undefined;
    if (!filtered) return this.publish(message, from);
    for (const member of this.#profiles.values()) {
      if (member !== from && member.tags?.has(key) !== false) member.deliver(message);
    }
  }

  #joinProfile(member: BlazeMember): void {
    const others = [...this.#profiles.values()];
    this.#profiles.set(member.node, member);
    this.#memberships.set(member, this.channels.join(this.name, member));
    const joined = {
      subtype: "joined",
      node: member.handshake.node,
      members: this.#profiles.size,
    } as const;
    const shown = this.#profiles.size <= this.membersShown;
    if (shown) {
      for (const other of others) member.deliver(other.handshakeMessage);
      this.publish(member.handshakeMessage, member);
    } else {
      this.#announce(joined, member);
    }
    member.extend(joined);
    for (const client of this.#paired.values()) if (!client.partner) this.#pair(client, member);
  }

  #joinPaired(member: BlazeMember): void {
    const waiting = [...this.#paired.values()].find((other) => !other.partner);
    this.#paired.set(member.node, member);
    const sponsor = this.#profiles.values().next().value ?? waiting;
    if (sponsor) this.#pair(member, sponsor);
  }

  #pair(client: BlazeMember, sponsor: BlazeMember): void {
    client.partner = sponsor;
    if (sponsor.profile) sponsor.sponsored.add(client);
    else sponsor.partner = client;
    const challenge = this.host.random(CHALLENGE_LENGTH);
    acknowledge(client, sponsor, challenge);
    acknowledge(sponsor, client, challenge);
  }

  #leaveProfile(member: BlazeMember): void {
    this.#profiles.delete(member.node);
    this.#memberships.get(member)?.leave();
    this.#memberships.delete(member);
    for (const client of member.sponsored) this.#dismiss(client);
    this.#announce({
      subtype: "left",
      node: member.handshake.node,
      members: this.#profiles.size,
    });
  }

  #leavePaired(member: BlazeMember): void {
    this.#paired.delete(member.node);
    const partner = member.partner;
    if (!partner) return;
    if (!partner.profile) return this.#dismiss(partner);
    partner.sponsored.delete(member);
    partner.extend({
      subtype: "left",
      node: member.handshake.node,
      members: this.#profiles.size,
    });
  }

  /** Sends a paired client away, to come back and be introduced to somebody else. */
  #dismiss(client: BlazeMember): void {
    this.#paired.delete(client.node);
    client.partner = undefined;
    client.tell(FrameType.disconnect);
    client.outbox.close(Close.partnerLeft);
  }

  /** A word of the relay's own to the profile members. */
  #announce(extension: Extension, except?: BlazeMember): void {
    const payload = encodeExtension(extension);
    this.channels.get(this.name)?.publish(
      encodeFrame({ type: FrameType.extension, payload }, { short: true }),
      except,
    );
  }
}

/** Shows `other` to `member`: public values, and the TLVs where they are understood. */
function acknowledge(member: BlazeMember, other: BlazeMember, challenge: Uint8Array): void {
  const tlvs = member.can(Capability.tlvs) ? other.handshake.tlvs : [];
  const ack = encodeHandshakeAck({ ...other.handshake, tlvs, challenge }, member.layout);
  member.tell(FrameType.handshakeAck, ack);
}
