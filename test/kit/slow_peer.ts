/**
 * A device behind a thin pipe, in time that a test moves. Like a real socket the pipe swallows
 * everything at once: `buffered` says nothing about what is still under way.
 *
 * @module
 */
import type { Accept, LinkEvents } from "../../src/link/link.ts";
import { MessageType, Version } from "../../src/wire/ecg/codes.ts";
import { decode, encode, type Message } from "../../src/wire/ecg/message.ts";
import type { FakeHost } from "./fake_host.ts";

export interface Pipe {
  /** Bytes per second; change it to make the pipe thinner or wider. */
  rate: number;
  /** Milliseconds each way, beside what the bytes take. */
  readonly delay: number;
}

/** A message, and when it was there. */
export interface Arrival extends Message {
  readonly at: number;
}

export class SlowPeer {
  readonly arrivals: Arrival[] = [];
  closedWith: number | undefined;
  /** Whether it answers PINGs. */
  answers = true;
  /** Bytes that are under way. */
  onWay = 0;
  #free = 0;
  readonly #events: LinkEvents;

  constructor(accept: Accept, private readonly host: FakeHost, readonly pipe: Pipe) {
    this.#events = accept({
      remote: "slow",
      buffered: 0,
      send: (message) => this.#carry(message),
      close: (code, reason) => {
        this.closedWith = code;
        this.#events.closed(code, reason);
      },
    });
  }

  say(version: Version, type: MessageType, payload: unknown): void {
    const timestamp = version === Version.V3 ? 0n : null;
    this.#events.message(encode({ version, type, timestamp, payload }));
  }

  #carry(message: Uint8Array<ArrayBuffer>): void {
    const { rate, delay } = this.pipe;
    this.onWay += message.length;
    this.#free = Math.max(this.host.now(), this.#free) + message.length / rate * 1000;
    this.host.after(this.#free + delay - this.host.now(), () => {
      this.onWay -= message.length;
      const decoded = decode(message);
      if (decoded.type !== MessageType.PING) {
        this.arrivals.push({ ...decoded, at: this.host.now() });
      } else if (this.answers) {
        this.host.after(delay, () => this.say(decoded.version, MessageType.PONG, null));
      }
    });
  }
}
