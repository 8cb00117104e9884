/**
 * What happens to a reader that is too slow is decided here and nowhere else.
 *
 * | class       | on its way                                             | too slow                     |
 * | ----------- | ------------------------------------------------------ | ---------------------------- |
 * | `operation` | at once                                                | past the limit: closed, 4431 |
 * | `alert`     | at once, so ahead of all that waits here               | past twice that: closed      |
 * | `live`      | as far as credit goes; the rest waits here, bounded    | the oldest are left out, and |
 * |             | in bytes and in time                                   | the reader is told how many  |
 *
 * An operation and an alert are never dropped silently: the device comes back after the close. A
 * sample of a live stream is worth nothing later.
 *
 * @module
 */
import type { Delivery, Extent } from "../channel/channels.ts";
import { Close, type Fault } from "../close.ts";
import type { Link, Message } from "../link/link.ts";
import { concat } from "../wire/bytes.ts";
import { Backlog, type Gap } from "./backlog.ts";
import type { Credit } from "./credit.ts";

/** What an outbox needs to serve live messages. */
export interface Live {
  readonly credit: Credit;
  /** Most bytes that wait. */
  readonly bytes: number;
  /** Most milliseconds that a message waits. */
  readonly ms: number;
  /** Milliseconds on a clock that never runs back. */
  now(): number;
  /** Words of the protocol: a PING, and what a reader lost. */
  ping(): Message;
  gap(gap: Gap): Message;
  /** Runs once everything that came in this turn has been handled. */
  afterTurn(run: () => void): void;
  /** Runs after a few milliseconds. Answers how to call it off. */
  after(ms: number, run: () => void): () => void;
}

/** Bytes in the socket's own buffer at which live messages wait here instead. */
const AHEAD = 65_536;
/** Not every runtime says when that has left, so one looks. */
const LOOK_MS = 20;

export class Outbox {
  #open = true;
  readonly #backlog: Backlog | undefined;
  /** Messages of class `live` that this reader missed. */
  missed = 0;
  /**
   * Most bytes that the reader takes joined into one message; of use where each `send` is a system
   * call. 0: it wants each message by itself.
   */
  batchBytes = 0;
  #batch: Message[] = [];
  #joined = 0;
  #stopLooking: (() => void) | undefined;

  /** `limit`: bytes that may wait for the reader. An alert may go beyond it as far again. */
  constructor(
    readonly link: Link,
    private readonly limit: number,
    private readonly live?: Live,
  ) {
    this.#backlog = live && new Backlog(live.bytes, live.ms);
  }

  /** False once the link was closed, by whomever. */
  get open(): boolean {
    return this.#open;
  }

  /** Nothing waits here. */
  get idle(): boolean {
    return this.#backlog?.idle ?? true;
  }

  send(message: Message, delivery: Delivery = "operation", extent?: Extent): void {
    if (!this.#open) return;
    if (delivery === "live") return this.#live(message, extent ?? NOTHING);
    const limit = delivery === "alert" ? 2 * this.limit : this.limit;
    if (this.#waiting + message.length > limit) return this.close(Close.tooSlow);
    this.#pass(message, delivery === "alert");
    this.#ask();
  }

  /** Sends what waits, as far as it may go: after a PONG, a drain or some time. */
  pump(): void {
    const { live } = this;
    const backlog = this.#backlog;
    if (!live || !backlog || !this.#open) return;
    backlog.expire(live.now());
    for (let next = backlog.next; next && this.#takes(next.message); next = backlog.next) {
      this.#look();
      // Before the message it is missing in front of.
      this.#tell(backlog.gapOf(next.extent.source));
      backlog.shift();
      this.#pass(next.message);
    }
    if (backlog.length === 0 && live.credit.takes(0)) {
      for (const gap of backlog.gaps()) this.#tell(gap);
    }
    this.#ask();
  }

  /** Sends a PING now, unless one is on its way. `counted`: all that went out went through here. */
  ask(counted = true): void {
    const { live } = this;
    if (!live || live.credit.asking || !this.#open) return;
    const ping = live.ping();
    // First, since a peer in this process answers before `send` returns.
    live.credit.ask(ping.length, counted);
    this.#write(ping);
  }

  /** Drops what waits of a source, without a word. */
  forget(source: string): void {
    this.#backlog?.forget(source);
  }

  /** Closes the link; nothing is sent after it. */
  close({ code, word, help }: Fault): void {
    if (!this.#open) return;
    this.#flush();
    this.end();
    this.link.close(code, `${word}: ${help}`);
  }

  /** The link is gone: nothing is sent any more, and no timer is left. */
  end(): void {
    this.#open = false;
    this.#stopLooking?.();
    this.#stopLooking = undefined;
  }

  #live(message: Message, extent: Extent): void {
    const { live } = this;
    const backlog = this.#backlog;
    if (!live || !backlog) {
      if (this.link.buffered + message.length <= this.limit) this.link.send(message);
      else this.missed++;
      return;
    }
    if (backlog.idle && this.#takes(message)) {
      this.#look();
      this.#pass(message);
      this.#ask();
    } else {
      backlog.push({ message, extent, at: live.now() });
      this.pump();
    }
  }

  /** Bytes between here and the reader, as far as anybody knows. */
  get #waiting(): number {
    const { buffered } = this.link;
    const credit = this.live?.credit;
    return credit && !credit.deaf ? Math.max(buffered, credit.onWay) : buffered;
  }

  #takes(message: Message): boolean {
    const { credit, after } = this.live!;
    if (this.link.buffered < AHEAD) return credit.takes(message.length);
    this.#stopLooking ??= after(LOOK_MS, () => {
      this.#stopLooking = undefined;
      this.pump();
    });
    return false;
  }

  #tell(gap: Gap | undefined): void {
    if (!gap) return;
    this.missed += gap.messages;
    this.#pass(this.live!.gap(gap));
  }

  #pass(message: Message, first = false): void {
    this.live?.credit.sent(message.length);
    if (first) this.link.send(message);
    else this.#write(message);
  }

  /** Joins what one turn brings, where that saves anything. */
  #write(message: Message): void {
    const { live, link } = this;
    if (!live || this.batchBytes === 0 || link.topics) return link.send(message);
    if (this.#joined + message.length > this.batchBytes) this.#flush();
    if (message.length > this.batchBytes) return link.send(message);
    if (this.#batch.length === 0) live.afterTurn(() => this.#flush());
    this.#batch.push(message);
    this.#joined += message.length;
  }

  #flush(): void {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#joined = 0;
    if (this.#open) this.link.send(batch.length === 1 ? batch[0]! : concat(...batch));
  }

  /** A PING ahead of the message, where that shows how long the way is. */
  #look(): void {
    if (this.live?.credit.curious) this.ask();
  }

  #ask(): void {
    if (this.live?.credit.due) this.ask();
  }
}

/** Of a message that nobody described. */
const NOTHING: Extent = { source: null, count: 0, time: 0n };
