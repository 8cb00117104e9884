/**
 * A room full of devices without a network: Blaze sessions over memory links.
 *
 * @module
 */
import { Channels } from "../../src/channel/channels.ts";
import type { Grant } from "../../src/admission.ts";
import { type Limits, limits } from "../../src/limits.ts";
import type { Host } from "../../src/host.ts";
import type { LogStore } from "../../src/store/store.ts";
import { MemoryPeer } from "../../src/link/memory_link.ts";
import { BlazeSessions, type BlazeTerms } from "../../src/session/blaze/blaze_session.ts";
import { decodeFault } from "../../src/wire/blaze/control.ts";
import {
  decodeExtension,
  encodeExtension,
  type Extension,
} from "../../src/wire/blaze/extension.ts";
import {
  type BlazeFrame,
  decodeFrame,
  encodeFrame,
  FrameType,
  type Reading,
} from "../../src/wire/blaze/blaze_frame.ts";
import { Capability, encodeHandshake, type Tlv, TlvType } from "../../src/wire/blaze/handshake.ts";
import { FakeHost } from "./fake_host.ts";

export const everything: Grant = {
  subject: "owner",
  tenant: "default",
  read: "*",
  write: "*",
  publish: "*",
  watch: "*",
  broadcast: true,
};

/** Capabilities of the three kinds of member. */
export const LITERAL = 0x0f;
export const PAIRED = 0x0f | Capability.shortHeaders | Capability.tlvs;
export const PROFILE = PAIRED | Capability.group | Capability.sequence;

/** What a profile member says that serves paired clients. */
export const SPONSORS = { tlvs: [{ type: TlvType.sponsor, value: new Uint8Array() }] };

/** A relay's Blaze half, with time that stands still. */
export class Lab {
  readonly host = new FakeHost();
  readonly channels = new Channels();
  readonly grant = everything;
  readonly sessions: BlazeSessions;

  constructor(changes: Partial<Limits> = {}, store?: (host: Host, limits: Limits) => LogStore) {
    const chosen = limits(changes);
    this.sessions = new BlazeSessions(
      this.channels,
      chosen,
      this.host,
      store?.(this.host, chosen),
    );
  }

  /** A link that has said nothing yet. */
  connect(terms: Partial<BlazeTerms> = {}): Device {
    return new Device(this.sessions.accept({ grant: everything, layout: "drawing", ...terms }));
  }

  /** A device that has sent its Handshake. */
  join(node: number, capabilities: number, options: JoinOptions = {}): Device {
    const device = this.connect(options.terms);
    device.greet(node, capabilities, options);
    return device;
  }
}

export interface JoinOptions {
  readonly database?: string;
  readonly reading?: Reading;
  readonly tlvs?: readonly Tlv[];
  readonly terms?: Partial<BlazeTerms>;
}

/** A 16-byte node id. */
export const nodeId = (node: number): Uint8Array<ArrayBuffer> => new Uint8Array(16).fill(node);

/** A far end that speaks in frames. */
export class Device extends MemoryPeer {
  reading: Reading = "legend";

  greet(node: number, capabilities: number, options: JoinOptions = {}): Uint8Array<ArrayBuffer> {
    const { database = "bugs", reading = "legend", tlvs = [] } = options;
    this.reading = reading;
    const publicKey = new Uint8Array(65).fill(node);
    publicKey[0] = 0x04;
    const timestamp = BigInt(node);
    const payload = encodeHandshake({
      node: nodeId(node),
      database,
      publicKey,
      capabilities,
      timestamp,
      tlvs,
    });
    const message = encodeFrame({ type: FrameType.handshake, payload }, { reading });
    this.send(message);
    return message;
  }

  frame(
    type: FrameType,
    payload: Uint8Array = new Uint8Array(),
    encrypted = false,
  ): Uint8Array<ArrayBuffer> {
    const message = encodeFrame({ type, payload, encrypted }, { reading: this.reading });
    this.send(message);
    return message;
  }

  extension(extension: Extension): Uint8Array<ArrayBuffer> {
    return this.frame(FrameType.extension, encodeExtension(extension));
  }

  /** Takes the oldest frame, or throws. */
  next(): BlazeFrame {
    const message = this.take();
    if (!message) throw new Error("nothing came");
    return decodeFrame(message, this.reading);
  }

  /** Takes the oldest frame, which must be an Extension. */
  nextExtension(): Extension {
    const { type, payload } = this.next();
    if (type !== FrameType.extension) throw new Error(`type ${type} came`);
    return decodeExtension(payload);
  }

  /** Takes the oldest frame, which must be an Error, and answers its code. */
  nextFault(): number {
    const { type, payload } = this.next();
    if (type !== FrameType.error) throw new Error(`type ${type} came`);
    return decodeFault(payload).code;
  }

  /** Forgets what came so far. */
  forget(): this {
    this.received.length = 0;
    return this;
  }
}

/** A Handshake frame of a profile member, as a message. */
export function greeting(node: number): Uint8Array<ArrayBuffer> {
  let frame!: Uint8Array<ArrayBuffer>;
  const events = { message: (sent: Uint8Array<ArrayBuffer>) => frame = sent };
  new Device(() => ({ ...events, text() {}, drained() {}, closed() {} })).greet(node, PROFILE);
  return frame;
}
