/**
 * Channels: names to the members that hear each other. A message goes out as the bytes that came in.
 *
 * Where the runtime has topics of its own, one call per message reaches everybody in them. A topic
 * drops silently once a socket is full, so members that lag leave it, are served one by one through
 * their outbox, which knows what to do about slow readers, and rejoin when they have caught up.
 *
 * @module
 */
import type { Link, Message } from "../link/link.ts";

/** What may happen to a message on its way to a slow reader; the reader's outbox has the rules. */
export type Delivery = "operation" | "live" | "alert";

/** What a live message holds, for those who lose it. */
export interface Extent {
  /** Whose messages it is one of; null for what goes to everybody. */
  readonly source: string | null;
  /** So many of what the source counts. */
  readonly count: number;
  /** Microseconds since 1970. */
  readonly time: bigint;
  /** It says what later messages mean, so losing it needs a remedy. */
  readonly explains?: boolean;
}

/** Somebody in a channel. */
export interface Member {
  readonly link: Link;
  /** Sends to this member alone, and decides what happens when it reads too slowly. */
  deliver(message: Message, delivery: Delivery, extent?: Extent): void;
}

/** The way out of a channel. */
export interface Membership {
  leave(): void;
  /** The member lags: from now on it is served one by one. */
  lagging(): void;
  /** The member's link has caught up. */
  drained(): void;
}

/** Buffered bytes at which a member is taken out of the runtime's topic. */
const LAGGING = 65_536;

export class Channel {
  /** Served by the runtime's topic. */
  readonly #inTopic = new Set<Member>();
  /** Served one by one. */
  readonly #alone = new Set<Member>();
  #bytesSinceWalk = 0;

  constructor(readonly name: string, private readonly onEmpty: () => void) {}

  get size(): number {
    return this.#inTopic.size + this.#alone.size;
  }

  /** `alone`: start outside the runtime's topic, until `drained`. */
  join(member: Member, alone = false): Membership {
    if (alone) this.#alone.add(member);
    else this.#serve(member);
    return {
      leave: () => {
        if (this.#inTopic.delete(member)) member.link.topics?.leave(this.name);
        this.#alone.delete(member);
        if (this.size === 0) this.onEmpty();
      },
      lagging: () => this.#isolate(member),
      drained: () => {
        if (this.#alone.delete(member)) this.#serve(member);
      },
    };
  }

  /** To every member but `from`. */
  publish(
    message: Message,
    from?: Member,
    delivery: Delivery = "operation",
    extent?: Extent,
  ): void {
    // First, so that a member which the walk takes out of the topic does not get it twice.
    for (const member of this.#alone) {
      if (member !== from) member.deliver(message, delivery, extent);
    }
    const topics = from?.link.topics;
    if (!topics) {
      for (const member of this.#inTopic) {
        if (member !== from) member.deliver(message, delivery, extent);
      }
    } else if (this.#inTopic.size > 0) {
      this.#watched(message.length, topics.publish(this.name, message));
    }
  }

  /** To every member, its author too. */
  broadcast(message: Message): void {
    for (const member of this.#alone) member.deliver(message, "operation");
    // Anybody's topics will do.
    for (const { link } of this.#inTopic) {
      return this.#watched(message.length, link.topics!.publish(this.name, message, true));
    }
  }

  #watched(bytes: number, clear: boolean): void {
    this.#bytesSinceWalk += bytes;
    if (!clear && this.#bytesSinceWalk >= LAGGING) this.#walk();
  }

  #serve(member: Member): void {
    if (member.link.topics) {
      this.#inTopic.add(member);
      member.link.topics.join(this.name);
    } else {
      this.#alone.add(member);
    }
  }

  /** Takes out of the topic whoever lags. At most once per `LAGGING` bytes, so it costs little. */
  #walk(): void {
    this.#bytesSinceWalk = 0;
    for (const member of this.#inTopic) {
      if (member.link.buffered >= LAGGING) this.#isolate(member);
    }
  }

  #isolate(member: Member): void {
    if (!this.#inTopic.delete(member)) return;
    member.link.topics?.leave(this.name);
    this.#alone.add(member);
  }
}

/** All channels of this process. A channel exists while it has members. */
export class Channels {
  readonly #byName = new Map<string, Channel>();

  get size(): number {
    return this.#byName.size;
  }

  /** Joins, making the channel for its first member. */
  join(name: string, member: Member, alone = false): Membership {
    return this.open(name).join(member, alone);
  }

  /** The channel of this name, if anybody is in it. */
  get(name: string): Channel | undefined {
    return this.#byName.get(name);
  }

  /** The channel of this name; made when needed. */
  open(name: string): Channel {
    let channel = this.#byName.get(name);
    if (!channel) {
      channel = new Channel(name, () => this.#byName.delete(name));
      this.#byName.set(name, channel);
    }
    return channel;
  }
}
