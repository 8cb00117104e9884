/**
 * What has been received: a ring of samples for each lead, and where samples are missing.
 *
 * Samples are numbered from the first one that came. A gap is part of the numbering, so that time
 * stays true across it.
 *
 * @module
 */
import type { LeadSamples, SampleChunk } from "./lead_samples.ts";

/** Samples `from` up to `to` are missing. Both are equal where it is not known how many. */
export interface Hole {
  readonly from: number;
  readonly to: number;
}

/** How long the page can scroll back, at most. */
const HISTORY_SECONDS = 600;
/** Of all leads together: 16 million samples are 64 MB. */
const MAX_SAMPLES = 16_777_216;
/** Samples of each lead that there is room for at first. */
const FIRST_SIZE = 4096;
/** Gaps and marks that are kept. */
const MAX_MARKS = 10_000;
/** Timestamps of messages jitter: a jump counts as lost samples only beyond this. */
const JITTER_MS = 250;

export class Trace {
  readonly capacity: number;
  /** Number after the newest sample. */
  end = 0;
  readonly gaps: Hole[] = [];
  /** Grow up to `capacity`: who changes leads with every message must not cost 64 MB each time. */
  #rings: readonly Float32Array[];
  #size: number;
  /** The sender's number of our sample 0. */
  #offset: number | undefined;
  /** When the sample `end` is due by the sender's timestamps. */
  #dueMs: number | undefined;
  /** When sample 0 was taken, by the newest timestamp. */
  #zeroMs: number | undefined;

  constructor(readonly rate: number, readonly leads: readonly LeadSamples[]) {
    this.capacity = Math.min(
      Math.ceil(HISTORY_SECONDS * rate),
      Math.floor(MAX_SAMPLES / leads.length),
    );
    this.#size = Math.min(this.capacity, FIRST_SIZE);
    this.#rings = leads.map(() => new Float32Array(this.#size));
  }

  /** Number of the oldest sample that is still here. */
  get start(): number {
    return Math.max(0, this.end - this.capacity);
  }

  /** Whether this chunk goes on with the same leads at the same rate. */
  fits(chunk: SampleChunk): boolean {
    return chunk.rate === this.rate && chunk.leads.length === this.leads.length &&
      chunk.leads.every(({ name, units }, i) =>
        name === this.leads[i]!.name && units === this.leads[i]!.units
      );
  }

  /** A value, or NaN for what is missing or gone. */
  value(lead: number, sample: number): number {
    if (sample < this.start || sample >= this.end) return NaN;
    return this.#rings[lead]![sample % this.#size]!;
  }

  /**
   * Takes the samples of one message, after a gap where its number or its time shows one. `lost`
   * samples are missing before it by the relay's word: a number knows better.
   */
  append(chunk: SampleChunk, lost = 0): void {
    const length = chunk.samples[0]!.length;
    if (lost > 0 && chunk.first === undefined) this.gap(lost);
    this.#missing(chunk, 1000 * length / this.rate);
    if (chunk.startMs !== undefined) {
      this.#zeroMs = chunk.startMs - 1000 * this.end / this.rate;
      this.#dueMs = chunk.startMs + 1000 * length / this.rate;
    }
    this.#grow(length);
    // A chunk longer than the ring overwrites itself; what stays is its end.
    const skip = Math.max(0, length - this.#size);
    chunk.samples.forEach((samples, lead) => {
      const ring = this.#rings[lead]!;
      let at = (this.end + skip) % this.#size;
      for (let i = skip; i < length; i++) {
        ring[at] = samples[i]!;
        if (++at === this.#size) at = 0;
      }
    });
    this.end += length;
  }

  /** So many samples were lost here: the relay said so, or the numbers show it. */
  gap(samples: number): void {
    if (!(samples >= 0)) return;
    const lost = Math.min(Math.round(samples), this.capacity);
    this.#grow(lost);
    for (const ring of this.#rings) {
      for (let i = 0; i < lost; i++) ring[(this.end + i) % this.#size] = NaN;
    }
    this.gaps.push({ from: this.end, to: this.end + lost });
    if (this.gaps.length > MAX_MARKS) this.gaps.shift();
    this.end += lost;
    if (this.#offset !== undefined) this.#offset += Math.round(samples) - lost;
    if (this.#dueMs !== undefined) this.#dueMs += 1000 * samples / this.rate;
  }

  /** The sample that the sender counts as this number. */
  numbered(sample: number): number {
    return sample - (this.#offset ?? 0);
  }

  /** The sample taken at this time, milliseconds since 1970; undefined where nothing says. */
  at(ms: number): number | undefined {
    return this.#zeroMs === undefined ? undefined : (ms - this.#zeroMs) * this.rate / 1000;
  }

  /** When a sample was taken, milliseconds since 1970. */
  timeOf(sample: number): number | undefined {
    return this.#zeroMs === undefined ? undefined : this.#zeroMs + 1000 * sample / this.rate;
  }

  /** Makes room for more samples. Before it is full size a ring has not come round. */
  #grow(more: number): void {
    const wanted = Math.min(this.capacity, this.end + more);
    if (wanted <= this.#size) return;
    this.#size = Math.min(this.capacity, Math.max(wanted, 2 * this.#size));
    this.#rings = this.#rings.map((ring) => {
      const grown = new Float32Array(this.#size);
      grown.set(ring);
      return grown;
    });
  }

  #missing(chunk: SampleChunk, chunkMs: number): void {
    const { first, startMs } = chunk;
    if (first !== undefined) {
      const lost = first - (this.#offset ?? first - this.end) - this.end;
      if (lost > 0) this.gap(lost);
      // Counted anew: the monitor was restarted.
      else if (lost < 0) this.gap(0);
      this.#offset = first - this.end;
    } else if (startMs !== undefined && this.#dueMs !== undefined) {
      const late = startMs - this.#dueMs;
      if (late > Math.max(JITTER_MS, 1.5 * chunkMs)) this.gap(late * this.rate / 1000);
      else if (late < -10_000) this.gap(0);
    }
  }
}
