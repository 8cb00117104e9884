/**
 * Who waits for which answer of the relay.
 *
 * @module
 */
import type { Payload } from "../../wire/ecg/payload.ts";

/** Somebody waits for an answer. */
interface Waiter {
  /** What the answer looks like: SUBSCRIPTION_ACK status, or type and time of what it acknowledges. */
  readonly key: string;
  resolve(): void;
  reject(error: Error): void;
}

export class Answers {
  /** In the order of asking: an ERROR belongs to the oldest. */
  readonly #waiters: Waiter[] = [];

  /** Settles with the answer of this key. */
  to(key: string): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ key, resolve, reject }));
  }

  settle(key: string): void {
    const at = this.#waiters.findIndex((waiter) => waiter.key === key);
    if (at >= 0) this.#waiters.splice(at, 1)[0]!.resolve();
  }

  refuse(error: Error): void {
    this.#waiters.shift()?.reject(error);
  }

  refuseAll(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}

/** The key of what acknowledges a message. */
export const ackKey = (type?: Payload, timestamp?: Payload): string =>
  `ack ${word(type)} ${word(timestamp)}`;

/** A plain value as text; a map's own `toString` would throw. */
export const word = (value?: Payload): string => typeof value === "object" ? "" : String(value);
