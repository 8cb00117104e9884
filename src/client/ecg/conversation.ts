/**
 * The ECG protocol over one link, from the client's side: the relay's hello, the version, and the
 * answers to what was asked.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { Link, LinkEvents, Message } from "../../link/link.ts";
import { type Bytes, WireError } from "../../wire/bytes.ts";
import { splitBatch } from "../../wire/ecg/batch.ts";
import { ecgCode, Flag, MessageType, Version } from "../../wire/ecg/codes.ts";
import { decode, encode, type Message as Decoded } from "../../wire/ecg/message.ts";
import { type Payload, readPayload, writePayload } from "../../wire/ecg/payload.ts";
import { readScale, type Scale } from "../../wire/ecg/scale.ts";
import { readSignal, type Signal } from "../../wire/ecg/signal.ts";

/** What the relay said of itself. */
export interface EcgPeer {
  /** The version that both sides use. */
  readonly version: Version;
  readonly capabilities: readonly string[];
  /** Most bytes in a payload. */
  readonly maxMessageSize: number;
}

/** What the relay left out because we read too slowly. */
export interface EcgGap {
  readonly messages: number;
  /** Samples of each lead. */
  readonly samples: number;
  /** Timestamps of the first and the last message lost, microseconds since 1970. */
  readonly from: bigint;
  readonly to: bigint;
}

/** A message of the stream. */
export interface EcgMessage extends Decoded {
  /** Bytes of it on the wire. */
  readonly wireLength: number;
  /** The signal of ECG_DATA, whatever form it came in. */
  readonly signal?: Signal;
  /** What was lost right before this message. */
  readonly gap?: EcgGap;
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

/** What is known of a sealed message without opening it; a seal should bind it. */
export interface SealedHeader {
  readonly stream: string;
  readonly type: MessageType;
  /** Bits of {@linkcode Flag}, ENCRYPTED among them. */
  readonly flags: number;
  readonly timestamp: bigint;
}

/** Seals payloads for the watchers of a stream, and opens them. The relay can do neither. */
export interface EcgSeal {
  /** `plain`: the payload as MessagePack. */
  seal(plain: Bytes, header: SealedHeader): Bytes | Promise<Bytes>;
  /** Throws or rejects for what cannot be opened. */
  open(sealed: Bytes, header: SealedHeader): Bytes | Promise<Bytes>;
}

/** A PONG came back. */
export interface Pong {
  /** Microseconds since 1970 on our clock. */
  readonly sent: bigint;
  readonly received: bigint;
  /** On the relay's clock; V3 only. */
  readonly remote: bigint | null;
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
  readonly seal?: EcgSeal | undefined;
}

interface ConversationEvents {
  online(peer: EcgPeer): void;
  message(message: EcgMessage): void;
  gap(gap: EcgGap): void;
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

/** What this client can do beyond the versions. */
const CAPABILITIES = ["packed-signal", "batch"];

export class EcgConversation implements LinkEvents {
  #peer: EcgPeer | undefined;
  /** In the order of asking: an ERROR belongs to the oldest. */
  readonly #waiters: Waiter[] = [];
  readonly #scales = new Map<number, Scale>();
  #pings = 0;
  /** Time of the last PONG, by the relay. */
  #remote: bigint | null = null;
  #gap: EcgGap | undefined;
  /** Sealed messages are opened one after the other, and what follows them waits. */
  #opening: Promise<void> | undefined;
  #sealing: Promise<void> = Promise.resolve();

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

  can(capability: string): boolean {
    return this.peer.capabilities.includes(capability);
  }

  async publish(payload: unknown, options: PublishOptions): Promise<void> {
    const { type = MessageType.ECG_DATA, acknowledged = false } = options;
    const timestamp = options.timestamp ?? this.options.host.unixMicros();
    const flags = (options.flags ?? 0) | (acknowledged ? Flag.ACK_REQUIRED : 0);
    const { seal } = this.options;
    if (seal) await this.#sealed(seal, type, payload, flags | Flag.ENCRYPTED, timestamp);
    else this.#send(type, payload, flags, timestamp);
    if (acknowledged) await this.#answer(ackKey(type, timestamp));
  }

  /** `seconds`: how much of the past to send first. */
  subscribe(seconds = 0): Promise<void> {
    const { stream } = this.options;
    const past = seconds > 0 ? { last_seconds: seconds } : {};
    this.#send(MessageType.SUBSCRIBE, { stream, ...past });
    return this.#answer("subscribed");
  }

  unsubscribe(): Promise<void> {
    this.#send(MessageType.UNSUBSCRIBE, { stream: this.options.stream });
    return this.#answer("unsubscribed");
  }

  async ping(): Promise<Pong> {
    const { host } = this.options;
    const id = this.#pings++;
    const sent = host.unixMicros();
    this.#send(MessageType.PING, id);
    await this.#answer(`pong ${id}`);
    return { sent, received: host.unixMicros(), remote: this.#remote };
  }

  message(message: Message): void {
    for (const one of splitBatch(message)) {
      let decoded: Decoded;
      try {
        decoded = decode(one);
      } catch (error) {
        this.#fault(error);
        continue;
      }
      this.#take(decoded, one.length);
    }
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
      case MessageType.SUBSCRIPTION_ACK:
        return this.#acknowledged(payload);
      case MessageType.PONG:
        this.#remote = message.timestamp;
        return this.#settle(`pong ${payload}`);
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
        return this.#data(message, wireLength);
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
    if (status === "encrypted") return this.events.fault(0x200, String(field(payload, "message")));
    const key = status === "ok"
      ? ackKey(field(payload, "ack_type"), field(payload, "ack_timestamp"))
      : String(status);
    this.#settle(key);
  }

  #lost(payload: Payload): void {
    const integer = (name: string): bigint => {
      const value = field(payload, name);
      return typeof value === "bigint" || Number.isSafeInteger(value)
        ? BigInt(value as number | bigint)
        : 0n;
    };
    const gap = {
      messages: Number(integer("messages")),
      samples: Number(integer("samples")),
      from: integer("from"),
      to: integer("to"),
    };
    this.#gap = this.#gap ? joined(this.#gap, gap) : gap;
    this.events.gap(gap);
  }

  #data(message: Decoded, wireLength: number): void {
    const { seal } = this.options;
    if (seal && message.flags & Flag.ENCRYPTED) {
      this.#opening = (this.#opening ?? Promise.resolve()).then(async () => {
        const { type, flags, payload, timestamp } = message;
        const header = { stream: this.options.stream, type, flags, timestamp: timestamp ?? 0n };
        try {
          const plain = await seal.open(payload as Bytes, header);
          this.#deliver({ ...message, payload: readPayload(plain) }, wireLength);
        } catch (error) {
          this.events.fault(0x200, `a sealed message cannot be opened: ${String(error)}`);
        }
      });
    } else if (this.#opening) {
      this.#opening = this.#opening.then(() => this.#deliver(message, wireLength));
    } else {
      this.#deliver(message, wireLength);
    }
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
    this.events.message({
      ...message,
      wireLength,
      ...(signal && { signal }),
      ...(gap && { gap }),
    });
  }

  #learn(value: unknown): void {
    const scale = readScale(value);
    this.#scales.set(scale.id, scale);
    // A relay keeps fewer; a publisher that draws ids at random must not fill memory.
    const [oldest] = this.#scales.keys();
    if (this.#scales.size > 16) this.#scales.delete(oldest!);
  }

  #fault(error: unknown): void {
    if (!(error instanceof WireError)) throw error;
    this.events.fault(ecgCode(error), error.message);
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
    const { version } = this.#peer;
    this.#send(MessageType.VERSION_CHECK, { version, capabilities: CAPABILITIES });
    this.events.online(this.#peer);
  }

  /** Sealed messages leave in the order in which they were published. */
  #sealed(
    seal: EcgSeal,
    type: MessageType,
    payload: unknown,
    flags: number,
    timestamp: bigint,
  ): Promise<void> {
    if (this.peer.version !== Version.V3) {
      throw new EcgRefused(0x203, "only version 3 carries sealed messages");
    }
    const plain = writePayload(payload);
    const { stream } = this.options;
    const done = this.#sealing.then(async () => {
      this.#send(
        type,
        await seal.seal(plain, { stream, type, flags, timestamp }),
        flags,
        timestamp,
      );
    });
    this.#sealing = done.catch(() => {});
    return done;
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

const joined = (a: EcgGap, b: EcgGap): EcgGap => ({
  messages: a.messages + b.messages,
  samples: a.samples + b.samples,
  from: a.from < b.from ? a.from : b.from,
  to: a.to > b.to ? a.to : b.to,
});

/** A field of a map; nothing for whatever is no map. */
function field(payload: Payload, name: string): Payload | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  return Object.hasOwn(payload, name) ? (payload as Record<string, Payload>)[name] : undefined;
}
