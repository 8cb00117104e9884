/**
 * The instances that seal one ECG stream, by the hint in their nonces, as long as somebody watches.
 *
 * @module
 */
import { hex, sameBytes } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";
import { Opener, type Sender } from "./e2e/sender.ts";

/** Instances of one device whose windows are kept; of older ones only where they were. */
const MOST_PER_NODE = 8;
/** Of one device, too: only a member can make more, and then the oldest of its own are forgotten. */
const MOST_MARKS = 4_096;

export class StreamOpeners {
  readonly #byHint = new Map<string, Opener>();
  /** By node: for epoch and hint, the counter below which everything counts as seen. */
  readonly #marks = new Map<string, Map<string, bigint>>();

  /** Exactly one instance or none: no payload is ever tried with a second key. */
  get(hint: string): Opener | undefined {
    return this.#byHint.get(hint);
  }

  /** The opener of an instance, whether it is known or not. Throws `HINT_TAKEN`. */
  of(sender: Sender): Opener {
    const known = this.#byHint.get(hex(sender.hint));
    if (!known) return new Opener(sender, this.#marks.get(hex(sender.node))?.get(placeOf(sender)));
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
    if (same.length <= MOST_PER_NODE) return;
    const [oldest, { sender, window }] = same[0]!;
    this.#byHint.delete(oldest);
    const marks = this.#marks.get(hex(node)) ?? new Map<string, bigint>();
    this.#marks.set(hex(node), marks.set(placeOf(sender), window.mark));
    if (marks.size > MOST_MARKS) marks.delete(marks.keys().next().value!);
  }
}

const placeOf = ({ epoch, hint }: Sender): string => `${epoch.name} ${hex(hint)}`;
