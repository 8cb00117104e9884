/**
 * The instances of other devices, by the hint in their nonces. They outlive links, and their marks
 * outlive the program, so that a relay cannot play back what was taken before.
 *
 * @module
 */
import { hex } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";
import { Opener, Sender } from "./e2e/sender.ts";

/** Instances of one device that are listened to; beyond, the oldest is forgotten. */
const MOST_PER_NODE = 8;
/** Instances whose marks are kept. */
const MOST_MARKS = 512;

export class Openers {
  readonly #byHint = new Map<string, Opener>();
  /** By instance in hex: one above the highest counter taken. */
  readonly #marks: Map<string, bigint>;

  constructor(marks: Iterable<[string, bigint]> = []) {
    this.#marks = new Map(marks);
  }

  /** Exactly one instance or none: no payload is ever tried with a second key. */
  get(hint: string): Opener | undefined {
    return this.#byHint.get(hint);
  }

  taken(hint: string): boolean {
    return this.#byHint.has(hint);
  }

  /** The opener of an instance, whether it is known or not. Throws `HINT_TAKEN`. */
  of(sender: Sender): Opener {
    const hint = hex(sender.hint);
    const instance = hex(sender.instance);
    const known = this.#byHint.get(hint);
    if (known) {
      const same = hex(known.sender.instance) === instance && known.sender.epoch === sender.epoch &&
        hex(known.sender.node) === hex(sender.node);
      if (!same) throw new ClientError("HINT_TAKEN", "another instance has this hint");
      return known;
    }
    return new Opener(sender, this.#marks.get(markKey(sender)));
  }

  /** Listens to an instance from now on. */
  keep(opener: Opener): void {
    const { sender } = opener;
    this.#byHint.set(hex(sender.hint), opener);
    const same = [...this.#byHint].filter(([, { sender: { node } }]) =>
      hex(node) === hex(sender.node)
    );
    const [oldest] = same;
    if (same.length > MOST_PER_NODE) this.#forget(oldest![0]);
  }

  /** Marks of everything that was taken, to be kept. */
  marks(): Map<string, bigint> {
    for (const opener of this.#byHint.values()) this.#mark(opener);
    return this.#marks;
  }

  #forget(hint: string): void {
    this.#mark(this.#byHint.get(hint)!);
    this.#byHint.delete(hint);
  }

  #mark(opener: Opener): void {
    const key = markKey(opener.sender);
    this.#marks.delete(key);
    this.#marks.set(key, opener.window.mark);
    if (this.#marks.size > MOST_MARKS) this.#marks.delete(this.#marks.keys().next().value!);
  }
}

const markKey = ({ epoch, instance }: Sender): string => epoch.name + hex(instance);
