/**
 * The instances that seal one ECG stream, by the hint in their nonces, as long as somebody watches.
 *
 * @module
 */
import { hex, sameBytes } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";
import { Opener, type Sender } from "./e2e/sender.ts";

/** Instances of one device that are listened to; beyond, the oldest is forgotten. */
const MOST_PER_NODE = 8;

export class StreamOpeners {
  readonly #byHint = new Map<string, Opener>();

  /** Exactly one instance or none: no payload is ever tried with a second key. */
  get(hint: string): Opener | undefined {
    return this.#byHint.get(hint);
  }

  /** The opener of an instance, whether it is known or not. Throws `HINT_TAKEN`. */
  of(sender: Sender): Opener {
    const known = this.#byHint.get(hex(sender.hint));
    if (!known) return new Opener(sender);
    const same = sameBytes(known.sender.instance, sender.instance) &&
      known.sender.epoch === sender.epoch && sameBytes(known.sender.node, sender.node);
    if (!same) throw new ClientError("HINT_TAKEN", "another instance has this hint");
    return known;
  }

  /** Listens to an instance from now on. */
  keep(opener: Opener): void {
    const { hint, node } = opener.sender;
    this.#byHint.set(hex(hint), opener);
    const same = [...this.#byHint].filter(([, { sender }]) => sameBytes(sender.node, node));
    if (same.length > MOST_PER_NODE) this.#byHint.delete(same[0]![0]);
  }
}
