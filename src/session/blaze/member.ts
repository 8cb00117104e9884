/**
 * One device in a room: how it wants its frames, whom it is introduced to, and how to reach it.
 *
 * @module
 */
import { covers, type Grant } from "../../admission.ts";
import type { Fault } from "../../close.ts";
import type { Member } from "../../channel/channels.ts";
import type { Link, Message } from "../../link/link.ts";
import { hex } from "../../wire/bytes.ts";
import { encodeFault } from "../../wire/blaze/control.ts";
import { encodeExtension, type Extension } from "../../wire/blaze/extension.ts";
import {
  encodeFrame,
  FrameType,
  type Reading,
  restyleFrame,
} from "../../wire/blaze/blaze_frame.ts";
import {
  type AckLayout,
  Capability,
  type Handshake,
  tlv,
  TlvType,
} from "../../wire/blaze/handshake.ts";
import type { Outbox } from "../outbox.ts";

/** Clients that one sponsor refused and that are remembered. */
const MOST_DECLINED = 1_000;

export class BlazeMember implements Member {
  /** Node id in hex: the key under which a room knows it. */
  readonly node: string;
  /** Speaks the group profile: gets what the channel carries. */
  readonly profile: boolean;
  /** A profile member that serves paired clients. */
  readonly sponsors: boolean;
  /** Understands Extension frames. */
  readonly extensions: boolean;
  /** Whether its token lets it change records. */
  readonly mayWrite: boolean;
  /** The other half of a pair, or the sponsor. Paired members only. */
  partner: BlazeMember | undefined;
  /** When it came, in milliseconds. Paired members only. */
  since = 0;
  /** Calls off what waits to introduce it. Paired members only. */
  stopSeeking: () => void = () => {};
  /** It told its partner that nobody here said yes to it. Paired members only. */
  saidNo = false;
  /** Paired clients that this profile member sponsors. */
  readonly sponsored = new Set<BlazeMember>();
  /** Node ids of paired clients that it does not want to serve. Sponsors only. */
  readonly #declined = new Set<string>();
  /** Tags subscribed to, in hex; without a subscription, everything. Profile members only. */
  tags: Set<string> | undefined;

  constructor(
    readonly outbox: Outbox,
    readonly grant: Grant,
    readonly handshake: Handshake,
    /** The Handshake as it came, to show to others. */
    readonly handshakeMessage: Message,
    readonly reading: Reading,
    readonly layout: AckLayout,
  ) {
    this.node = hex(handshake.node);
    this.profile = this.can(Capability.group);
    this.sponsors = this.profile && tlv(handshake, TlvType.sponsor) !== undefined;
    this.extensions = (handshake.capabilities & 0xe0) !== 0;
    this.mayWrite = covers(grant.write, handshake.database);
  }

  get link(): Link {
    return this.outbox.link;
  }

  can(capability: number): boolean {
    return (this.handshake.capabilities & capability) !== 0;
  }

  /** Whether it refused to serve this client. */
  declines(client: BlazeMember): boolean {
    return this.#declined.has(client.node);
  }

  decline(client: BlazeMember): void {
    this.#declined.add(client.node);
    if (this.#declined.size > MOST_DECLINED) {
      this.#declined.delete(this.#declined.values().next().value!);
    }
  }

  /** May be asked about this client again. */
  reconsider(client: BlazeMember): void {
    this.#declined.delete(client.node);
  }

  /** Sends bytes as they are: between profile members nothing is ever rewritten. */
  deliver(message: Message): void {
    this.outbox.send(message);
  }

  /** Sends a frame that another member wrote, under the header this one understands. */
  pass(message: Message, from: Reading): void {
    this.outbox.send(restyleFrame(message, from, this.#style));
  }

  /** Sends a frame of the relay's own. */
  tell(type: FrameType, payload?: Uint8Array): void {
    this.outbox.send(encodeFrame(payload ? { type, payload } : { type }, this.#style));
  }

  extend(extension: Extension): void {
    this.tell(FrameType.extension, encodeExtension(extension));
  }

  /** Answers a fault that leaves the link open. */
  refuse(fault: Fault, detail = ""): void {
    this.tell(FrameType.error, encodeFault(faultRecord(fault, detail)));
  }

  get #style() {
    const short = this.can(Capability.shortHeaders) || this.profile;
    return { reading: this.reading, short };
  }
}

/** What an Error frame says of a fault. */
export const faultRecord = ({ code, word, help }: Fault, detail = "") => ({
  code,
  message: `${word}: ${help}${detail && ` (${detail})`}`,
});
