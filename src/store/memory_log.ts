/**
 * One log in memory.
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";
import { chainNext, chainStart } from "./chain.ts";
import type { Entry, LogName, LogState } from "./store.ts";

interface Kept extends Entry {
  /** Chain hash after it. */
  readonly hash: Bytes;
}

export class MemoryLog {
  /** Oldest first; their numbers follow each other. */
  #entries: Kept[] = [];
  #before: Bytes;
  #bytes = 0;
  /** Its first closing entry, and when that came. */
  #closing: { readonly sequence: bigint; readonly at: number } | undefined;
  /** What was asked for and is not due yet: later ones go further. */
  #truncations: { readonly before: bigint; readonly at: number }[] = [];
  #first = 1n;
  usedAt = 0;
  readonly tenant: string;

  constructor(name: LogName, readonly key: Bytes, readonly ring: Bytes) {
    this.tenant = name.tenant;
    this.#before = chainStart(name.id);
  }

  get last(): bigint {
    return this.#first + BigInt(this.#entries.length) - 1n;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get state(): LogState {
    return {
      ring: this.ring,
      first: this.#first,
      last: this.last,
      before: this.#before,
      hash: this.#hash,
      bytes: this.#bytes,
      closed: this.closed,
    };
  }

  /** Bytes of the frames, and so many more for each of them. */
  cost(each: number): number {
    return this.#bytes + each * this.#entries.length;
  }

  append(frame: Bytes, closing: boolean, at: number): Entry {
    const sequence = this.last + 1n;
    // A copy: what it is a view of may be far larger.
    const entry = { sequence, frame: frame.slice(), hash: chainNext(this.#hash, frame) };
    this.#entries.push(entry);
    this.#bytes += frame.length;
    if (closing) this.#closing ??= { sequence, at };
    return { sequence, frame: entry.frame };
  }

  read(after: bigint, most: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let i = this.#index(after + 1n); i < this.#entries.length; i++) {
      const { sequence, frame } = this.#entries[i]!;
      bytes += frame.length;
      if (bytes > most && entries.length > 0) break;
      entries.push({ sequence, frame });
    }
    return entries;
  }

  hashAt(sequence: bigint): Bytes | undefined {
    if (sequence === this.#first - 1n) return this.#before;
    if (sequence < this.#first || sequence > this.last) return undefined;
    return this.#entries[this.#index(sequence)]!.hash;
  }

  truncate(before: bigint, at: number): void {
    const most = before > this.last ? this.last + 1n : before;
    if (most > (this.#truncations.at(-1)?.before ?? this.#first)) {
      this.#truncations.push({ before: most, at });
    }
  }

  /** Drops what was truncated by then, and what is below the closing entry of a log closed by then. */
  drop(truncatedAt: number, closedAt: number): void {
    let before = this.#first;
    while (this.#truncations[0] && this.#truncations[0].at <= truncatedAt) {
      before = this.#truncations.shift()!.before;
    }
    const closing = this.#closing;
    // Nobody may begin it again, so it says to the last that it ended.
    if (closing && (before > closing.sequence || closing.at <= closedAt)) before = closing.sequence;
    if (before <= this.#first) return;
    const gone = this.#entries.splice(0, this.#index(before));
    for (const { frame } of gone) this.#bytes -= frame.length;
    this.#before = gone.at(-1)!.hash;
    this.#first = before;
  }

  get #hash(): Bytes {
    return this.#entries.at(-1)?.hash ?? this.#before;
  }

  /** Where an entry is, or the first one above it, in `#entries`. */
  #index(sequence: bigint): number {
    if (sequence <= this.#first) return 0;
    return sequence > this.last ? this.#entries.length : Number(sequence - this.#first);
  }
}
