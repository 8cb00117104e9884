/**
 * Finds out whether something on the way keeps the end of a response back until more comes.
 *
 * The relay says something as soon as a response begins; if that takes too long, all of it is held
 * back. Some proxies hand on what fills a page of their memory and hold the rest, and those show only
 * in a quiet moment: a ping goes up, and its pong has to come down alone.
 *
 * @module
 */

import { type Host, host as systemHost } from "../../host.ts";

export interface ProbeEvents {
  /** Send a ping. */
  ping(): void;
  /** Something holds responses back. Said once, and nothing after it. */
  held(): void;
}

/** Bytes of the pong: a header without a payload. */
const PONG = 2;

export class ProxyProbe {
  #settled = false;
  #stopWaiting: () => void = () => {};
  /** Bytes since the ping, while one is under way. */
  #since: number | undefined;

  /** `patienceMs`: how long a sign of life may take, and how long quiet has to last. */
  constructor(
    private readonly patienceMs: number,
    private readonly events: ProbeEvents,
    private readonly clock: Pick<Host, "after"> = systemHost,
  ) {}

  /** A response was asked for; its first bytes are due. */
  begin(): void {
    this.#wait(() => this.#held());
  }

  /** The response is over: nothing is due. */
  end(): void {
    this.#stopWaiting();
    this.#since = undefined;
  }

  bytes(length: number): void {
    if (this.#since !== undefined) this.#since += length;
    else {
      this.#wait(() => {
        this.#since = 0;
        this.events.ping();
        this.#wait(() => this.#held());
      });
    }
  }

  /** A pong came, and its bytes were counted before. */
  pong(): void {
    if (this.#since === undefined) return;
    const alone = this.#since === PONG;
    this.#since = undefined;
    if (alone) this.stop();
    else this.bytes(0);
  }

  /** Looks no further. */
  stop(): void {
    this.#settled = true;
    this.#stopWaiting();
  }

  #wait(then: () => void): void {
    this.#stopWaiting();
    if (!this.#settled) this.#stopWaiting = this.clock.after(this.patienceMs, then);
  }

  #held(): void {
    this.stop();
    this.events.held();
  }
}
