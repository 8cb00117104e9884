/**
 * The ECG protocol over one link: monitors publish streams, watchers subscribe to them.
 *
 * A message is checked once. Watchers of its version get the bytes that came; for another version it
 * is framed anew once, however many watch in it.
 *
 * @module
 */
import { covers, type Grant } from "../../admission.ts";
import type { Channels, Delivery, Member, Membership } from "../../channel/channels.ts";
import { Close } from "../../close.ts";
import type { Limits } from "../../limits.ts";
import type { Accept, Link, LinkEvents, Message } from "../../link/link.ts";
import { log } from "../../log.ts";
import { utf8Bytes, WireError } from "../../wire/bytes.ts";
import { ecgCode, ErrorCode, errorText, Flag, MessageType, Version } from "../../wire/ecg/codes.ts";
import { encode, open, type OpenMessage, reframe } from "../../wire/ecg/message.ts";
import type { Key, ValueMap } from "../../wire/ecg/msgpack.ts";
import { type Payload, readPayload } from "../../wire/ecg/payload.ts";
import type { Host } from "../../host.ts";
import { Outbox } from "../outbox.ts";
import { Bucket } from "../rate.ts";

/** What a request to `/ecg` settled before the upgrade. */
export interface EcgTerms {
  readonly grant: Grant;
  /** The stream in the path; it goes before what payloads say. */
  readonly stream?: string;
}

/** What this relay can do beyond the versions, as its hello says. */
const CAPABILITIES = ["compression", "timestamps", "priority", "broadcast", "ack"];

/** Where a message without a stream in path or payload goes. */
const DEFAULT_STREAM = "default";

const VERSIONS = [Version.V1, Version.V2, Version.V3] as const;

/** Everything that ECG sessions share. */
export class EcgSessions {
  /** Hears how well payloads were compressed. */
  meter: { inflated(wire: number, plain: number): void } | undefined;

  constructor(readonly channels: Channels, readonly limits: Limits, readonly host: Host) {}

  /** Serves links on these terms. */
  accept(terms: EcgTerms): Accept {
    return (link) => new EcgSession(link, terms, this);
  }

  /** To everybody in these channels (one for each version), as each version wants it. */
  publish(
    channelOf: (version: Version) => string,
    message: Message,
    opened: OpenMessage,
    from: Member,
    delivery: Delivery,
  ): void {
    for (const version of VERSIONS) {
      const channel = this.channels.get(channelOf(version));
      if (!channel) continue;
      if (version === opened.version) channel.publish(message, from, delivery);
      else if (opened.msgpack !== null) {
        channel.publish(reframe(opened, version, this.host.unixMicros()), from, delivery);
      }
    }
  }
}

// A tenant holds no "/", so neither tenants nor the two kinds of channel can meet.
const streamChannel = (tenant: string, stream: string) => (version: Version) =>
  `ecg${version}:${tenant}/${stream}`;
const tenantChannel = (tenant: string) => (version: Version) => `ecg${version}:${tenant}`;

/** A fault of the peer's, with its code of the protocol. */
class EcgFault extends Error {
  constructor(readonly code: ErrorCode, detail = "") {
    super(detail);
  }
}

class EcgSession implements LinkEvents, Member {
  readonly #outbox: Outbox;
  readonly #messages: Bucket;
  readonly #bytes: Bucket;
  readonly #faults: Bucket;
  /** Streams subscribed to, and the way out of each. */
  readonly #subscriptions = new Map<string, Membership>();
  #broadcasts: Membership | undefined;
  /** What the peer wants to be sent: until it has said anything, what everybody reads. */
  #version: Version = Version.V1;
  #spoken = false;

  constructor(
    readonly link: Link,
    private readonly terms: EcgTerms,
    private readonly shared: EcgSessions,
  ) {
    const { limits, host } = shared;
    const burst = limits.burstSeconds;
    const clock = () => host.now();
    this.#outbox = new Outbox(link, limits.bufferedBytes);
    this.#messages = new Bucket(limits.messagesPerSecond, burst * limits.messagesPerSecond, clock);
    this.#bytes = new Bucket(limits.bytesPerSecond, burst * limits.bytesPerSecond, clock);
    this.#faults = new Bucket(limits.faultsPerSecond, burst * limits.faultsPerSecond, clock);
    this.#tell(MessageType.PROTOCOL_NEGOTIATION, {
      supported_versions: VERSIONS,
      capabilities: CAPABILITIES,
      max_message_size: limits.payloadBytes,
    });
  }

  deliver(message: Message, delivery: Delivery): void {
    this.#outbox.send(message, delivery);
  }

  message(message: Message): void {
    if (!this.#outbox.open) return;
    try {
      if (!this.#messages.take() || !this.#bytes.take(message.length)) {
        throw new EcgFault(ErrorCode.RATE_LIMITED);
      }
      const opened = open(message, this.shared.limits.payloadBytes);
      const { body, msgpack } = opened;
      if (msgpack && msgpack !== body) this.shared.meter?.inflated(body.length, msgpack.length);
      if (!this.#spoken) this.#speak(opened.version);
      this.#dispatch(message, opened);
    } catch (error) {
      this.#answer(error);
    }
  }

  text(): void {
    this.#refuse(ErrorCode.INVALID_DATA, "binary messages only");
    this.#outbox.close(Close.text);
  }

  drained(): void {
    for (const membership of this.#subscriptions.values()) membership.drained();
    this.#broadcasts?.drained();
  }

  closed(code: number): void {
    for (const membership of this.#subscriptions.values()) membership.leave();
    this.#subscriptions.clear();
    this.#broadcasts?.leave();
    log.debug("ecg link closed with {code}", { code, remote: this.link.remote });
  }

  #dispatch(message: Message, opened: OpenMessage): void {
    const payload = opened.msgpack && readPayload(opened.msgpack);
    switch (opened.type) {
      case MessageType.ECG_DATA:
      case MessageType.ANOMALY_ALERT:
      case MessageType.PREDICTION_RESULT:
      case MessageType.FEATURE_DATA:
        return this.#publish(message, opened, payload);
      case MessageType.SUBSCRIBE:
        return this.#subscribe(this.#named(payload));
      case MessageType.UNSUBSCRIBE:
        return this.#unsubscribe(this.#named(payload));
      case MessageType.PING:
        return this.#tell(MessageType.PONG, payload);
      case MessageType.VERSION_CHECK:
      case MessageType.PROTOCOL_NEGOTIATION:
        return this.#choose(payload);
    }
    // HEARTBEAT, PONG, SUBSCRIPTION_ACK and ERROR tell the relay that the peer is there. It knows now.
  }

  #publish(message: Message, opened: OpenMessage, payload: Payload): void {
    if (opened.msgpack !== null) checkData(opened.type, payload);
    const { grant } = this.terms;
    const stream = this.#streamOf(opened, payload);
    const broadcast = (opened.flags & Flag.BROADCAST) !== 0;
    if (!covers(grant.publish, stream) || (broadcast && !grant.broadcast)) {
      throw new EcgFault(ErrorCode.PERMISSION_DENIED, broadcast ? "BROADCAST" : stream);
    }
    const alert = (opened.flags & Flag.PRIORITY) !== 0 || opened.type === MessageType.ANOMALY_ALERT;
    const channelOf = broadcast ? tenantChannel(grant.tenant) : streamChannel(grant.tenant, stream);
    this.shared.publish(channelOf, message, opened, this, alert ? "alert" : "stream");
    if (opened.flags & Flag.ACK_REQUIRED) {
      this.#tell(MessageType.SUBSCRIPTION_ACK, {
        status: "ok",
        ack_type: opened.type,
        ack_timestamp: opened.timestamp,
      });
    }
  }

  /** The path's, else the payload's, else the default. What is sealed cannot name one. */
  #streamOf(opened: OpenMessage, payload: Payload): string {
    const { stream } = this.terms;
    if (stream !== undefined) return stream;
    if (opened.msgpack === null) {
      throw new EcgFault(ErrorCode.INVALID_DATA, "ENCRYPTED needs the stream in the path");
    }
    const named = field(payload, "stream");
    return named === undefined ? DEFAULT_STREAM : this.#checkName(named);
  }

  /** The stream that a SUBSCRIBE or UNSUBSCRIBE names. */
  #named(payload: Payload): string {
    const named = field(payload, "stream");
    const { stream } = this.terms;
    if (named === undefined) {
      if (stream === undefined) throw new EcgFault(ErrorCode.MISSING_FIELDS, "stream");
      return stream;
    }
    if (stream !== undefined && named !== stream) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `the path names the stream "${stream}"`);
    }
    return this.#checkName(named);
  }

  #checkName(name: Payload): string {
    const most = this.shared.limits.streamNameBytes;
    if (typeof name !== "string" || name === "" || utf8Bytes(name).length > most) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `a stream's name has 1 to ${most} bytes`);
    }
    return name;
  }

  #subscribe(stream: string): void {
    const { grant } = this.terms;
    if (!covers(grant.watch, stream)) throw new EcgFault(ErrorCode.PERMISSION_DENIED, stream);
    if (!this.#subscriptions.has(stream)) {
      const most = this.shared.limits.streamsPerLink;
      if (this.#subscriptions.size >= most) {
        throw new EcgFault(ErrorCode.PERMISSION_DENIED, `at most ${most} streams on one link`);
      }
      this.#join(stream);
    }
    this.#tell(MessageType.SUBSCRIPTION_ACK, { stream, status: "subscribed" });
  }

  #unsubscribe(stream: string): void {
    this.#subscriptions.get(stream)?.leave();
    this.#subscriptions.delete(stream);
    if (this.#subscriptions.size === 0) {
      this.#broadcasts?.leave();
      this.#broadcasts = undefined;
    }
    this.#tell(MessageType.SUBSCRIPTION_ACK, { stream, status: "unsubscribed" });
  }

  #join(stream: string): void {
    const { channels } = this.shared;
    const { tenant } = this.terms.grant;
    const name = streamChannel(tenant, stream)(this.#version);
    this.#subscriptions.set(stream, channels.join(name, this));
    this.#broadcasts ??= channels.join(tenantChannel(tenant)(this.#version), this);
  }

  /** The peer says which version it wants, whatever version it says it in. */
  #choose(payload: Payload): void {
    const version = field(payload, "version");
    if (version === undefined) return;
    if (version !== 1 && version !== 2 && version !== 3) {
      throw new EcgFault(ErrorCode.INVALID_VERSION, `version ${String(version)}`);
    }
    this.#speak(version);
  }

  /** Settles the version; subscriptions move over. */
  #speak(version: Version): void {
    this.#spoken = true;
    log.debug("ecg link speaks version {version}", { version, remote: this.link.remote });
    if (version === this.#version) return;
    this.#version = version;
    this.#broadcasts?.leave();
    this.#broadcasts = undefined;
    for (const [stream, membership] of [...this.#subscriptions]) {
      membership.leave();
      this.#join(stream);
    }
  }

  #answer(error: unknown): void {
    if (error instanceof EcgFault) this.#refuse(error.code, error.message);
    else if (error instanceof WireError) this.#refuse(ecgCode(error), error.message);
    else throw error;
  }

  /** Answers a fault and goes on, unless there have been too many. */
  #refuse(code: ErrorCode, detail: string): void {
    if (!this.#faults.take()) return this.#outbox.close(Close.tooFast);
    log.debug("ecg fault {code}: {detail}", { code, detail, remote: this.link.remote });
    const message = errorText[code] + (detail && ` (${detail})`);
    this.#tell(MessageType.ERROR, { code, message });
  }

  #tell(type: MessageType, payload: unknown): void {
    const version = this.#version;
    const timestamp = version === Version.V3 ? this.shared.host.unixMicros() : null;
    this.#outbox.send(encode({ version, type, timestamp, payload }));
  }
}

const isMap = (payload: Payload): payload is ValueMap<never> | Map<Key, Payload> =>
  payload instanceof Map ||
  (typeof payload === "object" && payload !== null &&
    Object.getPrototypeOf(payload) === Object.prototype);

/** A field of a payload, if that is a map and has it. */
function field(payload: Payload, name: string): Payload | undefined {
  if (!isMap(payload)) return undefined;
  if (payload instanceof Map) return payload.get(name);
  return Object.hasOwn(payload, name) ? payload[name] : undefined;
}

/** ECG_DATA is a map with a signal in it. What others carry is between their ends. */
function checkData(type: MessageType, payload: Payload): void {
  if (type !== MessageType.ECG_DATA) return;
  if (!isMap(payload)) throw new EcgFault(ErrorCode.INVALID_DATA, "the payload is not a map");
  if (field(payload, "signal") === undefined) {
    throw new EcgFault(ErrorCode.MISSING_FIELDS, "signal");
  }
}
