/**
 * A device's own operations that no other device is known to have, oldest first, each on top of the one
 * before it. In storage, by `queue/` + counter: u8 1 if it stands in the log, link 8, body.
 *
 * @module
 */
import { type Bytes, concat } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { type LinkedBody, parseLinked } from "./linked_body.ts";
import { type ChainHead, LINK_LENGTH, sameHead } from "./link_vector.ts";

/** An operation of ours that waits until another device has it. */
export interface Queued extends LinkedBody {
  readonly counter: bigint;
  /** It stands in the present log, and counts. */
  readonly logged: boolean;
}

const PREFIX = "queue/";
const keyOf = (counter: bigint): string => `${PREFIX}${String(counter).padStart(20, "0")}`;

export class OwnQueue {
  readonly #waiting = new Map<bigint, Queued>();
  #newest: Queued | undefined;
  #logged = 0;

  constructor(private readonly saver: Saver) {}

  get size(): number {
    return this.#waiting.size;
  }

  /** How many do not stand in the present log. */
  get unlogged(): number {
    return this.#waiting.size - this.#logged;
  }

  get newest(): Queued | undefined {
    return this.#newest;
  }

  [Symbol.iterator](): Iterator<Queued> {
    return this.#waiting.values();
  }

  /** The one with this counter and link, if it waits. */
  get(head: ChainHead): Queued | undefined {
    const found = this.#waiting.get(head.counter);
    return found && sameHead(found, head) ? found : undefined;
  }

  /** Puts one behind all others. */
  add(body: LinkedBody, logged = false): void {
    const one = { ...body, counter: body.operation.counter, logged };
    this.#put(one);
    this.#newest = one;
  }

  /** Whether one of them stands in the log. */
  mark({ counter }: ChainHead, logged: boolean): void {
    const one = this.#waiting.get(counter);
    if (one && one.logged !== logged) this.#put({ ...one, logged });
  }

  markAll(logged: boolean): void {
    for (const one of [...this.#waiting.values()]) this.mark(one, logged);
  }

  drop(counter: bigint): void {
    const one = this.#waiting.get(counter);
    if (!one) return;
    this.#waiting.delete(counter);
    if (one.logged) this.#logged--;
    if (this.#newest?.counter === counter) this.#newest = [...this.#waiting.values()].at(-1);
    this.saver.set(keyOf(counter), undefined);
  }

  #put(one: Queued): void {
    const before = this.#waiting.get(one.counter);
    this.#logged += Number(one.logged) - Number(before?.logged ?? false);
    this.#waiting.set(one.counter, one);
    if (this.#newest?.counter === one.counter) this.#newest = one;
    this.saver.set(
      keyOf(one.counter),
      concat(Uint8Array.of(one.logged ? 1 : 0), one.link, one.bytes),
    );
  }

  /** Takes what was saved. Throws as `parseLinked`. */
  restore(saved: ReadonlyMap<string, Bytes>): void {
    for (const key of [...saved.keys()].filter((key) => key.startsWith(PREFIX)).sort()) {
      const bytes = saved.get(key)!;
      const link = bytes.slice(1, 1 + LINK_LENGTH);
      this.add({ ...parseLinked(bytes.slice(1 + LINK_LENGTH)), link }, bytes[0] === 1);
    }
  }
}
