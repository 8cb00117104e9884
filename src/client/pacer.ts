/**
 * Keeps what a device sends over one link within what the relay takes: a token bucket as the relay's
 * own, a fifth smaller, since what left evenly arrives in lumps.
 *
 * @module
 */
import type { Host } from "../host.ts";
import { LIMITS } from "../limits.ts";
import type { Link, Message } from "../link/link.ts";
import { readsOn } from "./liveness.ts";

/** What the relay takes of a link, as its `GET /limits` says. 0 for no limit. */
export interface RelayPace {
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  /** So many seconds' worth of both may go at once. */
  readonly burstSeconds: number;
}

export interface PaceOptions {
  /**
   * What the relay takes, where it was started with other limits: 2,000 messages and 16 MiB a second,
   * two seconds' worth of them at once, unless given. Four fifths of it are used.
   */
  readonly pace?: Partial<RelayPace> | undefined;
}

const SHARE = 0.8;
/** Shortest wait, in milliseconds: several messages then go for one timer. */
const STEP_MS = 5;

/** So much of something: what may go now, and what comes back in a millisecond. */
class Allowance {
  #left: number;

  constructor(private readonly perMs: number, private readonly most: number) {
    this.#left = most;
  }

  spend(amount: number): void {
    if (this.perMs > 0) this.#left -= amount;
  }

  refill(ms: number): void {
    this.#left = Math.min(this.most, this.#left + ms * this.perMs);
  }

  /** Milliseconds until nothing is owed. */
  get owedMs(): number {
    return this.#left >= 0 ? 0 : -this.#left / this.perMs;
  }
}

/** A link that knows how much it may send. */
export class PacedLink implements Link {
  readonly #messages: Allowance;
  readonly #bytes: Allowance;
  #at: number;
  /** Who waits has come before who asks now. */
  #line: Promise<void> = Promise.resolve();

  constructor(private readonly link: Link, private readonly host: Host, { pace }: PaceOptions) {
    const { messagesPerSecond, bytesPerSecond, burstSeconds } = {
      messagesPerSecond: LIMITS.messagesPerSecond.value,
      bytesPerSecond: LIMITS.bytesPerSecond.value,
      burstSeconds: LIMITS.burstSeconds.value,
      ...pace,
    };
    const allowance = (perSecond: number) =>
      new Allowance(SHARE * perSecond / 1000, SHARE * perSecond * burstSeconds);
    this.#messages = allowance(messagesPerSecond);
    this.#bytes = allowance(bytesPerSecond);
    this.#at = host.now();
  }

  get remote(): string {
    return this.link.remote;
  }

  get buffered(): number {
    return this.link.buffered;
  }

  /**
   * Resolves once another message may go, in the order of the calls. Asked before it is sealed: what is
   * sealed goes at once. The words of the protocol itself wait for nothing, and are counted all the same.
   */
  turn(): Promise<void> {
    return this.#line = this.#line.then(() => this.#room());
  }

  send(message: Message): void {
    this.#messages.spend(1);
    this.#bytes.spend(message.length);
    this.link.send(message);
  }

  /** Sends what answers a Ping, unless the other end reads nothing: it could make us keep any amount. */
  answer(message: Message): void {
    if (readsOn(this.link)) this.send(message);
  }

  close(code: number, reason: string): void {
    this.link.close(code, reason);
  }

  async #room(): Promise<void> {
    for (;;) {
      const owed = Math.max(this.#messages.owedMs, this.#bytes.owedMs);
      if (owed === 0) return;
      const now = this.host.now();
      for (const one of [this.#messages, this.#bytes]) one.refill(now - this.#at);
      this.#at = now;
      const wait = Math.max(this.#messages.owedMs, this.#bytes.owedMs);
      if (wait === 0) return;
      await new Promise<void>((resolve) => this.host.after(Math.max(STEP_MS, wait), resolve));
    }
  }
}
