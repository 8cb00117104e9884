/**
 * What waits for a reader of live messages: the newest wins. What is dropped is counted, source by
 * source, and the reader hears of it at the place where it is missing.
 *
 * @module
 */
import type { Extent } from "../channel/channels.ts";
import type { Message } from "../link/link.ts";

/** What a reader lost of one source. */
export interface Gap {
  /** Null for what goes to everybody. */
  readonly source: string | null;
  messages: number;
  /** Sum of their {@linkcode Extent.count}. */
  count: number;
  /** Time of the earliest and of the latest message lost, microseconds since 1970. */
  from: bigint;
  to: bigint;
  /** A message that explains others is among them. */
  explains: boolean;
}

export interface Waiting {
  readonly message: Message;
  readonly extent: Extent;
  /** Milliseconds on the host's clock. */
  readonly at: number;
}

export class Backlog {
  #waiting: Waiting[] = [];
  /** Index of the oldest: taking from the front of an array moves all the others. */
  #first = 0;
  #bytes = 0;
  readonly #gaps = new Map<string | null, Gap>();

  /** Most bytes, and most milliseconds that a message waits. */
  constructor(private readonly bytes: number, private readonly ms: number) {}

  get length(): number {
    return this.#waiting.length - this.#first;
  }

  /** Nothing waits, not even word of a gap. */
  get idle(): boolean {
    return this.length === 0 && this.#gaps.size === 0;
  }

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#bytes += waiting.message.length;
    this.expire(waiting.at);
    while (this.#bytes > this.bytes) this.#lose();
  }

  /** Drops what has waited too long. */
  expire(now: number): void {
    while (this.length > 0 && now - this.#waiting[this.#first]!.at > this.ms) this.#lose();
  }

  /** The oldest message that waits. */
  get next(): Waiting | undefined {
    return this.#waiting[this.#first];
  }

  shift(): void {
    this.#bytes -= this.#waiting[this.#first]!.message.length;
    this.#first++;
    if (this.#first < 64 && this.#first < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
  }

  /** Takes what was lost of a source before what waits now. */
  gapOf(source: string | null): Gap | undefined {
    const gap = this.#gaps.get(source);
    if (gap) this.#gaps.delete(source);
    return gap;
  }

  /** Takes everything that was lost. */
  gaps(): Gap[] {
    const gaps = [...this.#gaps.values()];
    this.#gaps.clear();
    return gaps;
  }

  /** Forgets a source: the reader wants it no more. */
  forget(source: string): void {
    this.#waiting = this.#waiting.slice(this.#first).filter(({ extent }) =>
      extent.source !== source
    );
    this.#first = 0;
    this.#bytes = this.#waiting.reduce((sum, { message }) => sum + message.length, 0);
    this.#gaps.delete(source);
  }

  #lose(): void {
    const { source, count, time, explains = false } = this.next!.extent;
    this.shift();
    const gap = this.#gaps.get(source);
    if (!gap) {
      this.#gaps.set(source, { source, messages: 1, count, from: time, to: time, explains });
      return;
    }
    gap.messages++;
    gap.count += count;
    if (time < gap.from) gap.from = time;
    if (time > gap.to) gap.to = time;
    gap.explains ||= explains;
  }
}
