/**
 * What has become of the operations of this device: only here, at the relay, or with another device.
 *
 * @module
 */
import type { Ledger } from "./data/ledger.ts";
import type { Counts, Whereabouts } from "./group_types.ts";

export class Written {
  /** Operations that the relay has accepted, and that were not read in the log yet. */
  readonly #mailed = new Set<bigint>();
  /** Whoever waits until nothing is only here. */
  #sent: PromiseWithResolvers<void> | undefined;

  constructor(private readonly ledger: Ledger) {
    ledger.onSettled = () => this.check();
  }

  /** Operations that no other device is known to have yet. */
  get pending(): number {
    return this.ledger.waitingCount + this.ledger.unlisted;
  }

  get counts(): Counts {
    let local = this.ledger.unlisted;
    for (const one of this.ledger.waiting) if (!this.#isKept(one)) local++;
    return { local, mailbox: this.pending - local };
  }

  /** Where an operation is, by its counter; nothing for one that this device has not reached. */
  where(counter: bigint): Whereabouts | undefined {
    const { ledger } = this;
    if (counter <= 0n || counter > ledger.last) return undefined;
    if (ledger.isUnlisted(counter)) return "local";
    for (const one of ledger.waiting) {
      if (one.operation.counter === counter) return this.#isKept(one) ? "mailbox" : "local";
    }
    return "shared";
  }

  /** Resolves once nothing is only here. Rejects with what `end` was told. */
  async sent(): Promise<void> {
    if (this.counts.local === 0) return;
    await (this.#sent ??= Promise.withResolvers<void>()).promise;
  }

  /** The relay has accepted one. */
  mailed(counter: bigint): void {
    this.#mailed.add(counter);
    this.check();
  }

  /** Something may have become of what was only here. */
  check(): void {
    if (!this.#sent || this.counts.local > 0) return;
    this.#sent.resolve();
    this.#sent = undefined;
  }

  end(why: Error): void {
    this.#sent?.reject(why);
  }

  #isKept({ logged, operation }: { logged: boolean; operation: { counter: bigint } }): boolean {
    if (logged) this.#mailed.delete(operation.counter);
    return logged || this.#mailed.has(operation.counter);
  }
}
