/**
 * The host half of the webview transport: turns a message port and the writers of a streaming scheme
 * into links, so that a desktop program can embed the relay.
 *
 * ```ts
 * const host = new WebviewHost(clock);
 * scheme("wsock", (request, writer) => host.connect(request.url, writer, acceptOf(request.url)));
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

/** A long-lived response of the scheme. */
export interface StreamWriter {
  write(bytes: Bytes): unknown;
  finish(): unknown;
  /** Bytes that were written and have not reached the page, where the webview can tell. */
  readonly buffered?: number;
}

export interface WebviewLimits {
  /** Bytes of one message and of one frame. */
  readonly maxMessage: number;
  /** Frames of one message. */
  readonly maxFragments: number;
  /** Silence of the page, in milliseconds, after which it counts as gone. */
  readonly idleMs: number;
  /** Connections of one page. */
  readonly maxStreams: number;
}

const LIMITS: WebviewLimits = {
  maxMessage: 4_194_304,
  maxFragments: 1_024,
  idleMs: 60_000,
  maxStreams: 64,
};

/** One connection, as the host sees it. */
export interface WebviewConnection {
  /** Asks the page for a sign of life; `pong` of its options hears the answer. */
  ping(data: Uint8Array): void;
  close(code: number, reason?: string): void;
  /** The writer or the page is gone. */
  lost(): void;
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
  connect(
    url: string,
    writer: StreamWriter,
    accept: Accept,
    pong?: (data: Bytes) => void,
  ): WebviewConnection {
    const stream = Number(new URL(url).searchParams.get("stream") ?? 0);
    this.#streams.get(stream)?.lost("the page asks anew");
    const { maxMessage, maxFragments, idleMs, maxStreams } = this.#limits;
    if (this.#streams.size >= maxStreams) {
      throw new RangeError(`a page has at most ${maxStreams} connections`);
    }
    const link = new FramedLink(
      {
        remote: "webview",
        get buffered() {
          return writer.buffered ?? 0;
        },
        write: (frame) => void writer.write(frame),
        ...(pong && { pong }),
        end: () => {
          this.#streams.delete(stream);
          writer.finish();
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
    return {
      ping: (data) => link.ping(data),
      close: (code, reason = "") => link.close(code, reason),
      lost: () => link.lost("the page is gone"),
    };
  }

  /**
   * What the port delivered, whatever that is. Answers false when it belongs to no connection. What
   * belongs to one and cannot be unpacked closes it.
   */
  message(message: unknown): boolean {
    const { stream = 0 } = (message ?? {}) as { stream?: unknown };
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
