/**
 * A link without a network: what one end sends, the other end hears at once. For tests, and for
 * peers that live in the same process.
 *
 * @module
 */
import type { Accept, Link, LinkEvents, Message } from "./link.ts";

/** The far end of a memory link: a device, as a test sees it. */
export class MemoryPeer {
  /** What the session has sent and nobody has taken yet. */
  readonly received: Message[] = [];
  /** Code and reason, once the session has closed the link or the peer has left. */
  closedWith: { code: number; reason: string } | undefined;
  /** What the session sees as buffered: set it to play a slow reader. */
  buffered = 0;
  /** Missing until the session is there. */
  readonly #events: LinkEvents | undefined;

  constructor(accept: Accept, remote = "memory") {
    // deno-lint-ignore no-this-alias
    const peer = this;
    const link: Link = {
      remote,
      get buffered() {
        return peer.buffered;
      },
      send(message) {
        if (!peer.closedWith) peer.received.push(message);
      },
      close: (code, reason) => peer.#close(code, reason),
    };
    const events = accept(link);
    this.#events = events;
    if (this.closedWith) events.closed(this.closedWith.code, this.closedWith.reason);
  }

  send(message: Message): void {
    if (!this.closedWith) this.#events?.message(message);
  }

  sendText(): void {
    if (!this.closedWith) this.#events?.text();
  }

  /** The slow reader has caught up. */
  drain(): void {
    this.buffered = 0;
    if (!this.closedWith) this.#events?.drained();
  }

  /** Leaves, cleanly or as somebody whose network is gone. */
  close(code = 1000, reason = ""): void {
    this.#close(code, reason);
  }

  /** Takes the oldest message not taken yet. */
  take(): Message | undefined {
    return this.received.shift();
  }

  #close(code: number, reason: string): void {
    if (this.closedWith) return;
    this.closedWith = { code, reason };
    this.#events?.closed(code, reason);
  }
}
