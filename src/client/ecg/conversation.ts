/**
 * The ECG protocol over one link, from the client's side: the relay's hello, the version, and the
 * answers to what was asked.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { Link, LinkEvents, Message } from "../../link/link.ts";
import { WireError } from "../../wire/bytes.ts";
import { ecgCode, Flag, MessageType, Version } from "../../wire/ecg/codes.ts";
import { decode, encode, type Message as Decoded } from "../../wire/ecg/message.ts";
import type { Payload } from "../../wire/ecg/payload.ts";

/** What the relay said of itself. */
export interface EcgPeer {
  /** The version that both sides use. */
  readonly version: Version;
  readonly capabilities: readonly string[];
  /** Most bytes in a payload. */
  readonly maxMessageSize: number;
}

/** A message of the stream. */
export interface EcgMessage extends Decoded {
  /** Bytes of it on the wire. */
  readonly wireLength: number;
}

/** How to publish one message. */
export interface PublishOptions {
  /** ECG_DATA unless given. */
  readonly type?: MessageType;
  /** Bits of {@linkcode Flag}: PRIORITY, BROADCAST. V3 only. */
  readonly flags?: number;
  /** Microseconds since 1970; now unless given. V3 only. */
  readonly timestamp?: bigint;
  /** Resolve only when the relay has handed it to every watcher. V3 only. */
  readonly acknowledged?: boolean;
}

/** The relay refused something with an ERROR message. */
export class EcgRefused extends Error {
  override readonly name = "EcgRefused";

  constructor(readonly code: number, message: string) {
    super(message);
  }
}

interface ConversationOptions {
  readonly stream: string;
  readonly version: Version;
  readonly host: Host;
}

interface ConversationEvents {
  online(peer: EcgPeer): void;
  message(message: EcgMessage): void;
  fault(code: number, message: string): void;
  lost(): void;
}

/** Somebody waits for an answer. */
interface Waiter {
  /** What the answer looks like: SUBSCRIPTION_ACK status, or type and time of what it acknowledges. */
  readonly key: string;
  resolve(): void;
  reject(error: Error): void;
}

export class EcgConversation implements LinkEvents {
  #peer: EcgPeer | undefined;
  /** In the order of asking: an ERROR belongs to the oldest. */
  readonly #waiters: Waiter[] = [];

  constructor(
    private readonly link: Link,
    private readonly options: ConversationOptions,
    private readonly events: ConversationEvents,
  ) {}

  /** Throws before the hello. */
  get peer(): EcgPeer {
    if (!this.#peer) throw new Error("the relay has not said hello yet");
    return this.#peer;
  }

  publish(payload: unknown, options: PublishOptions): Promise<void> {
    const { type = MessageType.ECG_DATA, acknowledged = false } = options;
    const timestamp = options.timestamp ?? this.options.host.unixMicros();
    const flags = (options.flags ?? 0) | (acknowledged ? Flag.ACK_REQUIRED : 0);
    this.#send(type, payload, flags, timestamp);
    return acknowledged ? this.#answer(ackKey(type, timestamp)) : Promise.resolve();
  }

  subscribe(): Promise<void> {
    this.#send(MessageType.SUBSCRIBE, { stream: this.options.stream });
    return this.#answer("subscribed");
  }

  unsubscribe(): Promise<void> {
    this.#send(MessageType.UNSUBSCRIBE, { stream: this.options.stream });
    return this.#answer("unsubscribed");
  }

  ping(): Promise<void> {
    this.#send(MessageType.PING, null);
    return this.#answer("pong");
  }

  message(message: Message): void {
    let decoded: Decoded;
    try {
      decoded = decode(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.events.fault(ecgCode(error), error.message);
    }
    this.#take(decoded, message.length);
  }

  text(): void {
    this.events.fault(0x200, "a text message came");
  }

  drained(): void {}

  closed(code: number, reason: string): void {
    const error = new EcgRefused(code, reason || `the link was lost (${code})`);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.events.lost();
  }

  #take(message: Decoded, wireLength: number): void {
    const { type, payload } = message;
    switch (type) {
      case MessageType.PROTOCOL_NEGOTIATION:
        return this.#hello(payload);
      case MessageType.SUBSCRIPTION_ACK: {
        const status = field(payload, "status");
        const key = status === "ok"
          ? ackKey(field(payload, "ack_type"), field(payload, "ack_timestamp"))
          : String(status);
        return this.#settle(key);
      }
      case MessageType.PONG:
        return this.#settle("pong");
      case MessageType.PING:
        return this.#send(MessageType.PONG, payload);
      case MessageType.ERROR: {
        const code = Number(field(payload, "code"));
        const text = String(field(payload, "message"));
        this.#waiters.shift()?.reject(new EcgRefused(code, text));
        return this.events.fault(code, text);
      }
      case MessageType.ECG_DATA:
      case MessageType.ANOMALY_ALERT:
      case MessageType.PREDICTION_RESULT:
      case MessageType.FEATURE_DATA:
        return this.events.message({ ...message, wireLength });
    }
  }

  #hello(payload: Payload): void {
    if (this.#peer) return;
    const supported = field(payload, "supported_versions");
    const versions = (Array.isArray(supported) ? supported : [Version.V1])
      .filter((one): one is Version => one === 1 || one === 2 || one === 3)
      .filter((one) => one <= this.options.version);
    const capabilities = field(payload, "capabilities");
    this.#peer = {
      version: versions.length > 0 ? Math.max(...versions) as Version : Version.V1,
      capabilities: Array.isArray(capabilities) ? capabilities.map(String) : [],
      maxMessageSize: Number(field(payload, "max_message_size") ?? 1_048_576),
    };
    this.#send(MessageType.VERSION_CHECK, { version: this.#peer.version });
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

  #answer(key: string): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ key, resolve, reject }));
  }

  #settle(key: string): void {
    const at = this.#waiters.findIndex((waiter) => waiter.key === key);
    if (at >= 0) this.#waiters.splice(at, 1)[0]!.resolve();
  }
}

const ackKey = (type?: Payload, timestamp?: Payload): string => `ack ${type} ${timestamp}`;

/** A field of a map; nothing for whatever is no map. */
function field(payload: Payload, name: string): Payload | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  return Object.hasOwn(payload, name) ? (payload as Record<string, Payload>)[name] : undefined;
}
