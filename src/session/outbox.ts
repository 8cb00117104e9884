/**
 * What happens to a reader that is too slow is decided here and nowhere else.
 *
 * An operation and an alert are never dropped silently: past the limit the link is closed with its
 * own code, and the device comes back. A sample of a live stream is worth nothing later: past the
 * limit it is left out, and counted.
 *
 * @module
 */
import type { Delivery } from "../channel/channels.ts";
import { Close, type Fault } from "../close.ts";
import type { Link, Message } from "../link/link.ts";

export class Outbox {
  #open = true;
  /** Messages of class `stream` that this reader missed. */
  missed = 0;

  /** `limit`: bytes that may wait for the reader. An alert may go beyond it as far again. */
  constructor(readonly link: Link, private readonly limit: number) {}

  /** False once the link was closed from here. */
  get open(): boolean {
    return this.#open;
  }

  send(message: Message, delivery: Delivery = "operation"): void {
    if (!this.#open) return;
    const limit = delivery === "alert" ? 2 * this.limit : this.limit;
    if (this.link.buffered + message.length <= limit) {
      this.link.send(message);
    } else if (delivery === "stream") {
      this.missed++;
    } else {
      this.close(Close.tooSlow);
    }
  }

  /** Closes the link; nothing is sent after it. */
  close({ code, word, help }: Fault): void {
    if (!this.#open) return;
    this.#open = false;
    this.link.close(code, `${word}: ${help}`);
  }
}
