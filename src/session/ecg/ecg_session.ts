/**
 * The ECG protocol over one link: monitors publish streams, watchers subscribe to them.
 *
 * A message is checked once. Watchers of its version get the bytes that came; for another version it
 * is framed anew once, however many watch in it.
 *
 * @module
 */
import { covers } from "../../admission.ts";
import type { Channels } from "../../channel/channels.ts";
import { Close } from "../../close.ts";
import type { Limits } from "../../limits.ts";
import type { Accept, Link, LinkEvents, Message } from "../../link/link.ts";
import { log } from "../../log.ts";
import { WireError } from "../../wire/bytes.ts";
import { MAX_BATCH, splitBatch } from "../../wire/ecg/message_batch.ts";
import { ecgCode, ErrorCode, Flag, MessageType, Version } from "../../wire/ecg/codes.ts";
import { encode, open, type OpenMessage, pong } from "../../wire/ecg/ecg_message.ts";
import { type Payload, readPayload } from "../../wire/ecg/payload.ts";
import type { Scale } from "../../wire/ecg/scale.ts";
import type { Host } from "../../host.ts";
import type { Gap } from "../backlog.ts";
import { atExpiry } from "../expiry.ts";
import { Bucket } from "../rate.ts";
import { EcgFault, field, lastSeconds, names } from "./fault.ts";
import type { Publication } from "./publication.ts";
import { Publishing } from "./publishing.ts";
import type { EcgStream, WatchForm } from "./ecg_stream.ts";
import { EcgStreams } from "./ecg_streams.ts";
import { type EcgTerms, StreamNames } from "./terms.ts";
import { Watching } from "./watching.ts";

export type { EcgTerms } from "./terms.ts";

/** What this relay can do beyond the versions, as its hello says. */
const CAPABILITIES = [
  ...["compression", "timestamps", "priority", "broadcast", "ack"],
  ...["history", "gap", "packed-signal", "batch"],
];

const VERSIONS: readonly unknown[] = [Version.V1, Version.V2, Version.V3];
const isVersion = (value: unknown): value is Version => VERSIONS.includes(value);
/** The highest version in a list of any length; 0 where there is none. */
const highest = (offered: readonly unknown[]): number =>
  [Version.V3, Version.V2, Version.V1].find((version) => offered.includes(version)) ?? 0;

/** What only a session sees. */
export interface EcgMeter {
  inflated(wire: number, plain: number): void;
  missed(messages: number): void;
}

/** Everything that ECG sessions share. */
export class EcgSessions {
  readonly streams: EcgStreams;
  /** Hears how well payloads were compressed, and what slow readers lost. */
  meter: EcgMeter | undefined;

  constructor(channels: Channels, readonly limits: Limits, readonly host: Host) {
    this.streams = new EcgStreams(channels, limits, host);
  }

  /** Serves links on these terms. */
  accept(terms: EcgTerms): Accept {
    return (link) => new EcgSession(link, terms, this);
  }
}

/** A message of the past, as its watcher wants it. */
interface Past {
  readonly message: Message;
  readonly publication: Publication;
}

class EcgSession implements LinkEvents {
  readonly #watching: Watching;
  readonly #messages: Bucket;
  readonly #bytes: Bucket;
  readonly #faults: Bucket;
  readonly #publishing: Publishing;
  readonly #names: StreamNames;
  /** What the peer wants to be sent: until it has said anything, what everybody reads. */
  #form: WatchForm = { version: Version.V1, packed: false };
  #batches = false;
  /** Has named its capabilities, so it knows more than the seed's text. */
  #modern = false;
  #spoken = false;
  #stopExpiry: (() => void) | undefined;

  constructor(
    private readonly link: Link,
    private readonly terms: EcgTerms,
    private readonly shared: EcgSessions,
  ) {
    const { limits, host, streams } = shared;
    const burst = limits.burstSeconds;
    const now = () => host.now();
    this.#watching = new Watching(link, terms.grant.tenant, streams, {
      ping: () => this.#encode(MessageType.PING, null),
      gap: (gap, ecgStream) => {
        shared.meter?.missed(gap.messages);
        return this.#encode(MessageType.SUBSCRIPTION_ACK, this.#gap(gap, ecgStream));
      },
      sealed: (stream) =>
        this.#encode(MessageType.SUBSCRIPTION_ACK, {
          stream,
          status: "encrypted",
          message: "This stream is encrypted, which only version 3 carries.",
        }),
    });
    this.#messages = new Bucket(limits.messagesPerSecond, burst * limits.messagesPerSecond, now);
    this.#bytes = new Bucket(limits.bytesPerSecond, burst * limits.bytesPerSecond, now);
    this.#faults = new Bucket(limits.faultsPerSecond, burst * limits.faultsPerSecond, now);
    this.#names = new StreamNames(terms.stream, limits.streamNameBytes);
    this.#publishing = new Publishing(terms, this.#names, streams, this.#bytes);
    this.#tell(MessageType.PROTOCOL_NEGOTIATION, {
      supported_versions: VERSIONS,
      capabilities: CAPABILITIES,
      max_message_size: limits.payloadBytes,
    });
    const { expires } = terms.grant;
    if (expires !== undefined) this.#stopExpiry = atExpiry(host, expires, () => this.#expire());
  }

  message(message: Message): void {
    if (!this.#watching.outbox.open) return;
    try {
      for (const one of this.#batches ? splitBatch(message) : [message]) this.#take(one);
    } catch (error) {
      // Of a batch that cannot be split; each message in it answers for itself.
      this.#answer(error);
    }
  }

  text(): void {
    this.#refuse(new EcgFault(ErrorCode.INVALID_DATA, "binary messages only"));
    this.#watching.outbox.close(Close.text);
  }

  drained(): void {
    this.#watching.drained();
  }

  closed(): void {
    this.#stopExpiry?.();
    this.#watching.leave();
    this.#publishing.leave();
  }

  #take(message: Message): void {
    if (!this.#watching.outbox.open) return;
    try {
      // The answer to a PING of ours is not counted: we asked for it.
      const asked = message[1] === MessageType.PONG && this.#watching.asking;
      if (!asked && !this.#messages.take() || !this.#bytes.take(message.length)) {
        throw new EcgFault(ErrorCode.RATE_LIMITED);
      }
      const opened = open(message, this.shared.limits.payloadBytes);
      const { body, msgpack } = opened;
      if (msgpack && msgpack !== body) this.shared.meter?.inflated(body.length, msgpack.length);
      if (!this.#spoken) this.#speak({ ...this.#form, version: opened.version });
      this.#dispatch(message, opened);
    } catch (error) {
      this.#answer(error);
    }
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
        return this.#subscribe(this.#names.ofRequest(payload), lastSeconds(payload));
      case MessageType.UNSUBSCRIBE:
        return this.#unsubscribe(this.#names.ofRequest(payload));
      case MessageType.PING:
        return this.#watching.outbox.send(
          pong(opened, this.#form.version, this.shared.host.unixMicros()),
        );
      case MessageType.PONG:
        return this.#watching.answered();
      case MessageType.VERSION_CHECK:
      case MessageType.PROTOCOL_NEGOTIATION:
        return this.#choose(payload);
    }
    // HEARTBEAT, SUBSCRIPTION_ACK and ERROR tell the relay that the peer is there. It knows now.
  }

  #publish(message: Message, opened: OpenMessage, payload: Payload): void {
    this.#publishing.publish(message, opened, payload, this.#watching);
    if (!(opened.flags & Flag.ACK_REQUIRED)) return;
    this.#tell(MessageType.SUBSCRIPTION_ACK, {
      status: "ok",
      ack_type: opened.type,
      ack_timestamp: opened.timestamp,
    });
  }

  #subscribe(stream: string, seconds: number): void {
    const { grant } = this.terms;
    const watching = this.#watching;
    // The same answer whether there is such a stream or not.
    if (!covers(grant.watch, stream)) throw new EcgFault(ErrorCode.PERMISSION_DENIED, stream);
    const most = this.shared.limits.streamsPerLink;
    if (!watching.has(stream) && watching.size >= most) {
      throw new EcgFault(ErrorCode.PERMISSION_DENIED, `at most ${most} streams on one link`);
    }
    const { remote } = this.link;
    log.debug("ecg link from {remote} watches {stream}", { remote, stream });
    let past: readonly Past[] = [];
    watching.subscribe(stream, this.#form, this.#modern, (ecgStream) => {
      past = this.#past(ecgStream, seconds);
      this.#tell(MessageType.SUBSCRIPTION_ACK, {
        stream,
        status: "subscribed",
        ...(seconds > 0 ? { history: past.length } : {}),
        ...this.#scales(ecgStream),
      });
    }, () => {
      for (const { message, publication } of past) {
        watching.deliver(message, publication.delivery, publication.extent);
      }
    });
  }

  /** The last seconds of a stream in the peer's form; they count as bytes that it asked for. */
  #past(ecgStream: EcgStream, seconds: number): Past[] {
    if (seconds === 0) return [];
    const { history } = this.shared.streams;
    const past = [];
    for (
      const publication of history.last(this.terms.grant.tenant, ecgStream.key, 1000 * seconds)
    ) {
      const message = this.#inForm(publication);
      if (message && this.#bytes.take(message.length)) past.push({ message, publication });
    }
    return past;
  }

  /** A message as the peer wants it. Nothing where that cannot be: unpacked it may be too long. */
  #inForm(publication: Publication): Message | undefined {
    const { version, packed } = this.#form;
    try {
      const limit = this.shared.limits.payloadBytes;
      const plain = packed ? publication : publication.unpacked(limit, version !== Version.V1);
      return plain.as(version);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return undefined;
    }
  }

  #scales(ecgStream: EcgStream | undefined): { scales?: readonly Scale[] } {
    const scales = this.#form.packed ? ecgStream?.scales ?? [] : [];
    return scales.length > 0 ? { scales } : {};
  }

  #gap({ source, messages, count, from, to, explains }: Gap, ecgStream: EcgStream | undefined) {
    const scales = explains ? this.#scales(ecgStream) : {};
    return { stream: source, status: "gap", messages, samples: count, from, to, ...scales };
  }

  #unsubscribe(stream: string): void {
    const { remote } = this.link;
    log.debug("ecg link from {remote} left {stream}", { remote, stream });
    this.#watching.unsubscribe(stream);
    this.#tell(MessageType.SUBSCRIPTION_ACK, { stream, status: "unsubscribed" });
  }

  /** The peer says what it wants, whatever version it says it in. */
  #choose(payload: Payload): void {
    const offered = field(payload, "supported_versions");
    const version = field(payload, "version") ??
      (Array.isArray(offered) ? highest(offered) : this.#form.version);
    if (!isVersion(version)) {
      // A map may have a `toString` of its own, so nothing but a number is made a text.
      const said = typeof version === "number" ? version : "that is no number";
      throw new EcgFault(ErrorCode.INVALID_VERSION, `version ${said}`);
    }
    const capabilities = names(payload, "capabilities");
    this.#modern = field(payload, "capabilities") !== undefined;
    this.#batches = capabilities.includes("batch");
    this.#watching.outbox.batchBytes = this.#batches ? MAX_BATCH : 0;
    this.#speak({ version, packed: capabilities.includes("packed-signal") });
  }

  /** Settles the form; subscriptions move over. */
  #speak(form: WatchForm): void {
    this.#spoken = true;
    const { version, packed } = this.#form;
    if (form.version === version && form.packed === packed) return;
    this.#form = form;
    this.#watching.reform(form);
    if (form.version === version) return;
    log.debug("ecg link from {remote} speaks version {version}", {
      ...form,
      remote: this.link.remote,
    });
  }

  /** Its token has ended. */
  #expire(): void {
    this.#refuse(new EcgFault(ErrorCode.AUTHENTICATION_FAILED, "the token has expired"));
    this.#watching.outbox.close(Close.unauthorized);
  }

  #answer(error: unknown): void {
    if (error instanceof EcgFault) this.#refuse(error);
    else if (error instanceof WireError) this.#refuse(new EcgFault(ecgCode(error), error.message));
    else throw error;
  }

  /** Answers a fault and goes on, unless there have been too many. */
  #refuse({ code, help, message: detail, fields }: EcgFault): void {
    if (!this.#faults.take()) return this.#watching.outbox.close(Close.tooFast);
    log.debug("ecg link from {remote} refused {code}: {detail}", {
      code: `0x${code.toString(16)}`,
      detail: detail || help,
      remote: this.link.remote,
    });
    const message = help + (detail && ` (${detail})`);
    this.#tell(MessageType.ERROR, { code, message, ...fields });
  }

  #tell(type: MessageType, payload: unknown): void {
    this.#watching.outbox.send(this.#encode(type, payload));
  }

  #encode(type: MessageType, payload: unknown): Message {
    const { version } = this.#form;
    const timestamp = version === Version.V3 ? this.shared.host.unixMicros() : null;
    return encode({ version, type, timestamp, payload });
  }
}
