/**
 * The ECG client: a monitor that publishes one stream, or a watcher that follows it.
 *
 * ```ts
 * const watcher = EcgClient.open({ url: "ws://127.0.0.1:8080", stream: "bed-3" });
 * for await (const { payload } of await watcher.watch()) draw(payload.signal);
 *
 * const monitor = EcgClient.open({ url: "ws://127.0.0.1:8080", stream: "bed-3", scale: {
 *   sampling_rate: 360,
 *   leads: [{ name: "MLII", unit: "mV", gain: 200, baseline: 1024 }],
 * } });
 * await monitor.publishSamples([Int32Array.of(995, 996, 994)]);
 * await monitor.publish({ signal: new Float64Array([0.1, 0.2]), sampling_rate: 360 });
 * ```
 *
 * @module
 */
import { type Host, host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import { utf8Bytes } from "../../wire/bytes.ts";
import { Version } from "../../wire/ecg/codes.ts";
import type { Scale } from "../../wire/ecg/scale.ts";
import {
  Connection,
  ConnectionClosed,
  type ConnectOptions,
  type OfflineStatus,
} from "../connection.ts";
import { addressOf } from "../address.ts";
import { ClientError } from "../client_error.ts";
import { Queue } from "../queue.ts";
import { tell } from "../tell.ts";
import { ClockEstimate, type ClockOffset } from "./clock_offset.ts";
import { EcgConversation } from "./conversation.ts";
import type { EcgGap, EcgMessage, EcgPeer, EcgSeal, Pong, PublishOptions } from "./messages.ts";
import { SamplePacker } from "./packer.ts";

export interface EcgOptions extends ConnectOptions {
  /** Name of the stream: 1 to 127 bytes of UTF-8, and no `.` or `..` between its slashes. */
  readonly stream: string;
  /** Highest protocol version to use; the relay's highest may be lower. 3 unless given. */
  readonly version?: Version;
  /** Messages that may wait for a slow `for await` loop, and 64 MiB of them. 10,000 when not given. */
  readonly queue?: number;
  /** What the integers given to `publishSamples` mean. */
  readonly scale?: Omit<Scale, "id">;
  /** Seals everything that is published, and opens what comes sealed. V3 only. */
  readonly seal?: EcgSeal;
}

export interface WatchOptions {
  /** How much of the past to get first, in seconds; the relay keeps about 10. */
  readonly lastSeconds?: number;
}

/** Something worth knowing that is nobody's answer. */
export type EcgStatus =
  | { readonly kind: "online"; readonly peer: EcgPeer }
  | OfflineStatus
  /** The relay left something out because we read too slowly. */
  | { readonly kind: "gap"; readonly gap: EcgGap }
  /** An ERROR of the relay, or bytes from it that made no sense. */
  | { readonly kind: "fault"; readonly code: number; readonly message: string };

/** An estimate with a smaller error is good enough not to ask again. */
const GOOD_MICROS = 2_000n;
const CLOCK_PINGS = 4;
/** Bytes of a stream's name. */
const MAX_NAME = 127;

export class EcgClient {
  readonly #options: EcgOptions;
  readonly #host: Host;
  readonly #connection: Connection;
  readonly #loops = new Set<Queue<EcgMessage>>();
  readonly #listeners = new Set<(status: EcgStatus) => void>();
  readonly #clock = new ClockEstimate();
  readonly #packer: SamplePacker | undefined;
  #online = Promise.withResolvers<EcgConversation>();
  #ended: ConnectionClosed | undefined;

  private constructor(options: EcgOptions) {
    this.#options = options;
    this.#host = options.host ?? systemHost;
    this.#online.promise.catch(() => {});
    this.#packer = options.scale && new SamplePacker(options.scale, this.#host);
    const url = addressOf(options.url, ["ecg", ...segmentsOf(options.stream)]);
    this.#connection = new Connection({ ...options, url }, (link) => this.#greet(link), {
      offline: (code, reason, retryMs) => this.#tell({ kind: "offline", code, reason, retryMs }),
      ended: (why) => this.#end(why),
    });
  }

  /**
   * Connects, and goes on connecting until closed. Throws `BAD_NAME` and `BAD_ADDRESS` for what no
   * stream and no relay can have.
   */
  static open(options: EcgOptions): EcgClient {
    return new EcgClient(options);
  }

  /** The relay, once the version is settled. Rejects when the client ends before. */
  get ready(): Promise<EcgPeer> {
    return this.#online.promise.then((conversation) => conversation.peer);
  }

  /** Publishes one message; while offline it waits for the relay. Rejects with `EcgRefused`. */
  async publish(payload: unknown, options: PublishOptions = {}): Promise<void> {
    const conversation = await this.#online.promise;
    await conversation.publish(payload, options);
  }

  /**
   * Publishes raw samples, one array for each lead of the `scale` given at the start: packed where
   * the relay knows how, else as floats. `fields` go into the payload beside them.
   */
  async publishSamples(
    leads: readonly Int32Array<ArrayBuffer>[],
    fields: Readonly<Record<string, unknown>> = {},
    options: PublishOptions = {},
  ): Promise<void> {
    const packer = this.#packer;
    if (!packer) throw new TypeError("publishSamples needs the option `scale`");
    const conversation = await this.#online.promise;
    const sealed = this.#options.seal !== undefined;
    const signal = sealed || conversation.can("packed-signal")
      ? packer.packed(leads, conversation, sealed)
      : packer.unpacked(leads);
    await conversation.publish({ ...fields, ...signal }, options);
  }

  /**
   * Subscribes, and answers the messages from then on, over reconnects too. Rejects with
   * `EcgRefused` when the relay does not allow it.
   */
  async watch(options: WatchOptions = {}): Promise<AsyncIterableIterator<EcgMessage>> {
    const conversation = await this.#online.promise;
    const loop = new Queue<EcgMessage>(this.#options.queue ?? 10_000, () => this.#forget(loop));
    // Before the answer: what comes right behind it belongs to the loop.
    this.#loops.add(loop);
    try {
      await conversation.subscribe(options.lastSeconds);
    } catch (error) {
      this.#loops.delete(loop);
      throw error;
    }
    return loop;
  }

  /** Milliseconds to the relay and back. */
  async ping(): Promise<number> {
    const { sent, received } = await this.#ping();
    return Number(received - sent) / 1000;
  }

  /**
   * The relay's clock minus ours, in microseconds, with a bound of its error: half of the shortest
   * round trip among the last few, and what clocks may have drifted since. Nothing below V3, whose
   * messages carry no time.
   */
  async clock(): Promise<ClockOffset | undefined> {
    const known = this.#clock.read(this.#host.unixMicros());
    if (known && known.error < GOOD_MICROS) return known;
    for (let i = 0; i < CLOCK_PINGS; i++) await this.#ping();
    return this.#clock.read(this.#host.unixMicros());
  }

  /** Hears of every {@linkcode EcgStatus}. Answers how to stop. */
  onStatus(listener: (status: EcgStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends. Safe to call again. */
  close(): void {
    this.#connection.close();
  }

  async #ping(): Promise<Pong> {
    const conversation = await this.#online.promise;
    const pong = await conversation.ping();
    if (pong.remote !== null) this.#clock.add(pong.sent, pong.received, pong.remote);
    return pong;
  }

  #greet(link: Link): EcgConversation {
    const { stream, version = Version.V3, seal } = this.#options;
    const conversation = new EcgConversation(link, { stream, version, host: this.#host, seal }, {
      online: (peer) => {
        this.#online.resolve(conversation);
        this.#tell({ kind: "online", peer });
        if (this.#loops.size > 0) conversation.subscribe().catch(() => {});
      },
      message: (message) => {
        for (const loop of this.#loops) loop.push(message);
      },
      gap: (gap) => this.#tell({ kind: "gap", gap }),
      fault: (code, message) => {
        // What was refused may have brought the scale.
        this.#packer?.repeat();
        this.#tell({ kind: "fault", code, message });
      },
      lost: () => {
        if (!this.#ended) this.#awaitOnline();
      },
    });
    return conversation;
  }

  #forget(loop: Queue<EcgMessage>): void {
    this.#loops.delete(loop);
    if (this.#loops.size > 0 || this.#ended) return;
    // When the link is gone by then, so is the subscription.
    this.#online.promise.then((conversation) => conversation.unsubscribe()).catch(() => {});
  }

  #awaitOnline(): void {
    const before = this.#online;
    this.#online = Promise.withResolvers();
    this.#online.promise.catch(() => {});
    // Whoever still waits for the link that was lost waits for the next one.
    before.resolve(this.#online.promise);
  }

  #tell(status: EcgStatus): void {
    tell(this.#listeners, status);
  }

  #end(why: ConnectionClosed): void {
    this.#ended = why;
    this.#awaitOnline();
    this.#online.reject(why);
    const error = why.code === 1000 ? undefined : why;
    for (const loop of this.#loops) loop.end(error);
    this.#loops.clear();
  }
}

/** Slashes in a name are those of the path. */
function segmentsOf(stream: string): string[] {
  const { length } = utf8Bytes(stream);
  if (length === 0 || length > MAX_NAME) {
    throw new ClientError("BAD_NAME", `a stream's name has 1 to ${MAX_NAME} bytes, not ${length}`);
  }
  return stream.split("/");
}
