/**
 * A connection that comes back: one link after the other to the same address, each handed to the
 * same protocol.
 *
 * @module
 */
import { comeBack } from "../close.ts";
import { type Host, host as systemHost } from "../host.ts";
import type { Link, LinkEvents } from "../link/link.ts";
import { subprotocols } from "../link/subprotocol.ts";
import { websocketLink } from "../link/websocket_link.ts";
import { BACKOFF, type Backoff, delay, LATER } from "./backoff.ts";
import { Liveness, type LivenessOptions } from "./liveness.ts";
import { OWN_CODES, whyRefused } from "./refusal.ts";
import { Socket, type SocketOptions } from "./socket.ts";
import { onWake } from "./wake.ts";

export interface ConnectOptions extends SocketOptions, LivenessOptions {
  /**
   * `ws://` or `wss://`; `http://` and `https://` are taken too. Without a path, the protocol's own is
   * taken. What is no such address is refused with `BAD_ADDRESS` before anything else happens.
   */
  readonly url: string | URL;
  /** Brought to the relay, as a subprotocol. */
  readonly token?: string;
  /** Ends the connection for good. */
  readonly signal?: AbortSignal;
  /** Waits after a link that was lost. 250 ms to 30 s unless given. */
  readonly backoff?: Backoff;
  /** Waits after a close for which coming back soon would be of no use. 5 s to 5 min unless given. */
  readonly backoffLater?: Backoff;
  readonly host?: Host;
}

/** A protocol, as a client speaks it over one link. */
export interface Conversation extends LinkEvents {
  /** Sends the protocol's own PING, which the relay answers. False: it is too early for one. */
  probe(): boolean;
  /** Says goodbye. */
  leave?(): void;
  /** What happened on this link calls for coming back later, whatever the code says. */
  readonly later?: boolean;
}

/** Why a connection ended for good. */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";

  constructor(readonly code: number, readonly reason: string) {
    super(reason || `closed with ${code}`);
  }
}

/** The link is gone, or could not be had; another attempt follows after `retryMs`. */
export interface OfflineStatus {
  readonly kind: "offline";
  readonly code: number;
  readonly reason: string;
  readonly retryMs: number;
}

/** What a connection tells its owner, beside what the protocol hears. */
export interface ConnectionEvents {
  /** A link ended, or could not be had. Another attempt follows after `retryMs`. */
  offline(code: number, reason: string, retryMs: number): void;
  /** It is over: closed from here, or refused in a way that another attempt would not change. */
  ended(why: ConnectionClosed): void;
  /**
   * Somebody else has our node id: take another one. Left out where the id says who the device is; then
   * it comes back later.
   */
  renamed?(): void;
}

/** A link that lived this long was a good one: the next wait is short again. */
const STABLE_MS = 5_000;
/** Milliseconds that an attempt may take beyond what its transports take. */
const SPARE_MS = 5_000;

export class Connection {
  readonly #url: URL;
  readonly #host: Host;
  readonly #liveness: Liveness;
  readonly #stopWake: () => void;
  #attempt = 0;
  /** Closes in a row after which we came back later. */
  #refusals = 0;
  #ended = false;
  #socket: Socket | undefined;
  #conversation: Conversation | undefined;
  /** Since when there is a link. */
  #since = 0;
  #stopWaiting: (() => void) | undefined;
  /** Tries at once instead of waiting on, where a network that is back could help. */
  #hurry: (() => void) | undefined;

  constructor(
    private readonly options: ConnectOptions & { readonly url: URL },
    private readonly accept: (link: Link) => Conversation,
    private readonly events: ConnectionEvents,
  ) {
    this.#url = options.url;
    this.#host = options.host ?? systemHost;
    this.#liveness = new Liveness(options, this.#host, (reason) => this.#socket?.abort(reason));
    this.#stopWake = onWake(() => this.#woken(), this.#host);
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    if (options.signal?.aborted) queueMicrotask(() => this.close());
    else this.#open();
  }

  /** Says goodbye, and ends the connection for good. */
  close(code = 1000, reason = ""): void {
    this.#end(new ConnectionClosed(code, reason));
    this.#conversation?.leave?.();
    this.#socket?.close(code, reason);
  }

  #open(): void {
    const socket = new Socket(this.#url, subprotocols(this.options.token), this.options);
    this.#socket = socket;
    const { upgradeMs = 5_000, openMs = 10_000 } = this.options;
    const patience = upgradeMs + openMs + SPARE_MS;
    this.#stopWaiting = this.#host.after(patience, () => socket.abort("nobody answers"));
    let opened = false;
    websocketLink(socket, (link) => {
      opened = true;
      this.#stopWaiting?.();
      return this.#converse(link);
    }, this.#url.host);
    socket.addEventListener("close", ({ code, reason }) => {
      if (!opened && !this.#ended) void this.#refused(code, reason);
    });
  }

  #converse(link: Link): LinkEvents {
    const conversation = this.#conversation = this.accept(link);
    this.#since = this.#host.now();
    this.#liveness.begin({
      get buffered() {
        return link.buffered;
      },
      probe: () => conversation.probe(),
    });
    return {
      message: (message) => {
        this.#liveness.heard();
        conversation.message(message);
      },
      text: () => conversation.text(),
      drained: () => conversation.drained(),
      closed: (code, reason) => {
        this.#liveness.end();
        this.#conversation = undefined;
        conversation.closed(code, reason);
        const lived = this.#host.now() - this.#since;
        if (lived >= STABLE_MS) this.#attempt = 0;
        // Two that take the same place from each other live as long as the other one waits.
        if (lived >= 2 * this.#later.most) this.#refusals = 0;
        this.#again(code, reason, conversation.later);
      },
    };
  }

  /** The upgrade failed. */
  async #refused(code: number, reason: string): Promise<void> {
    this.#stopWaiting?.();
    const why = await whyRefused(this.#url, this.options.token, code, reason);
    this.#again(why.code, why.reason);
  }

  #again(code: number, reason: string, later = false): void {
    if (this.#ended) return;
    const how = comeBack(code);
    if (how === "never") return this.#end(new ConnectionClosed(code, reason));
    const soon = !later &&
      (how === "soon" || (how === "renamed" && this.events.renamed !== undefined));
    if (how === "renamed") this.events.renamed?.();
    const wait = soon
      ? delay(this.#attempt++, this.options.backoff ?? BACKOFF, Math.random())
      : delay(this.#refusals++, this.#later, Math.random());
    this.events.offline(code, reason, wait);
    // Whoever heard that may have closed us.
    if (this.#ended) return;
    const open = () => {
      this.#hurry = undefined;
      this.#open();
    };
    const stop = this.#stopWaiting = this.#host.after(wait, open);
    if (code >= OWN_CODES || !soon) return;
    this.#hurry = () => {
      stop();
      open();
    };
  }

  get #later(): Backoff {
    return this.options.backoffLater ?? LATER;
  }

  #woken(): void {
    this.#liveness.check();
    this.#hurry?.();
  }

  #end(why: ConnectionClosed): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWake();
    this.#stopWaiting?.();
    this.#hurry = undefined;
    this.events.ended(why);
  }
}
