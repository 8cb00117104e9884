/**
 * A room: the devices that meet in one database, and who is introduced to whom.
 *
 * Profile members hear each other in a channel. Paired members (the seed's protocol as it stands)
 * know one partner only: the longest-connected profile member that sponsors and has not declined them,
 * else the longest-waiting other paired one that `Refusals` lets it meet. The relay owns no key: each of
 * the two gets a HandshakeAck made of the other's Handshake.
 *
 * @module
 */
import { Close, type Fault } from "../../close.ts";
import type { Channels, Membership } from "../../channel/channels.ts";
import { hex } from "../../wire/bytes.ts";
import { encodeExtension, type Extension } from "../../wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import {
  Capability,
  CHALLENGE_LENGTH,
  encodeHandshakeAck,
  type Tlv,
} from "../../wire/blaze/handshake.ts";
import type { Host } from "../../host.ts";
import type { BlazeMember } from "./member.ts";
import { HOLD_MS, type Refusals } from "./refusals.ts";

export class Room {
  /** Everybody here, in the order they came. */
  readonly #profiles = new Map<BlazeMember, Membership>();
  readonly #paired = new Set<BlazeMember>();
  /** Who answers to a node id: the latest that came with it. */
  readonly #byNode = new Map<string, BlazeMember>();

  constructor(
    readonly name: string,
    private readonly channels: Channels,
    private readonly host: Host,
    private readonly membersShown: number,
    private readonly refusals: Refusals,
    private readonly greeting: readonly Tlv[] = [],
  ) {}

  get size(): number {
    return this.#profiles.size + this.#paired.size;
  }

  /** The member with this node id, if it is here. */
  member(node: string): BlazeMember | undefined {
    return this.#byNode.get(node);
  }

  join(member: BlazeMember): void {
    this.#byNode.set(member.node, member);
    if (member.profile) this.#joinProfile(member);
    else this.#joinPaired(member);
  }

  leave(member: BlazeMember): void {
    if (member.profile) this.#leaveProfile(member);
    else this.#leavePaired(member);
  }

  drained(member: BlazeMember): void {
    this.#profiles.get(member)?.drained();
  }

  /** A frame of a profile member, to the others. */
  publish(message: Uint8Array<ArrayBuffer>, from: BlazeMember): void {
    this.channels.get(this.name)?.publish(message, from);
  }

  /** A tagged frame: only members that subscribed to its tag, or to nothing, get it. */
  publishTagged(message: Uint8Array<ArrayBuffer>, tag: Uint8Array, from: BlazeMember): void {
    const key = hex(tag);
    let filtered = false;
    for (const member of this.#profiles.keys()) filtered ||= member.tags !== undefined;
    if (!filtered) return this.publish(message, from);
    for (const member of this.#profiles.keys()) {
      if (member !== from && member.tags?.has(key) !== false) member.deliver(message);
    }
  }

  #joinProfile(member: BlazeMember): void {
    const others = [...this.#profiles.keys()];
    this.#profiles.set(member, this.channels.join(this.name, member));
    const joined = {
      subtype: "joined",
      node: member.handshake.node,
      members: this.#profiles.size,
    } as const;
    const shown = this.#profiles.size <= this.membersShown;
    if (shown) {
      for (const other of others) member.deliver(other.handshakeMessage);
      // It may have had no room for them, and be gone: then nobody needs to hear of it.
      if (!this.#profiles.has(member)) return;
      this.publish(member.handshakeMessage, member);
    } else {
      this.#announce(joined, member);
    }
    member.extend(this.greeting.length > 0 ? { ...joined, tlvs: this.greeting } : joined);
    if (!member.sponsors) return;
    for (const client of this.#paired) {
      if (!client.partner && this.#profiles.has(member)) this.#pair(client, member);
    }
  }

  #joinPaired(member: BlazeMember): void {
    this.#paired.add(member);
    member.since = this.host.now();
    const sponsor = this.#sponsorOf(member);
    if (sponsor) this.#pair(member, sponsor);
    else this.#seek(member);
  }

  /** Introduces the longest-waiting other one that it may meet. Where none is, it looks again later. */
  #seek(member: BlazeMember): void {
    const waiting = [...this.#paired].filter((other) => other !== member && !other.partner);
    const partner = waiting.find((other) => !this.refusals.between(this.name, member, other));
    if (partner) this.#pair(member, partner);
    else if (waiting.length > 0) {
      member.stopSeeking = this.host.after(HOLD_MS, () => this.#seek(member));
    }
  }

  /** Who serves a client. Once all have declined it, they may all be asked again when it comes back. */
  #sponsorOf(client: BlazeMember): BlazeMember | undefined {
    const sponsors = [...this.#profiles.keys()].filter(({ sponsors }) => sponsors);
    const willing = sponsors.find((sponsor) => !sponsor.declines(client));
    if (!willing) { for (const sponsor of sponsors) sponsor.reconsider(client); }
    return willing;
  }

  /** A sponsor does not serve this client: it is sent away, and the next sponsor is tried. */
  decline(sponsor: BlazeMember, client: BlazeMember): void {
    sponsor.sponsored.delete(client);
    sponsor.decline(client);
    this.#dismiss(client);
  }

  #pair(client: BlazeMember, sponsor: BlazeMember): void {
    for (const member of [client, sponsor]) member.stopSeeking();
    client.partner = sponsor;
    if (sponsor.profile) sponsor.sponsored.add(client);
    else sponsor.partner = client;
    const challenge = this.host.random(CHALLENGE_LENGTH);
    acknowledge(client, sponsor, challenge);
    acknowledge(sponsor, client, challenge);
  }

  #leaveProfile(member: BlazeMember): void {
    const membership = this.#profiles.get(member);
    if (!membership) return;
    this.#profiles.delete(member);
    membership.leave();
    const gone = this.#forget(member);
    for (const client of member.sponsored) this.#dismiss(client);
    if (!gone) return;
    this.#announce({
      subtype: "left",
      node: member.handshake.node,
      members: this.#profiles.size,
    });
  }

  #leavePaired(member: BlazeMember): void {
    if (!this.#paired.delete(member)) return;
    this.#forget(member);
    member.stopSeeking();
    const { partner } = member;
    if (!partner) return;
    if (!partner.profile) {
      if (member.saidNo || partner.saidNo) this.refusals.note(this.name, member, partner);
      return this.#dismiss(partner, member.saidNo ? Close.notConfirmed : Close.partnerLeft);
    }
    partner.sponsored.delete(member);
    partner.extend({
      subtype: "left",
      node: member.handshake.node,
      members: this.#profiles.size,
    });
  }

  /** Sends a paired client away, to come back and be introduced to somebody else. */
  #dismiss(client: BlazeMember, fault: Fault = Close.partnerLeft): void {
    this.#paired.delete(client);
    this.#forget(client);
    client.partner = undefined;
    client.tell(FrameType.disconnect);
    client.outbox.close(fault);
  }

  /** Whether nobody answers to its node id any more. */
  #forget(member: BlazeMember): boolean {
    return this.#byNode.get(member.node) === member && this.#byNode.delete(member.node);
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
