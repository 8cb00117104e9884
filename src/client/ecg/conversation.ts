/**
 * The ECG protocol over one link, from the client's side: the relay's hello, the version, and the
 * answers to what was asked.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { Link, Message } from "../../link/link.ts";
import { WireError } from "../../wire/bytes.ts";
import { splitBatch } from "../../wire/ecg/message_batch.ts";
import {
  ecgCode,
  ErrorCode,
  Flag,
  MAX_PAYLOAD,
  MessageType,
  Version,
} from "../../wire/ecg/codes.ts";
import {
  decode,
  type DecodedMessage as Decoded,
  encode,
  open,
  pong,
} from "../../wire/ecg/ecg_message.ts";
import { type Payload, writePayload } from "../../wire/ecg/payload.ts";
import { readScale, type Scale } from "../../wire/ecg/scale.ts";
import { readSignal, type Signal, unpackedPayload } from "../../wire/ecg/signal.ts";
import type { Conversation } from "../connection.ts";
import { readsOn } from "../liveness.ts";
import { faultOf } from "../client_error.ts";
import { ackKey, Answers, word } from "./answers.ts";
import {
  type EcgGap,
  type EcgMessage,
  type EcgPeer,
  EcgRefused,
  type EcgSeal,
  field,
  joinGaps,
  type Pong,
  type PublishOptions,
  readGap,
} from "./messages.ts";
import { OrderedSeals } from "./ordered_seals.ts";

export type { EcgGap, EcgMessage, EcgPeer, EcgSeal, PublishOptions } from "./messages.ts";
export { EcgRefused } from "./messages.ts";

interface ConversationOptions {
  readonly stream: string;
  readonly version: Version;
  readonly host: Host;
  readonly seal?: EcgSeal | undefined;
}

interface ConversationEvents {
  online(peer: EcgPeer): void;
  message(message: EcgMessage): void;
  gap(gap: EcgGap): void;
  fault(code: number, message: string): void;
  lost(): void;
}

/** What this client can do beyond the versions. */
const CAPABILITIES = ["packed-signal", "batch"];
/** Scales that are remembered, the one told longest ago goes first. */
const MAX_SCALES = 64;

/** A relay that takes less than this cannot be talked to. */
const LEAST_PAYLOAD = 1_024;

/** What the relay says, in its own words. */
const text = (value?: Payload): string =>
  typeof value === "string" ? value : "the relay does not say what";

/** What the relay takes: the protocol's own limit where it says nothing that makes sense. */
const mostBytes = (value?: Payload): number =>
  typeof value === "number" && Number.isInteger(value) && value >= LEAST_PAYLOAD
    ? value
    : MAX_PAYLOAD;

export class EcgConversation implements Conversation {
  #peer: EcgPeer | undefined;
  readonly #answers = new Answers();
  readonly #scales = new Map<number, Scale>();
  #pings = 0;
  /** Time of the last PONG, by the relay. */
  #remote: bigint | null = null;
  #gap: EcgGap | undefined;
  readonly #seals: OrderedSeals | undefined;

  constructor(
    private readonly link: Link,
    private readonly options: ConversationOptions,
    private readonly events: ConversationEvents,
  ) {
    this.#seals = options.seal && new OrderedSeals(options.stream, options.seal);
  }

  /** Throws before the hello. */
  get peer(): EcgPeer {
    if (!this.#peer) throw new Error("the relay has not said hello yet");
    return this.#peer;
  }

  can(capability: string): boolean {
    return this.peer.capabilities.includes(capability);
  }

  async publish(payload: unknown, options: PublishOptions): Promise<void> {
    const { type = MessageType.ECG_DATA, acknowledged = false } = options;
    const timestamp = options.timestamp ?? this.options.host.unixMicros();
    const flags = (options.flags ?? 0) | (acknowledged ? Flag.ACK_REQUIRED : 0);
    if (this.#seals) {
      if (this.peer.version !== Version.V3) {
        throw new EcgRefused(0x203, "only version 3 carries sealed messages");
      }
      const header = { type, flags: flags | Flag.ENCRYPTED, timestamp };
      await this.#seals.send(writePayload(payload), header, (sealed) => {
        this.#send(type, sealed, header.flags, timestamp);
      });
    } else {
      this.#send(type, payload, flags, timestamp);
    }
    if (acknowledged) await this.#answers.to(ackKey(type, timestamp));
  }

  /** `seconds`: how much of the past to send first. */
  subscribe(seconds = 0): Promise<void> {
    const { stream } = this.options;
    const past = seconds > 0 ? { last_seconds: seconds } : {};
    this.#send(MessageType.SUBSCRIBE, { stream, ...past });
    return this.#answers.to("subscribed");
  }

  unsubscribe(): Promise<void> {
    this.#send(MessageType.UNSUBSCRIBE, { stream: this.options.stream });
    return this.#answers.to("unsubscribed");
  }

  async ping(): Promise<Pong> {
    const { host } = this.options;
    const id = this.#pings++;
    const sent = host.unixMicros();
    this.#send(MessageType.PING, id);
    await this.#answers.to(`pong ${id}`);
    return { sent, received: host.unixMicros(), remote: this.#remote };
  }

  probe(): boolean {
    // Before the relay's hello it owes us that, and nothing else is known to be understood.
    if (!this.#peer) return false;
    this.#send(MessageType.PING, null);
    return true;
  }

  message(message: Message): void {
    for (const one of splitBatch(message)) {
      try {
        this.#take(decode(one), one);
      } catch (error) {
        this.#fault(error);
      }
    }
  }

  text(): void {
    this.events.fault(0x200, "a text message came");
  }

  drained(): void {}

  closed(code: number, reason: string): void {
    const error = new EcgRefused(code, reason || `the link was lost (${code})`);
    this.#answers.refuseAll(error);
    this.events.lost();
  }

  #take(message: Decoded, wire: Message): void {
    const { type, payload } = message;
    switch (type) {
      case MessageType.PROTOCOL_NEGOTIATION:
        return this.#hello(payload);
      case MessageType.SUBSCRIPTION_ACK:
        return this.#acknowledged(payload);
      case MessageType.PONG:
        this.#remote = message.timestamp;
        return this.#answers.settle(`pong ${word(payload)}`);
      case MessageType.PING:
        if (!readsOn(this.link)) return;
        return this.link.send(pong(open(wire), this.peer.version, this.options.host.unixMicros()));
      case MessageType.ERROR: {
        const code = field(payload, "code");
        const error = new EcgRefused(
          typeof code === "number" && Number.isInteger(code) ? code : ErrorCode.INVALID_DATA,
          text(field(payload, "message")),
        );
        this.#answers.refuse(error);
        return this.events.fault(error.code, error.message);
      }
      case MessageType.ECG_DATA:
      case MessageType.ANOMALY_ALERT:
      case MessageType.PREDICTION_RESULT:
      case MessageType.FEATURE_DATA:
        return this.#data(message, wire.length);
    }
  }

  #acknowledged(payload: Payload): void {
    const status = field(payload, "status");
    try {
      const scales = field(payload, "scales");
      if (Array.isArray(scales)) { for (const scale of scales) this.#learn(scale); }
    } catch (error) {
      this.#fault(error);
    }
    if (status === "gap") return this.#lost(payload);
    if (status === "encrypted") return this.events.fault(0x200, text(field(payload, "message")));
    const key = status === "ok"
      ? ackKey(field(payload, "ack_type"), field(payload, "ack_timestamp"))
      : word(status);
    this.#answers.settle(key);
  }

  #lost(payload: Payload): void {
    const gap = readGap(payload);
    this.#gap = this.#gap ? joinGaps(this.#gap, gap) : gap;
    this.events.gap(gap);
  }

  #data(message: Decoded, wireLength: number): void {
    if (!this.#seals) return this.#deliver(message, wireLength);
    this.#seals.receive(
      message,
      (opened) => this.#deliver(opened, wireLength),
      (error) => this.events.fault(0x200, `a sealed message cannot be opened: ${String(error)}`),
    );
  }

  #deliver(message: Decoded, wireLength: number): void {
    let signal: Signal | undefined;
    try {
      if (message.type === MessageType.ECG_DATA && !(message.payload instanceof Uint8Array)) {
        const scale = field(message.payload, "scale");
        if (scale !== undefined) this.#learn(scale);
        signal = readSignal(message.payload, (id) => this.#scales.get(id));
      }
    } catch (error) {
      return this.#fault(error);
    }
    const gap = this.#gap;
    this.#gap = undefined;
    // Whoever reads the payload need not know that it came packed.
    const packed = signal?.position !== undefined;
    this.events.message({
      ...message,
      payload: packed ? unpackedPayload(message.payload, signal!) : message.payload,
      wireLength,
      ...(signal && { signal }),
      ...(gap && { gap }),
    });
  }

  #learn(value: unknown): void {
    const scale = readScale(value);
    this.#scales.delete(scale.id);
    this.#scales.set(scale.id, scale);
    // A relay hands on fewer; a publisher that draws ids at random must not fill memory.
    const [oldest] = this.#scales.keys();
    if (this.#scales.size > MAX_SCALES) this.#scales.delete(oldest!);
  }

  #fault(error: unknown): void {
    const code = error instanceof WireError ? ecgCode(error) : ErrorCode.INVALID_DATA;
    this.events.fault(code, faultOf(error).message);
  }

  #hello(payload: Payload): void {
    if (this.#peer) return;
    const supported = field(payload, "supported_versions");
    const offered: readonly unknown[] = Array.isArray(supported) ? supported : [];
    const both = [Version.V3, Version.V2, Version.V1]
      .find((one) => one <= this.options.version && offered.includes(one));
    const capabilities = field(payload, "capabilities");
    this.#peer = {
      version: both ?? Version.V1,
      capabilities: Array.isArray(capabilities) ? capabilities.map(word) : [],
      maxMessageSize: mostBytes(field(payload, "max_message_size")),
    };
    const { version } = this.#peer;
    this.#send(MessageType.VERSION_CHECK, { version, capabilities: CAPABILITIES });
    this.events.online(this.#peer);
  }

  #send(type: MessageType, payload: unknown, flags = 0, timestamp?: bigint): void {
    const { version, maxMessageSize } = this.peer;
    const message = {
      version,
      type,
      payload,
      flags,
      timestamp: version === Version.V3 ? timestamp ?? this.options.host.unixMicros() : null,
    };
    this.link.send(encode(message, { limit: maxMessageSize }));
  }
}
