/**
 * The Blaze protocol over one link: a Handshake first, then frames that are passed on unread.
 *
 * A frame on its way costs a look at its header and one call to the channel; the same bytes go out.
 *
 * @module
 */
import { covers, type Grant } from "../../admission.ts";
import type { Channels } from "../../channel/channels.ts";
import { Close, type Fault, Refused } from "../../close.ts";
import type { Limits } from "../../limits.ts";
import type { Accept, Link, LinkEvents, Message } from "../../link/link.ts";
import { log } from "../../log.ts";
import { hex, WireError } from "../../wire/bytes.ts";
import { decodeFault, decodeTags, encodeFault } from "../../wire/blaze/control.ts";
import { decodeExtension, Subtype } from "../../wire/blaze/extension.ts";
import {
  decodeFrame,
  encodeFrame,
  flagsFit,
  FrameType,
  frameType,
  headerSize,
  MAX_MESSAGE,
  type Reading,
} from "../../wire/blaze/blaze_frame.ts";
import {
  type AckLayout,
  Capability,
  decodeHandshake,
  type Tlv,
  TlvType,
  VERIFY_LENGTH,
} from "../../wire/blaze/handshake.ts";
import type { Host } from "../../host.ts";
import type { LogStore } from "../../store/store.ts";
import { Outbox } from "../outbox.ts";
import { Bucket } from "../rate.ts";
import { LogSession } from "./log_session.ts";
import { Logs } from "./logs.ts";
import { BlazeMember, faultRecord } from "./member.ts";
import { Refusals } from "./refusals.ts";
import { Room } from "./room.ts";

/** What a request to `/sync` settled before the upgrade. */
export interface BlazeTerms {
  readonly grant: Grant;
  /** The database in the path, which the Handshake must agree with. */
  readonly database?: string;
  readonly layout: AckLayout;
}

/** Everything that Blaze sessions share. */
export class BlazeSessions {
  readonly #rooms = new Map<string, Room>();
  /** Not of a room: the two that part may be the last ones in it. */
  readonly #refusals: Refusals;
  /** Logs that somebody has open; without a store there are none. */
  readonly logs: Logs | undefined;
  /** What a newcomer of the profile is told of this relay. */
  readonly #greeting: readonly Tlv[];

  constructor(
    readonly channels: Channels,
    readonly limits: Limits,
    readonly host: Host,
    store?: LogStore,
  ) {
    this.#refusals = new Refusals(host, limits.apartMs);
    this.logs = store && new Logs(store, channels, limits, host);
    this.#greeting = store ? [{ type: TlvType.log, value: Uint8Array.of(store.durability) }] : [];
  }

  /** Rooms that somebody is in. */
  get rooms(): number {
    return this.#rooms.size;
  }

  /** Serves links on these terms. */
  accept(terms: BlazeTerms): Accept {
    return (link) => new BlazeSession(link, terms, this);
  }

  room(tenant: string, database: string): Room {
    // A tenant holds no "/", so names of different tenants cannot meet.
    const name = `blaze:${tenant}/${database}`;
    let room = this.#rooms.get(name);
    if (!room) {
      const { membersShown } = this.limits;
      const { channels, host } = this;
      room = new Room(name, channels, host, membersShown, this.#refusals, this.#greeting);
      this.#rooms.set(name, room);
    }
    return room;
  }

  /** Forgets a room that nobody is in. */
  release(room: Room): void {
    if (room.size === 0 && this.#rooms.get(room.name) === room) this.#rooms.delete(room.name);
  }
}

/** Frames that a read-only token may not send; a snapshot holds records too. */
const WRITES: ReadonlySet<FrameType> = new Set([FrameType.operation, FrameType.queryResult]);
const writes = (frame: Uint8Array, header: 5 | 7): boolean =>
  WRITES.has(frameType(frame)) ||
  (frameType(frame) === FrameType.extension && frame[header] === Subtype.checkpoint);

/** What devices say to the relay's store. */
const ABOUT_LOGS: ReadonlySet<number | undefined> = new Set([
  Subtype.open,
  Subtype.sequenced,
  Subtype.truncate,
]);

const RELAY_ACKS = "the relay sends the Acks";

/** Longest Error that is looked into. */
const MAX_FAULT = 1024;

/** Whether an Error says that its sender's people did not confirm the partner. */
function saysNo(frame: Uint8Array, header: 5 | 7): boolean {
  if (frame.length > MAX_FAULT) return false;
  try {
    return decodeFault(frame.subarray(header)).code === Close.notConfirmed.code;
  } catch {
    // Passed on as it is: what it says is between the two.
    return false;
  }
}

/** Frames with which devices are introduced to each other: the relay's own, once the first has come. */
const introduces = (type: FrameType): boolean =>
  type === FrameType.handshake || type === FrameType.handshakeAck;

class BlazeSession implements LinkEvents {
  readonly #outbox: Outbox;
  readonly #messages: Bucket;
  readonly #bytes: Bucket;
  readonly #faults: Bucket;
  readonly #giveUpWaiting: () => void;
  #reading: Reading = "legend";
  #member: BlazeMember | undefined;
  #room: Room | undefined;
  #log: LogSession | undefined;

  constructor(
    link: Link,
    private readonly terms: BlazeTerms,
    private readonly shared: BlazeSessions,
  ) {
    const { limits, host } = shared;
    const burst = limits.burstSeconds;
    const now = () => host.now();
    this.#outbox = new Outbox(link, limits.bufferedBytes);
    this.#messages = new Bucket(limits.messagesPerSecond, burst * limits.messagesPerSecond, now);
    this.#bytes = new Bucket(limits.bytesPerSecond, burst * limits.bytesPerSecond, now);
    this.#faults = new Bucket(limits.faultsPerSecond, burst * limits.faultsPerSecond, now);
    this.#giveUpWaiting = host.after(limits.handshakeMs, () => this.#end(Close.noHandshake));
  }

  message(message: Message): void {
    if (!this.#outbox.open) return;
    if (!this.#messages.take() || !this.#bytes.take(message.length)) {
      return this.#end(Close.tooFast);
    }
    if (message.length > MAX_MESSAGE) return this.#end(Close.tooLarge);
    try {
      const header = headerSize(message);
      if (this.#member) this.#frame(message, header, this.#member);
      else this.#handshake(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#end(error.code === "TOO_LARGE" ? Close.tooLarge : Close.badFrame, error.message);
    }
  }

  text(): void {
    this.#end(Close.text);
  }

  drained(): void {
    if (this.#member) this.#room?.drained(this.#member);
    this.#log?.drained();
  }

  closed(): void {
    this.#giveUpWaiting();
    this.#leave();
  }

  /** The first frame: who this is, and which reading of the flags it uses. */
  #handshake(message: Message): void {
    const flags = message[2];
    if (flags !== 0x00 && flags !== 0x40) {
      return this.#end(Close.badFrame, "the first frame must be a Handshake");
    }
    this.#reading = flags === 0x00 ? "legend" : "examples";
    const handshake = decodeHandshake(decodeFrame(message, this.#reading).payload);
    const { database } = handshake;
    const { grant, layout } = this.terms;
    if (this.terms.database !== undefined && this.terms.database !== database) {
      return this.#end(Close.badFrame, "the path names another database than the Handshake");
    }
    if (!covers(grant.read, database)) return this.#end(Close.forbidden);
    if (handshake.capabilities & Capability.group && this.#reading !== "legend") {
      return this.#end(Close.badFrame, "the group profile goes with the legend's flags");
    }
    this.#giveUpWaiting();

    const older = this.shared.room(grant.tenant, database).member(hex(handshake.node));
    if (older && older.grant.subject !== grant.subject) return this.#end(Close.nodeTaken);
    older?.outbox.close(Close.replaced);
    // Asked for again: the room is forgotten when the older link was the last one in it.
    const room = this.shared.room(grant.tenant, database);
    const member = new BlazeMember(
      this.#outbox,
      grant,
      handshake,
      message,
      this.#reading,
      layout,
    );
    this.#room = room;
    this.#member = member;
    room.join(member);
    log.debug("blaze link from {remote} joined {room} as {node}", {
      remote: this.#outbox.link.remote,
      room: room.name,
      node: member.node,
    });
  }

  #frame(message: Message, header: 5 | 7, member: BlazeMember): void {
    if (!flagsFit(message[2]!, this.#reading)) throw new WireError("RESERVED_BITS", 2);
    const type = frameType(message);
    switch (type) {
      case FrameType.handshake:
        return this.#end(Close.badFrame, "a second Handshake");
      case FrameType.handshakeAck:
        // A Verify goes to a partner, and a sponsor's to one of several.
        if (member.profile || message.length - header !== VERIFY_LENGTH) {
          return this.#refuse(member, Refused.notAllowed, RELAY_ACKS);
        }
        break;
      case FrameType.ping:
        return member.tell(FrameType.pong, message.subarray(header));
      case FrameType.pong:
        return;
      case FrameType.disconnect:
        this.#leave();
        return this.#outbox.close(Close.normal);
      case FrameType.reserved:
        return this.#refuse(member, Refused.notAllowed, "type 0xE is reserved");
      case FrameType.subscribe:
      case FrameType.unsubscribe:
        return this.#subscribe(type, message.subarray(header), member);
      case FrameType.error:
        // To everybody it would look like the relay's own.
        if (member.profile) {
          return this.#refuse(member, Refused.notAllowed, "an Error goes to one device");
        }
        if (!this.#faults.take()) return;
        if (member.partner && saysNo(message, header)) member.saidNo = true;
    }
    if (!member.mayWrite && writes(message, header)) return this.#refuse(member, Refused.readOnly);
    if (!member.profile) this.#toPartner(message, type, header, member);
    else if (type !== FrameType.extension) this.#room!.publish(message, member);
    else this.#extension(message, header, member);
  }

  /** Frames of a paired client reach its partner only. */
  #toPartner(message: Message, type: FrameType, header: 5 | 7, member: BlazeMember): void {
    if (type === FrameType.extension) {
      const extension = member.extensions && decodeExtension(message.subarray(header));
      if (!extension || extension.subtype !== "device") {
        return this.#refuse(member, Refused.notAllowed, "no such Extension from a paired client");
      }
    }
    const { partner } = member;
    if (!partner) return this.#refuse(member, Refused.noPartner);
    if (!partner.profile) return this.#toPaired(message, header, member, partner);
    const payload = message.subarray(header);
    const { compressed, encrypted } = decodeFrame(message, member.reading);
    const frame = encodeFrame({ type, compressed, encrypted, payload }, { short: true });
    partner.extend({ subtype: "direct", node: member.handshake.node, frame });
  }

  /** A paired client gets no frame that the seed's text does not announce. */
  #toPaired(message: Message, header: 5 | 7, from: BlazeMember, to: BlazeMember): void {
    const type = frameType(message);
    if (type === FrameType.handshakeAck) {
      if (message.length - header !== VERIFY_LENGTH) {
        return this.#refuse(from, Refused.notAllowed, RELAY_ACKS);
      }
      // Only who knows TLVs expects the other side to prove anything.
      if (!to.can(Capability.tlvs)) return;
    }
    if (type === FrameType.handshake || (type === FrameType.extension && !to.extensions)) {
      return this.#refuse(from, Refused.notAllowed, "the partner does not know this frame");
    }
    to.pass(message, from.reading);
  }

  #extension(message: Message, header: 5 | 7, member: BlazeMember): void {
    const room = this.#room!;
    if (ABOUT_LOGS.has(message[header])) return this.#aboutLogs(message, header, member);
    const extension = decodeExtension(message.subarray(header));
    if (extension.subtype === "device") return room.publish(message, member);
    if (extension.subtype !== "tagged" && extension.subtype !== "direct") {
      return this.#refuse(member, Refused.notAllowed, `${extension.subtype} is the relay's word`);
    }
    const inner = headerSize(extension.frame);
    if (!member.mayWrite && writes(extension.frame, inner)) {
      return this.#refuse(member, Refused.readOnly);
    }
    const target = extension.subtype === "direct" ? room.member(hex(extension.node)) : undefined;
    if (target?.partner !== member && introduces(frameType(extension.frame))) {
      return this.#refuse(member, Refused.notAllowed, "the relay introduces");
    }
    if (extension.subtype === "tagged") return room.publishTagged(message, extension.tag, member);
    if (target?.profile) {
      target.extend({ ...extension, node: member.handshake.node });
    } else if (target?.partner === member) {
      if (frameType(extension.frame) === FrameType.disconnect) return room.decline(member, target);
      this.#toPaired(extension.frame.slice(), inner, member, target);
    } else {
      this.#refuse(member, Refused.noPartner, "no such node here");
    }
  }

  #aboutLogs(message: Message, header: 5 | 7, member: BlazeMember): void {
    const { logs } = this.shared;
    if (!logs) return this.#refuse(member, Refused.notAllowed, "this relay keeps no logs");
    const log = this.#log ??= new LogSession(logs, member, {
      refuse: (fault, detail) => this.#refuse(member, fault, detail),
      end: (fault, detail) => this.#end(fault, detail),
    });
    if (message[header] === Subtype.sequenced) return log.append(message, header);
    try {
      const word = decodeExtension(message.subarray(header));
      if (word.subtype === "open" || word.subtype === "truncate") log.take(word, message.length);
    } catch (error) {
      if (!(error instanceof WireError) || message[header] !== Subtype.open) throw error;
      log.refuse(Refused.badPayload, error.message, message.length);
    }
  }

  #subscribe(type: FrameType, payload: Uint8Array, member: BlazeMember): void {
    let tags: Uint8Array[] | undefined;
    try {
      tags = decodeTags(payload);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.#refuse(member, Refused.badPayload, error.message);
    }
    if (type === FrameType.unsubscribe) {
      for (const tag of tags ?? []) member.tags?.delete(hex(tag));
      if (!tags) member.tags = undefined;
      return;
    }
    if (!tags) {
      member.tags = undefined;
      return;
    }
    const wanted = new Set(member.tags);
    for (const tag of tags) wanted.add(hex(tag));
    const most = this.shared.limits.tagsPerMember;
    if (wanted.size > most) {
      return this.#refuse(member, Refused.badPayload, `at most ${most} tags`);
    }
    member.tags = wanted;
  }

  /** Answers a fault and goes on, unless there have been too many. */
  #refuse(member: BlazeMember, fault: Fault, detail?: string): void {
    if (this.#faults.take()) member.refuse(fault, detail);
    else this.#end(Close.tooFast, "too many faults");
  }

  /** Says why, and closes. */
  #end(fault: Fault, detail?: string): void {
    this.#leave();
    const payload = encodeFault(faultRecord(fault, detail));
    const { remote } = this.#outbox.link;
    log.debug("blaze link from {remote} refused {code}: {detail}", {
      remote,
      code: fault.code,
      detail: detail ?? fault.word,
    });
    this.#outbox.send(encodeFrame({ type: FrameType.error, payload }, { reading: this.#reading }));
    this.#outbox.close(fault);
  }

  #leave(): void {
    this.#giveUpWaiting();
    this.#log?.end();
    this.#log = undefined;
    if (!this.#room || !this.#member) return;
    this.#room.leave(this.#member);
    this.shared.release(this.#room);
    this.#member = undefined;
  }
}
