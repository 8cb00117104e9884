/**
 * What all ECG sessions share: streams, their last seconds, and the round of PINGs to watchers that
 * the runtime's topics serve.
 *
 * @module
 */
import type { Channels, Member } from "../../channel/channels.ts";
import { History } from "../../channel/history.ts";
import type { Host } from "../../host.ts";
import type { Limits } from "../../limits.ts";
import type { Publication } from "./publication.ts";
import { EcgStream, makeReady, type Send } from "./ecg_stream.ts";

/** A watcher that is served without counting, and asked now and then whether it keeps up. */
export interface Trusted {
  /** Looks whether the last PING was answered in time; sends the next one if `ask`. */
  check(ask: boolean): void;
}

/** Between two rounds of PINGs, and watchers asked in a second at most. */
const ROUND_MS = 250;
const ASKED_PER_SECOND = 5_000;

export class EcgStreams {
  readonly #byKey = new Map<string, EcgStream>();
  readonly #trusted = new Set<Trusted>();
  readonly history: History<Publication>;
  #publishedSinceRound = false;
  #round: (() => void) | undefined;

  constructor(readonly channels: Channels, readonly limits: Limits, readonly host: Host) {
    this.history = new History(
      {
        ms: 1000 * limits.historySeconds,
        bytes: limits.historyBytes,
        bytesInAll: limits.historyBytesInAll,
      },
      () => host.now(),
    );
  }

  /** Streams that somebody watches or explains. */
  get size(): number {
    return this.#byKey.size;
  }

  /** A stream for one more user, who must release it. */
  enter(tenant: string, stream: string): EcgStream {
    const key = streamKey(tenant, stream);
    let ecgStream = this.#byKey.get(key);
    if (!ecgStream) {
      ecgStream = new EcgStream(key, stream, this.channels, this.limits.payloadBytes);
      this.#byKey.set(key, ecgStream);
    }
    ecgStream.users++;
    return ecgStream;
  }

  release(ecgStream: EcgStream): void {
    if (--ecgStream.users === 0) this.#byKey.delete(ecgStream.key);
  }

  /** A stream, if anybody needs it. */
  find(tenant: string, stream: string): EcgStream | undefined {
    return this.#byKey.get(streamKey(tenant, stream));
  }

  /** Makes ready for the watchers of a stream, and for its history. Throws `WireError`. */
  ready(tenant: string, stream: string, publication: Publication, from: Member): Send {
    const key = streamKey(tenant, stream);
    const send = this.#byKey.get(key)?.ready(publication, from);
    return () => {
      this.history.push(tenant, key, publication, publication.bytes);
      send?.();
      this.#published();
    };
  }

  /**
   * Makes ready for every watcher of a tenant. None of them need know the scale, so nothing stays
   * packed. Throws `WireError`.
   */
  readyForAll(tenant: string, publication: Publication, from: Member): Send {
    const limit = this.limits.payloadBytes;
    const send = makeReady(this.channels, tenant, publication, from, limit, false);
    return () => {
      send();
      this.#published();
    };
  }

  trust(watcher: Trusted): void {
    this.#trusted.add(watcher);
  }

  distrust(watcher: Trusted): void {
    this.#trusted.delete(watcher);
  }

  #published(): void {
    this.#publishedSinceRound = true;
    if (!this.#round && this.#trusted.size > 0) this.#schedule();
  }

  #schedule(): void {
    const ms = Math.max(ROUND_MS, 1000 * this.#trusted.size / ASKED_PER_SECOND);
    this.#round = this.host.after(ms, () => this.#ask());
  }

  /** One round more after the last message, so that late answers are seen. */
  #ask(): void {
    this.#round = undefined;
    const ask = this.#publishedSinceRound;
    this.#publishedSinceRound = false;
    for (const watcher of this.#trusted) watcher.check(ask);
    if (ask && this.#trusted.size > 0) this.#schedule();
  }
}

// A tenant holds no "/", so tenants and streams cannot be taken for each other.
const streamKey = (tenant: string, stream: string): string => `${tenant}/${stream}`;
