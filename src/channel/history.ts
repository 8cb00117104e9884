/**
 * The last seconds of each channel, for whoever comes late. Bounded in time and in bytes, for one
 * channel and for all of them together.
 *
 * @module
 */

interface Entry<Item> {
  readonly item: Item;
  readonly bytes: number;
  readonly at: number;
}

interface Ring<Item> {
  entries: Entry<Item>[];
  bytes: number;
}

export interface HistoryBounds {
  readonly ms: number;
  /** Of one channel. */
  readonly bytes: number;
  readonly bytesInAll: number;
}

export class History<Item> {
  /** The channel that was silent for longest comes first. */
  readonly #rings = new Map<string, Ring<Item>>();
  #bytes = 0;

  constructor(private readonly bounds: HistoryBounds, private readonly clock: () => number) {}

  /** Bytes kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Channels that have something. */
  get size(): number {
    return this.#rings.size;
  }

  /** Keeps `item`, which holds so many bytes. */
  push(channel: string, item: Item, bytes: number): void {
    const { ms, bytes: most, bytesInAll } = this.bounds;
    if (ms <= 0 || bytes > most) return;
    const at = this.clock();
    const ring = this.#rings.get(channel) ?? { entries: [], bytes: 0 };
    // Again, so that it comes last.
    this.#rings.delete(channel);
    this.#rings.set(channel, ring);
    ring.entries.push({ item, bytes, at });
    this.#add(ring, bytes);
    let gone = 0;
    for (
      let first = ring.entries[gone]!;
      at - first.at > ms || ring.bytes > most;
      first = ring.entries[++gone]!
    ) this.#add(ring, -first.bytes);
    if (gone > 0) ring.entries.splice(0, gone);
    // What expired elsewhere goes on this occasion, so nothing needs a timer.
    for (const [name, other] of this.#rings) {
      if (other === ring) break;
      if (at - other.entries.at(-1)!.at <= ms && this.#bytes <= bytesInAll) break;
      this.#rings.delete(name);
      this.#add(other, -other.bytes);
    }
  }

  /** What came in the last `ms` milliseconds, oldest first. */
  last(channel: string, ms: number): Item[] {
    const since = this.clock() - Math.min(ms, this.bounds.ms);
    const entries = this.#rings.get(channel)?.entries ?? [];
    return entries.filter(({ at }) => at >= since).map(({ item }) => item);
  }

  #add(ring: Ring<Item>, bytes: number): void {
    ring.bytes += bytes;
    this.#bytes += bytes;
  }
}
