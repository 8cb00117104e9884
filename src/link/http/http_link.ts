/**
 * A link over HTTP: RFC 6455 frames in long-lived responses one way, in numbered requests the other.
 * It outlives the connections that carry it, by a grace time each.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import type { Clock } from "../clock.ts";
import { LOST } from "../endpoint.ts";
import { FramedLink } from "../framed_link.ts";
import type { Accept } from "../link.ts";
import { Downstream } from "./downstream.ts";
import { Upstream } from "./upstream.ts";

/** What one stream may cost, and how long it waits. */
export interface HttpLinkLimits {
  /** Payload bytes of one message, and of one frame. */
  readonly httpMessageBytes: number;
  /** Frames of one message. */
  readonly httpFragments: number;
  /** Pieces that may come before their turn. */
  readonly httpPostsAhead: number;
  /** Milliseconds that a stream waits for a response to carry it. */
  readonly httpGraceMs: number;
  /** Unacknowledged bytes at which the stream is given up; sessions act long before. */
  readonly httpKeptBytes: number;
  readonly idleSeconds: number;
}

/** The close code of a page that is left (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001;

export class HttpLink {
  /** What the session holds. */
  readonly #link: FramedLink;
  readonly #downstream: Downstream;
  readonly #upstream: Upstream;
  #stopGrace: () => void = () => {};
  /** The stream has ended. */
  #over = false;
  /** Our close is on its way. */
  #closing = false;
  #lost = false;
  /** Requests that bring a piece at this moment. */
  posting = 0;

  /** `gone` is called when nobody can ask for anything here any more. */
  constructor(
    remote: string,
    accept: Accept,
    private readonly limits: HttpLinkLimits,
    private readonly clock: Clock,
    private readonly gone: () => void,
  ) {
    const most = limits.httpMessageBytes;
    this.#upstream = new Upstream(limits.httpPostsAhead);
    this.#downstream = new Downstream(() => {
      if (!this.#over) this.#wait();
    });
    // deno-lint-ignore no-this-alias
    const stream = this;
    this.#link = new FramedLink(
      {
        remote,
        get buffered() {
          return stream.buffered;
        },
        write: (frame) => this.#write(frame),
        closing: () => {
          this.#closing = true;
          // No frame follows ours, so the response that brings it has nothing to wait for.
          this.#downstream.end();
        },
        end: (code) => this.#ended(code),
      },
      accept,
      {
        limits: { maxFrame: most, maxMessage: most, maxFragments: limits.httpFragments },
        idleMs: 2_000 * limits.idleSeconds,
        clock,
      },
    );
    this.#wait();
  }

  /** Bytes that the client has not acknowledged. */
  get buffered(): number {
    return this.#downstream.buffered;
  }

  /** The number of the piece that is waited for. */
  get next(): number {
    return this.#upstream.next;
  }

  /** Whether a piece of this number lies within the window. */
  admits(number: number): boolean {
    return this.#upstream.admits(number);
  }

  /** Nothing can be asked for here any more. */
  get lost(): boolean {
    return this.#lost;
  }

  /** A piece came. */
  post(number: number, piece: Bytes): void {
    this.#link.heard();
    for (const turn of this.#upstream.take(number, piece)) this.#link.receive(turn);
  }

  /** The client has so many bytes. Answers false when that cannot be; the stream is lost then. */
  acknowledge(position: number): boolean {
    const before = this.buffered;
    if (!this.#downstream.acknowledge(position)) {
      this.cut("more bytes acknowledged than were sent");
      return false;
    }
    this.#link.heard();
    if (before > 0 && this.buffered === 0) this.#link.drained();
    return true;
  }

  /**
   * The body of a response that begins at `position`. `undefined` when there can be none: the stream
   * is lost then, unless its client has read all of it, the close included.
   */
  attach(position: number, poll: boolean): ReadableStream<Bytes> | undefined {
    const before = this.buffered;
    const body = this.#downstream.attach(position, poll);
    if (!body) {
      if (!this.#downstream.done) this.cut("asked for bytes that are gone");
      return undefined;
    }
    this.#link.heard();
    if (!this.#over) this.#stopGrace();
    if (before > 0 && this.buffered === 0) this.#link.drained();
    // Something to see at once: it tells the client that no proxy keeps the response back. A short
    // response would end with it, and the next one too.
    if (this.buffered === 0 && !poll) this.#link.ping(new Uint8Array(0));
    return body;
  }

  /** The client goes and cannot wait for a closing handshake. */
  leave(): void {
    this.cut("the page was left", GOING_AWAY);
  }

  /** Ends everything at once. */
  cut(reason = "nobody has come back for the stream", code = LOST): void {
    this.#link.lost(reason, code);
    this.#forget();
  }

  #write(frame: Bytes): void {
    if (this.buffered + frame.length <= this.limits.httpKeptBytes) {
      this.#downstream.append(frame);
    } else {
      // Not from within the session that is sending: it would hear of its end in the middle.
      this.clock.after(0, () => this.cut("too many bytes not acknowledged"));
    }
  }

  /** Nothing carries the stream now, or it is over: the grace time runs. */
  #wait(): void {
    this.#stopGrace();
    this.#stopGrace = this.clock.after(this.limits.httpGraceMs, () => this.cut());
  }

  #ended(code: number): void {
    this.#over = true;
    this.#upstream.clear();
    if (code === LOST && !this.#closing) {
      // Bytes without a close at their end are of no use: whoever asks shall know at once.
      this.#forget();
    } else {
      // What the peer still has to read can be had for the grace time, over a new response too.
      this.#downstream.end();
      this.#wait();
    }
  }

  #forget(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#downstream.cut();
    this.#stopGrace();
    this.gone();
  }
}
