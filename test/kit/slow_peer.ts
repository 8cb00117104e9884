/**
 * A device behind a thin pipe, in time that a test moves. Like a real socket the pipe swallows
 * everything at once: `buffered` says nothing about what is still under way.
 *
 * @module
 */
import type { Accept, LinkEvents, Message as Bytes, Topics } from "../../src/link/link.ts";
import { MessageType, Version } from "../../src/wire/ecg/codes.ts";
import { decode, type DecodedMessage, encode } from "../../src/wire/ecg/ecg_message.ts";
import type { FakeHost } from "./fake_host.ts";

export interface Pipe {
  /** Bytes per second; change it to make the pipe thinner or wider. */
  rate: number;
  /** Milliseconds each way, beside what the bytes take. */
  readonly delay: number;
}

/** Topics of a runtime that has them, as Bun does. */
export class Hub {
  readonly #topics = new Map<string, Set<SlowPeer>>();

  of(peer: SlowPeer): Topics {
    return {
      join: (name) => void this.#topics.set(name, (this.#topics.get(name) ?? new Set()).add(peer)),
      leave: (name) => void this.#topics.get(name)?.delete(peer),
      publish: (name, message) => {
        for (const other of this.#topics.get(name) ?? []) if (other !== peer) other.hear(message);
        return true;
      },
    };
  }
}

/** A message, and when it was there. */
export interface Arrival extends DecodedMessage {
  readonly at: number;
}

export class SlowPeer {
  readonly arrivals: Arrival[] = [];
  closedWith: number | undefined;
  /** Whether it answers PINGs. */
  answers = true;
  /** PINGs that came. */
  asked = 0;
  /** Bytes that are under way. */
  onWay = 0;
  #free = 0;
  readonly #events: LinkEvents;

  /** Messages that came by a topic. */
  byTopic = 0;

  constructor(accept: Accept, private readonly host: FakeHost, readonly pipe: Pipe, hub?: Hub) {
    this.#events = accept({
      remote: "slow",
      buffered: 0,
      ...(hub && { topics: hub.of(this) }),
      send: (message) => this.#carry(message),
      close: (code, reason) => {
        this.closedWith = code;
        this.#events.closed(code, reason);
      },
    });
  }

  say(version: Version, type: MessageType, payload: unknown, timestamp = 0n): void {
    const stamp = version === Version.V3 ? timestamp : null;
    this.#events.message(encode({ version, type, timestamp: stamp, payload }));
  }

  /** Out of a topic. */
  hear(message: Bytes): void {
    this.byTopic++;
    this.#carry(message);
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
      } else {
        this.asked++;
        if (!this.answers) return;
        this.host.after(delay, () => this.say(decoded.version, MessageType.PONG, null));
      }
    });
  }
}
