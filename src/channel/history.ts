/**
 * The last seconds of each channel, for whoever comes late. Bounded in time and in bytes, for one
 * channel and for all of them together; when all together hold too much, the owner who holds most
 * gives way.
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

interface Owner<Item> {
  /** The channel that was silent for longest comes first. */
  readonly rings: Map<string, Ring<Item>>;
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
  readonly #owners = new Map<string, Owner<Item>>();
  #bytes = 0;

  constructor(private readonly bounds: HistoryBounds, private readonly clock: () => number) {}

  /** Bytes kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Channels that have something. */
  get size(): number {
    let size = 0;
    for (const { rings } of this.#owners.values()) size += rings.size;
    return size;
  }

  /** Keeps `item`, which holds so many bytes. */
  push(owner: string, channel: string, item: Item, bytes: number): void {
    const { ms, bytes: most, bytesInAll } = this.bounds;
    const cost = bytes + OVERHEAD;
    if (ms <= 0 || cost > most) return;
    const at = this.clock();
    const own = this.#owners.get(owner) ?? { rings: new Map(), bytes: 0 };
    this.#owners.set(owner, own);
    const ring = own.rings.get(channel) ?? { entries: [], first: 0, bytes: 0 };
    // Again, so that it comes last.
    own.rings.delete(channel);
    own.rings.set(channel, ring);
    ring.entries.push({ item, bytes: cost, at });
    this.#add(own, ring, cost);
    for (
      let first = ring.entries[ring.first]!;
      at - first.at > ms || ring.bytes > most;
      first = ring.entries[ring.first]!
    ) {
      this.#add(own, ring, -first.bytes);
      ring.first++;
    }
    if (ring.first > 64 && 2 * ring.first > ring.entries.length) {
      ring.entries = ring.entries.slice(ring.first);
      ring.first = 0;
    }
    // What expired elsewhere goes on such occasions, so nothing needs a timer.
    this.#dropExpired(owner, own, at);
    if (this.#bytes <= bytesInAll) return;
    for (const [name, other] of this.#owners) this.#dropExpired(name, other, at);
    while (this.#bytes > bytesInAll) this.#makeRoom();
  }

  /** What came in the last `ms` milliseconds, oldest first. */
  last(owner: string, channel: string, ms: number): Item[] {
    const since = this.clock() - Math.min(ms, this.bounds.ms);
    const ring = this.#owners.get(owner)?.rings.get(channel);
    if (!ring) return [];
    return ring.entries.slice(ring.first).filter(({ at }) => at >= since).map(({ item }) => item);
  }

  /** Drops the oldest channel of whoever holds most. */
  #makeRoom(): void {
    let most: [string, Owner<Item>] | undefined;
    for (const one of this.#owners) if (!most || one[1].bytes > most[1].bytes) most = one;
    const [name, owner] = most!;
    const [channel, ring] = owner.rings.entries().next().value!;
    this.#drop(name, owner, channel, ring);
  }

  #dropExpired(name: string, owner: Owner<Item>, at: number): void {
    for (const [channel, ring] of owner.rings) {
      if (at - ring.entries.at(-1)!.at <= this.bounds.ms) return;
      this.#drop(name, owner, channel, ring);
    }
  }

  #drop(name: string, owner: Owner<Item>, channel: string, ring: Ring<Item>): void {
    owner.rings.delete(channel);
    this.#add(owner, ring, -ring.bytes);
    if (owner.rings.size === 0) this.#owners.delete(name);
  }

  #add(owner: Owner<Item>, ring: Ring<Item>, bytes: number): void {
    ring.bytes += bytes;
    owner.bytes += bytes;
    this.#bytes += bytes;
  }
}
