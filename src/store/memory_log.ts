/**
 * One log in memory.
 *
 * Chain hashes are made when somebody asks for one, and some of them are kept: whoever writes waits for
 * none, and an entry costs little more than its frame.
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";
import { chainNext, chainStart } from "./chain.ts";
import type { Append, Entry, LogName, LogState } from "./store.ts";

/** Entries from one chain hash that is kept to the next. */
const STEP = 64;

export class MemoryLog {
  /** Frames, oldest first; their numbers follow each other. */
  #frames: Bytes[] = [];
  #before: Bytes;
  #bytes = 0;
  /** Chain hashes by the number of their entry, a multiple of `STEP`: of all below the newest here. */
  readonly #marks = new Map<number, Bytes>();
  /** The newest one, or what is before the first entry. */
  #marked = 0;
  /** Its first closing entry, and when that came. */
  #closing: { readonly sequence: bigint; readonly at: number } | undefined;
  /** What was asked for and is not due yet: later ones go further. */
  #truncations: { readonly before: bigint; readonly at: number }[] = [];
  #first = 1n;
  #last = 0n;
  usedAt = 0;

  constructor(name: LogName, readonly key: Bytes, readonly ring: Bytes) {
    this.#before = chainStart(name.id);
  }

  get last(): bigint {
    return this.#last;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get state(): LogState {
    return {
      ring: this.ring,
      first: this.#first,
      last: this.#last,
      before: this.#before,
      bytes: this.#bytes,
      closed: this.closed,
    };
  }

  /** Bytes of the frames, and so many more for each of them. */
  cost(each: number): number {
    return this.#bytes + each * this.#frames.length;
  }

  /** Answers the entry as those who watch get it. */
  append({ frame, closing, envelope }: Append, at: number): Entry {
    const sequence = ++this.#last;
    // A copy: what it is a view of may be far larger.
    const kept = envelope ? frame : frame.slice();
    this.#frames.push(kept);
    this.#bytes += frame.length;
    if (closing) this.#closing ??= { sequence, at };
    return envelope ? { sequence, frame, envelope } : { sequence, frame: kept };
  }

  read(after: bigint, most: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let i = this.#index(after + 1n); i < this.#frames.length; i++) {
      const frame = this.#frames[i]!;
      bytes += frame.length;
      if (bytes > most && entries.length > 0) break;
      entries.push({ sequence: this.#first + BigInt(i), frame });
    }
    return entries;
  }

  /** Makes chain hashes on the way to an entry's, of so many entries at most. Answers whether it is there. */
  prepare(sequence: bigint, most: number): boolean {
    if (sequence > this.#last) return true;
    const there = Math.max(this.#marked, Number(this.#first) - 1);
    const reach = there + most;
    if (Number(sequence) <= reach) return true;
    this.#chain(reach);
    return false;
  }

  hashAt(sequence: bigint): Bytes | undefined {
    if (sequence < this.#first - 1n || sequence > this.#last) return undefined;
    return this.#chain(Number(sequence));
  }

  truncate(before: bigint, at: number): void {
    const most = before > this.#last ? this.#last + 1n : before;
    if (most > (this.#truncations.at(-1)?.before ?? this.#first)) {
      this.#truncations.push({ before: most, at });
    }
  }

  /**
   * The oldest entry that stays of what was truncated by then, and of what is below the closing entry of a
   * log closed by then.
   */
  due(truncatedAt: number, closedAt: number): bigint {
    let before = this.#first;
    for (const truncation of this.#truncations) {
      if (truncation.at <= truncatedAt) before = truncation.before;
    }
    const closing = this.#closing;
    // Nobody may begin it again, so it says to the last that it ended.
    if (closing && (before > closing.sequence || closing.at <= closedAt)) return closing.sequence;
    return before;
  }

  /** Drops what is {@linkcode due}. */
  drop(truncatedAt: number, closedAt: number): void {
    const before = this.due(truncatedAt, closedAt);
    this.#truncations = this.#truncations.filter(({ at }) => at > truncatedAt);
    if (before <= this.#first) return;
    this.#before = this.#chain(Number(before - 1n));
    for (const { length } of this.#frames.splice(0, this.#index(before))) this.#bytes -= length;
    this.#first = before;
    for (const mark of this.#marks.keys()) if (mark < before) this.#marks.delete(mark);
  }

  /** Chain hash after an entry that is here, or before all. */
  #chain(sequence: number): Bytes {
    const first = Number(this.#first);
    let at = Math.min(this.#marked, sequence - sequence % STEP);
    let hash = this.#marks.get(at);
    if (!hash) [at, hash] = [first - 1, this.#before];
    while (at < sequence) {
      hash = chainNext(hash, this.#frames[++at - first]!);
      if (at % STEP === 0 && at > this.#marked) this.#marks.set(this.#marked = at, hash);
    }
    return hash;
  }

  /** Where an entry is, or the first one above it, in `#frames`. */
  #index(sequence: bigint): number {
    if (sequence <= this.#first) return 0;
    return sequence > this.#last ? this.#frames.length : Number(sequence - this.#first);
  }
}
