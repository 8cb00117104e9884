/**
 * Raw samples to payloads: packed, with the scale as often as late watchers need it, or as floats.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import { packSamples } from "../../wire/ecg/samples.ts";
import { readScale, type Scale } from "../../wire/ecg/scale.ts";
import { unpackedFields } from "../../wire/ecg/signal.ts";

/** A relay that meets the stream late has to learn the scale some time. */
const REPEAT_MS = 10_000;

export class SamplePacker {
  readonly #scale: Scale;
  /** Samples of each lead so far. */
  #position = 0;
  #toldAt = -Infinity;
  #toldTo: unknown;

  /** Throws `INVALID_SCALE`. */
  constructor(scale: Omit<Scale, "id">, private readonly host: Host) {
    // At random, so that publishers who take turns at a stream do not mean different things by one.
    const [high = 0, low = 0] = host.random(2);
    this.#scale = readScale({ ...scale, id: high << 8 | low });
  }

  /**
   * With the scale when `to` hears it for the first time, now and then after that, and `always` where
   * nobody in between can remember it.
   */
  packed(
    leads: readonly Int32Array<ArrayBuffer>[],
    to: unknown,
    always: boolean,
  ): Record<string, unknown> {
    this.#check(leads);
    const signal = packSamples(this.#scale.id, this.#position, leads);
    this.#position = this.#position + leads[0]!.length >>> 0;
    const now = this.host.now();
    if (!always && to === this.#toldTo && now - this.#toldAt < REPEAT_MS) return { signal };
    this.#toldTo = to;
    this.#toldAt = now;
    return { signal, scale: this.#scale };
  }

  /** The relay may not know the scale: it goes with the next packed signal. */
  repeat(): void {
    this.#toldTo = undefined;
  }

  unpacked(leads: readonly Int32Array<ArrayBuffer>[]): Record<string, unknown> {
    this.#check(leads);
    const fields = unpackedFields({ position: this.#position, leads }, this.#scale);
    this.#position = this.#position + leads[0]!.length >>> 0;
    return fields;
  }

  #check(leads: readonly Int32Array[]): void {
    const wanted = this.#scale.leads.length;
    if (leads.length !== wanted) {
      throw new TypeError(`${leads.length} leads; the scale has ${wanted}`);
    }
  }
}
