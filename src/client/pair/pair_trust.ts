/**
 * Which partners a device takes: those it knows, those its application says yes to, and with
 * `trust: "first"` the first one.
 *
 * @module
 */
import { type Bytes, hex } from "../../wire/bytes.ts";
import { ClientError, type ClientFault, faultOf } from "../client_error.ts";
import type { PairMemory } from "./pair_memory.ts";
import type { Bond, Confirm, Partner, Trust } from "./partner.ts";

export interface TrustOptions {
  /**
   * Whether to take a device that was met and is not known. Nothing is sealed for it, and nothing taken
   * from it, before the answer is `true`. Who was confirmed once, and remembers it, is known again.
   */
  readonly confirm?: Confirm;
  /**
   * `first`: the first device that remembers is taken without a word, and no other one after it unless
   * `confirm` says so. Whoever is the first, or sits in between, has everything. Without `trust`,
   * `confirm` is needed.
   */
  readonly trust?: "first";
}

/** Node ids that were refused and are not asked about again. */
const MOST_REFUSED = 1_000;

/** Throws `NO_CONFIRM` where nothing says whom to trust. */
export function checkTrust({ confirm, trust }: TrustOptions): void {
  if (confirm || trust === "first") return;
  throw new ClientError("NO_CONFIRM", "nothing says which devices to take");
}

export class PairTrust implements Trust {
  readonly #refused = new Set<string>();

  /** `fault`: of the storage. In memory it holds all the same. */
  constructor(
    readonly memory: PairMemory,
    private readonly options: TrustOptions,
    private readonly fault: (fault: ClientFault) => void,
  ) {}

  bonds(node: Uint8Array): readonly Bond[] {
    return this.memory.bonds(node);
  }

  judge(partner: Partner): boolean | Promise<boolean> {
    const { confirm, trust } = this.options;
    if (this.#refused.has(hex(partner.node))) return false;
    if (trust === "first" && partner.remembers && !this.memory.settled) return true;
    return confirm?.(partner.code, partner) ?? false;
  }

  keep(node: Uint8Array, bond: Bytes): Promise<void> {
    this.memory.keep(node, bond);
    return this.#store();
  }

  settle(node: Uint8Array, bond: Bytes): Promise<void> {
    this.memory.settle(node, bond);
    return this.#store();
  }

  /** One of the sides said no: this one is not asked about again. */
  refuse({ node }: Partner): void {
    this.#refused.add(hex(node));
    if (this.#refused.size > MOST_REFUSED) {
      this.#refused.delete(this.#refused.values().next().value!);
    }
  }

  /** Everybody needs a yes again. Throws `STORAGE_FAILED`. */
  async forget(): Promise<void> {
    this.memory.forget();
    this.#refused.clear();
    await this.memory.saver.flush();
  }

  async #store(): Promise<void> {
    try {
      await this.memory.saver.flush();
    } catch (error) {
      this.fault(faultOf(error));
    }
  }
}
