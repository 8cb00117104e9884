/**
 * Which epochs before the present one this device has been in since the program began, and the last of
 * them, of which live messages still count for a moment. (docs/protocol/group.md, rule 20)
 *
 * @module
 */
import type { Epoch } from "../e2e/epoch.ts";

/** Live messages of the epoch before count so long. */
const LATE_MS = 10_000;

export class LateEpochs {
  readonly #known = new Set<string>();
  #last: { epoch: Epoch; until: number; removal: boolean } | undefined;

  /** An epoch has ended; `removal`: by a commit that removes somebody. */
  end(epoch: Epoch, removal: boolean): void {
    this.#known.add(epoch.name);
    this.#last = { epoch, until: performance.now() + LATE_MS, removal };
  }

  /** The epoch of this name, if others may still be heard in it: after a removal where they sign. */
  heard(name: string, signed: boolean): Epoch | undefined {
    const last = this.#last;
    if (last?.epoch.name !== name || last.until <= performance.now()) return undefined;
    return signed || !last.removal ? last.epoch : undefined;
  }

  /** Whether there was such an epoch here. */
  knew(name: string): boolean {
    return this.#known.has(name);
  }
}
