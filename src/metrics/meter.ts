/**
 * What one protocol does at this relay, counted at its links: messages and bytes by type in both
 * directions, time spent on each, errors and closes. Nothing here knows names, keys or payloads.
 *
 * Counting costs no allocation per message. A protocol is counted by wrapping what accepts its links;
 * the session does not notice.
 *
 * @module
 */
import type { Accept, Link, LinkEvents, Message, Topics } from "../link/link.ts";
import { RareWarning } from "../log.ts";
import { Histogram } from "./histogram.ts";

/** How a meter reads a protocol's messages. */
export interface Dialect {
  readonly name: string;
  /** One byte that tells types apart. Called for what anybody sends: any bytes. */
  typeOf(message: Uint8Array): number;
  typeName(type: number): string;
  /** The messages in a batch; undefined for what is one message. */
  batch?(message: Message): readonly Message[] | undefined;
  /** The type of error messages. */
  readonly errorType: number;
  /** The code in an error message. */
  faultOf(message: Uint8Array): number;
}

/** One type of message in one direction. */
export class Flow {
  count = 0;
  /** Sum of all sizes, each message counted once, however many links it went to. */
  totalBytes = 0;
  messages = 0;
  /** Sizes: the first 64, then one in 16. */
  readonly bytes = new Histogram();
  /**
   * Microseconds from the arrival of a message until the session was done with it: of the same sample,
   * and of every large message.
   */
  readonly micros = new Histogram();

  /** Counts a message that went to so many links. True where it belongs to the sample. */
  add(length: number, links: number): boolean {
    const before = this.messages++;
    this.count += links;
    this.totalBytes += length;
    if (before >= SAMPLED_FIRST && before % SAMPLED_EVERY !== 0) return false;
    this.bytes.record(length);
    return true;
  }
}

/** Codes of one kind that are told apart; the rest is counted together. */
const MAX_CODES = 64;
/** Measured are the first messages of a type, then one in so many. */
const SAMPLED_FIRST = 64;
const SAMPLED_EVERY = 16;
/** A message from here on is timed in any case: it is the likeliest to be slow. */
const TIMED_BYTES = 16_384;

export class Meter {
  readonly received: (Flow | undefined)[] = new Array(256);
  readonly sent: (Flow | undefined)[] = new Array(256);
  /** Error messages that went out, by code. */
  readonly faults = new Map<number, number>();
  /** How links ended, by close code. */
  readonly closes = new Map<number, number>();
  links = 0;
  linksEver = 0;
  /** Bytes of compressed payloads, and of the same payloads inflated. */
  compressedBytes = 0;
  inflatedBytes = 0;
  /** Messages that were left out for a slow reader. */
  dropped = 0;
  readonly #topics = new Map<string, { links: number }>();
  readonly #slow: RareWarning;

  /** `slowMs`: time on one message beyond which the log says so. */
  constructor(
    readonly dialect: Dialect,
    private readonly now: () => number,
    private readonly slowMs = Infinity,
  ) {
    this.#slow = new RareWarning(
      "slow {protocol} message: {type}, {bytes} bytes, {ms} ms ({count} slow so far)",
      now,
    );
  }

  /** The same protocol, counted. */
  metered(accept: Accept): Accept {
    return (link) => {
      const counted = meteredLink(link, this);
      this.links++;
      this.linksEver++;
      const events = accept(counted);
      return {
        message: (message) => this.take(events, message),
        text: () => events.text(),
        drained: () => events.drained(),
        closed: (code, reason) => {
          this.links--;
          add(this.closes, code);
          events.closed(code, reason);
        },
      };
    };
  }

  /** Messages were left out for a slow reader. */
  missed(messages: number): void {
    this.dropped += messages;
  }

  /** A payload was inflated. */
  inflated(wire: number, plain: number): void {
    this.compressedBytes += wire;
    this.inflatedBytes += plain;
  }

  /** So many links are sent this message. */
  send(message: Message, links: number): void {
    if (links <= 0) return;
    const batch = this.dialect.batch?.(message);
    if (batch) { for (const one of batch) this.#send(one, links); }
    else this.#send(message, links);
  }

  #send(message: Uint8Array, links: number): void {
    const type = this.dialect.typeOf(message);
    const flow = this.sent[type] ??= new Flow();
    flow.add(message.length, links);
    if (type === this.dialect.errorType) add(this.faults, this.dialect.faultOf(message));
  }

  /** The links of a topic: the runtime fans out by itself and does not say to how many. */
  topic(name: string): { links: number } {
    let topic = this.#topics.get(name);
    if (!topic) this.#topics.set(name, topic = { links: 0 });
    return topic;
  }

  /** Forgets a topic that no link is in. */
  forget(name: string): void {
    if (this.#topics.get(name)?.links === 0) this.#topics.delete(name);
  }

  private take(events: LinkEvents, message: Message): void {
    // The session may write into the message: look at it before.
    const type = this.dialect.typeOf(message);
    const { length } = message;
    const flow = this.received[type] ??= new Flow();
    const batch = this.dialect.batch?.(message);
    let sampled = false;
    if (batch) { for (const one of batch) sampled = this.#receive(one) || sampled; }
    else sampled = flow.add(length, 1);
    // Asking the clock costs more than all the rest.
    if (!sampled && length < TIMED_BYTES) return events.message(message);
    const since = this.now();
    events.message(message);
    const micros = 1000 * (this.now() - since);
    flow.micros.record(micros);
    if (micros <= 1000 * this.slowMs) return;
    this.#slow.warn({
      protocol: this.dialect.name,
      type: this.dialect.typeName(type),
      bytes: length,
      ms: Math.round(micros / 1000),
    });
  }

  /** Counts one message of a batch. */
  #receive(message: Uint8Array): boolean {
    const flow = this.received[this.dialect.typeOf(message)] ??= new Flow();
    return flow.add(message.length, 1);
  }
}

function add(counts: Map<number, number>, code: number): void {
  const key = counts.has(code) || counts.size < MAX_CODES ? code : -1;
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** A link whose messages are counted. `Required`: whatever a link learns to do must be passed on. */
class MeteredLink implements Omit<Required<Link>, "topics"> {
  constructor(private readonly link: Link, private readonly meter: Meter) {}

  get remote(): string {
    return this.link.remote;
  }

  get buffered(): number {
    return this.link.buffered;
  }

  send(message: Message): void {
    this.meter.send(message, 1);
    this.link.send(message);
  }

  close(code: number, reason: string): void {
    this.link.close(code, reason);
  }
}

function meteredLink(link: Link, meter: Meter): Link {
  const metered = new MeteredLink(link, meter);
  return link.topics
    ? Object.assign(metered, { topics: meteredTopics(link.topics, meter) })
    : metered;
}

function meteredTopics(topics: Topics, meter: Meter): Topics {
  const joined = new Map<string, { links: number }>();
  // Most links publish to one topic only: no need to look it up each time.
  let lastName: string | undefined;
  let last: { links: number } | undefined;
  return {
    join(name) {
      lastName = undefined;
      if (!joined.has(name)) {
        const topic = meter.topic(name);
        topic.links++;
        joined.set(name, topic);
      }
      topics.join(name);
    },
    leave(name) {
      lastName = undefined;
      const topic = joined.get(name);
      if (topic) {
        topic.links--;
        joined.delete(name);
        meter.forget(name);
      }
      topics.leave(name);
    },
    publish(name, message, self) {
      if (name !== lastName) {
        last = joined.get(name);
        lastName = name;
      }
      const own = last;
      const links = own ? own.links - (self ? 0 : 1) : meter.topic(name).links;
      if (links > 0) meter.send(message, links);
      else if (!own) meter.forget(name);
      return topics.publish(name, message, self);
    },
  };
}
