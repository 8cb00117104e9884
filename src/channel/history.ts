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
  /** Index of the oldest: taking from the front of an array moves all the others. */
  first: number;
  bytes: number;
}

/** What keeping a message costs beside its bytes, roughly. */
const OVERHEAD = 256;

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
    const cost = bytes + OVERHEAD;
    if (ms <= 0 || cost > most) return;
    const at = this.clock();
    const ring = this.#rings.get(channel) ?? { entries: [], first: 0, bytes: 0 };
    // Again, so that it comes last.
    this.#rings.delete(channel);
    this.#rings.set(channel, ring);
    ring.entries.push({ item, bytes: cost, at });
    this.#add(ring, cost);
    for (
      let first = ring.entries[ring.first]!;
      at - first.at > ms || ring.bytes > most;
      first = ring.entries[ring.first]!
    ) {
      this.#add(ring, -first.bytes);
      ring.first++;
    }
    if (ring.first > 64 && 2 * ring.first > ring.entries.length) {
      ring.entries = ring.entries.slice(ring.first);
      ring.first = 0;
    }
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
    const ring = this.#rings.get(channel);
    if (!ring) return [];
    return ring.entries.slice(ring.first).filter(({ at }) => at >= since).map(({ item }) => item);
  }

  #add(ring: Ring<Item>, bytes: number): void {
    ring.bytes += bytes;
    this.#bytes += bytes;
  }
}
