/**
 * Scales by their id, and no more than so many: the one told longest ago goes first.
 *
 * @module
 */
import type { Scale } from "../../wire/ecg/scale.ts";

export class Scales implements Iterable<Scale> {
  readonly #scales = new Map<number, Scale>();

  constructor(private readonly most: number) {}

  get(id: number): Scale | undefined {
    return this.#scales.get(id);
  }

  learn(scale: Scale): void {
    this.#scales.delete(scale.id);
    this.#scales.set(scale.id, scale);
    const [oldest] = this.#scales.keys();
    if (this.#scales.size > this.most) this.#scales.delete(oldest!);
  }

  /** The latest last. */
  [Symbol.iterator](): Iterator<Scale> {
    return this.#scales.values();
  }
}
