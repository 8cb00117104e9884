/**
 * A connection that comes back: one link after the other to the same address, each handed to the
 * same protocol.
 *
 * @module
 */
import { mayRetry } from "../close.ts";
import { type Host, host as systemHost } from "../host.ts";
import type { Accept } from "../link/link.ts";
import { subprotocols } from "../link/subprotocol.ts";
import { websocketLink } from "../link/websocket_link.ts";
import { BACKOFF, type Backoff, delay } from "./backoff.ts";
import { Socket, type SocketOptions } from "./socket.ts";

export interface ConnectOptions extends SocketOptions {
  /** `ws://` or `wss://`; `http://` and `https://` are taken too. */
  readonly url: string | URL;
  /** Brought to the relay, as a subprotocol. */
  readonly token?: string;
  /** Ends the connection for good. */
  readonly signal?: AbortSignal;
  readonly backoff?: Backoff;
  readonly host?: Host;
}

/** Why a connection ended for good. */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";

  constructor(readonly code: number, readonly reason: string) {
    super(reason || `closed with ${code}`);
  }
}

/** What a connection tells its owner, beside what the protocol hears. */
export interface ConnectionEvents {
  /** A link ended, or could not be had. Another attempt follows after `retryMs`. */
  offline(code: number, reason: string, retryMs: number): void;
  /** It is over: closed from here, or refused in a way that another attempt would not change. */
  ended(why: ConnectionClosed): void;
}

/** A link that lived this long was a good one: the next wait is short again. */
const STABLE_MS = 5_000;

export class Connection {
  readonly #url: URL;
  readonly #host: Host;
  #attempt = 0;
  #ended = false;
  #socket: Socket | undefined;
  #stopWaiting: (() => void) | undefined;

  constructor(
    private readonly options: ConnectOptions,
    private readonly accept: Accept,
    private readonly events: ConnectionEvents,
  ) {
    this.#url = new URL(options.url);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#host = options.host ?? systemHost;
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    if (options.signal?.aborted) queueMicrotask(() => this.close());
    else this.#open();
  }

  /** Ends the connection for good. */
  close(code = 1000, reason = ""): void {
    this.#end(new ConnectionClosed(code, reason));
    this.#socket?.close(code, reason);
  }

  #open(): void {
    const since = this.#host.now();
    const socket = new Socket(this.#url, subprotocols(this.options.token), this.options);
    this.#socket = socket;
    let opened = false;
    websocketLink(socket, (link) => {
      opened = true;
      const events = this.accept(link);
      return {
        message: (message) => events.message(message),
        text: () => events.text(),
        drained: () => events.drained(),
        closed: (code, reason) => {
          events.closed(code, reason);
          if (this.#host.now() - since >= STABLE_MS) this.#attempt = 0;
          this.#again(code, reason);
        },
      };
    }, this.#url.host);
    socket.addEventListener("close", ({ code, reason }) => {
      if (!opened) void this.#refused(code, reason);
    });
  }

  /** The upgrade failed. A WebSocket does not say why; the same address over plain HTTP does. */
  async #refused(code: number, reason: string): Promise<void> {
    // A stream does say why.
    if (code >= 4000) return this.#again(code, reason);
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace(/^ws/, "http");
    const { token } = this.options;
    try {
      const answer = await fetch(url, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(5_000),
      });
      const { error } = await answer.json() as { error?: string };
      if (answer.status === 401 || answer.status === 403) {
        return this.#end(new ConnectionClosed(4000 + answer.status, error ?? answer.statusText));
      }
      if (error !== undefined && answer.status !== 426) reason = error;
    } catch {
      // Nobody there, or a page that may not ask: what the socket said is all there is.
    }
    this.#again(code, reason);
  }

  #again(code: number, reason: string): void {
    if (this.#ended) return;
    if (!mayRetry(code)) return this.#end(new ConnectionClosed(code, reason));
    const wait = delay(this.#attempt++, this.options.backoff ?? BACKOFF, Math.random());
    this.events.offline(code, reason, wait);
    this.#stopWaiting = this.#host.after(wait, () => this.#open());
  }

  #end(why: ConnectionClosed): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWaiting?.();
    this.events.ended(why);
  }
}
