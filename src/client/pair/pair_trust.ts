/**
 * Which partners a device takes: those it knows, those its application says yes to, and with
 * `trust: "first"` the first one.
 *
 * @module
 */
import { hex } from "../../wire/bytes.ts";
import type { Host } from "../../host.ts";
import { ClientError, type ClientFault, faultOf } from "../client_error.ts";
import type { PairMemory } from "./pair_memory.ts";
import type { Confirm, Partner, Trust } from "./partner.ts";

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

/** Node ids that were refused and are not asked about again for a while. */
const MOST_REFUSED = 1_000;
/** Meetings in a row that ended before there was a code: one may be chance. */
const MOST_WITHHELD = 2;
/** No longer than that: anybody may wear a node id. */
const REFUSED_MS = 600_000;

/** Throws `NO_CONFIRM` where nothing says whom to trust. */
export function checkTrust({ confirm, trust }: TrustOptions): void {
  if (confirm || trust === "first") return;
  throw new ClientError("NO_CONFIRM", "nothing says which devices to take");
}

export class PairTrust {
  /** Until when a node id is not asked about. */
  readonly #refused = new Map<string, number>();
  #withheld = 0;
  /** Counts what was forgotten: a link from before has no part in what comes after. */
  #generation = 0;

  /** `fault`: of the storage. In memory it holds all the same. */
  constructor(
    readonly memory: PairMemory,
    private readonly options: TrustOptions,
    private readonly host: Host,
    private readonly fault: (fault: ClientFault) => void,
  ) {}

  /** What decides on one link. After a `forget` it knows nobody, takes nobody and keeps nothing. */
  link(): Trust {
    const { memory } = this;
    const generation = this.#generation;
    const current = () => generation === this.#generation;
    const change = async (run: () => void) => {
      if (!current()) return;
      run();
      await this.#store();
    };
    return {
      bonds: (node) => current() ? memory.bonds(node) : [],
      takes: (partner) => current() && this.#takes(partner),
      judge: (partner) => current() && this.#judge(partner),
      keep: (bond) => change(() => memory.keep(bond)),
      settle: (node, bond) => change(() => memory.settle(node, bond)),
      met: () => this.#withheld = 0,
      withheld: () => this.#withhold(),
      declined: (node) => change(() => memory.decline(node)),
    };
  }

  /** Our side said no: for a while this one is not asked about again. */
  refuse({ node }: Partner): void {
    if (this.#refuses(node)) return;
    this.#refused.set(hex(node), this.host.now() + REFUSED_MS);
    if (this.#refused.size > MOST_REFUSED) {
      this.#refused.delete(this.#refused.keys().next().value!);
    }
  }

  /** Everybody needs a yes again, from now on. Throws `STORAGE_FAILED` where it is not stored. */
  async forget(): Promise<void> {
    this.#generation++;
    this.memory.forget();
    this.#refused.clear();
    await this.memory.saver.flush();
  }

  #withhold(): boolean {
    if (++this.#withheld < MOST_WITHHELD) return false;
    const detail = `${this.#withheld} times in a row a partner saw our half of the code and left`;
    this.fault(faultOf(new ClientError("CODE_WITHHELD", detail)));
    return true;
  }

  #takes({ remembers }: Partner): boolean {
    return this.options.trust === "first" && remembers && !this.memory.settled;
  }

  #judge(partner: Partner): boolean | Promise<boolean> {
    if (this.#refuses(partner.node)) return false;
    return this.options.confirm?.(partner.code, partner) ?? false;
  }

  #refuses(node: Uint8Array): boolean {
    const key = hex(node);
    const until = this.#refused.get(key);
    if (until === undefined || this.host.now() < until) return until !== undefined;
    this.#refused.delete(key);
    return false;
  }

  async #store(): Promise<void> {
    try {
      await this.memory.saver.flush();
    } catch (error) {
      this.fault(faultOf(error));
    }
  }
}
