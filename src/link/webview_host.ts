/**
 * The host half of the webview transport: turns a message port and the responses of a streaming scheme
 * into links. A desktop program that embeds the whole relay takes `routes/embedded.ts` instead.
 *
 * ```ts
 * const host = new WebviewHost(clock);
 * scheme("wsock", (url) => new Response(host.connect(url, accept).body));
 * port((message) => host.message(message));
 * ```
 *
 * @module
 */
import { type Bytes, WireError } from "../wire/bytes.ts";
import { headerLength } from "../wire/websocket/frame_encoder.ts";
import { unpack } from "../wire/websocket/uint32.ts";
import type { Clock } from "./clock.ts";
import { FramedLink } from "./framed_link.ts";
import type { Accept } from "./link.ts";

export interface WebviewLimits {
  /** Bytes of one message and of one frame. */
  readonly maxMessage: number;
  /** Frames of one message. */
  readonly maxFragments: number;
  /** Silence of the page, in milliseconds, after which it counts as gone. */
  readonly idleMs: number;
  /** Connections of one page. */
  readonly maxStreams: number;
  /** Bytes that a page has not read, at which it counts as gone; sessions act long before. */
  readonly maxUnread: number;
}

const LIMITS: WebviewLimits = {
  maxMessage: 4_194_304,
  maxFragments: 1_024,
  idleMs: 60_000,
  maxStreams: 64,
  maxUnread: 20_971_520,
};

/** One connection, as the host sees it. */
export interface WebviewConnection {
  /** The long-lived response: frames, cut anywhere. Cancelling it ends the connection. */
  readonly body: ReadableStream<Bytes>;
  /** Asks the page for a sign of life, with 1 to 125 bytes that its pong brings back. */
  ping(data: Uint8Array): void;
  close(code: number, reason?: string): void;
}

/** One page. */
export class WebviewHost {
  readonly #streams = new Map<number, FramedLink>();
  readonly #limits: WebviewLimits;

  constructor(private readonly clock: Clock, limits: Partial<WebviewLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Connections that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * The page has asked for `url` of the scheme. Its number there (0 without one) ties messages to it;
   * a page that was loaded again replaces its older connection.
   *
   * Throws `RangeError` for one connection too many.
   */
  connect(url: string, accept: Accept, pong?: (data: Bytes) => void): WebviewConnection {
    const stream = Number(new URL(url).searchParams.get("stream") ?? 0);
    this.#streams.get(stream)?.lost("the page asks anew");
    const { maxMessage, maxFragments, idleMs, maxStreams, maxUnread } = this.#limits;
    if (this.#streams.size >= maxStreams) {
      throw new RangeError(`a page has at most ${maxStreams} connections`);
    }
    let response!: ReadableStreamDefaultController<Bytes>;
    const unread = () => 0 - (response.desiredSize ?? 0);
    let cancelled = false;
    const body = new ReadableStream<Bytes>({
      start: (made) => void (response = made),
      pull: () => link.drained(),
      cancel() {
        cancelled = true;
        link.lost("the page reads no more");
      },
    }, new ByteLengthQueuingStrategy({ highWaterMark: 0 }));
    const link = new FramedLink(
      {
        remote: "webview",
        get buffered() {
          return unread();
        },
        write: (frame) => {
          if (unread() + frame.length <= maxUnread) response.enqueue(frame);
          // Not from within the session that is sending: it would hear of its end in the middle.
          else this.clock.after(0, () => link.lost("the page reads nothing"));
        },
        // The pings of the link itself are empty.
        pong: (data) => void (data.length > 0 && pong?.(data)),
        end: () => {
          this.#streams.delete(stream);
          if (!cancelled) response.close();
        },
      },
      accept,
      {
        limits: { maxFrame: maxMessage, maxMessage, maxFragments },
        idleMs,
        clock: this.clock,
      },
    );
    this.#streams.set(stream, link);
    // Some webviews hand a response to the page only with its first byte, and the page speaks only
    // once it has the response.
    link.ping(new Uint8Array(0));
    return {
      body,
      ping: (data) => link.ping(data),
      close: (code, reason = "") => link.close(code, reason),
    };
  }

  /**
   * What the port delivered, whatever that is. Answers false when it is not for a connection: it has
   * neither `length` nor `data`, or the number of none. What is for one and cannot be unpacked closes
   * it.
   */
  message(message: unknown): boolean {
    if (typeof message !== "object" || message === null) return false;
    if (!("length" in message || "data" in message)) return false;
    const stream = "stream" in message ? message.stream : 0;
    const found = typeof stream === "number" ? this.#streams.get(stream) : undefined;
    if (!found) return false;
    const { maxMessage } = this.#limits;
    try {
      found.receive(unpack(message, maxMessage + headerLength(maxMessage, true)));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      found.close(error.code === "TOO_LARGE" ? 1009 : 1002, error.code);
    }
    return true;
  }

  /** The page is gone, and all of its connections. */
  lost(): void {
    for (const link of [...this.#streams.values()]) link.lost("the page is gone");
  }
}
