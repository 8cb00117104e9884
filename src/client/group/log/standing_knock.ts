/**
 * What a device waits with at a door, and what became of the welcomes that it found there.
 * (docs/protocol/group.md, rules 14 to 16)
 *
 * @module
 */
import { type Bytes, hex } from "../../../wire/bytes.ts";
import { digest } from "../e2e/derive.ts";
import { GroupNewcomer } from "../mls/newcomer.ts";

/** Names of welcomes that are kept; beyond, the oldest is let go, and looked at once more. */
const MOST_NAMES = 1_000;

export class StandingKnock {
  /** Those that are none, by hash in hex. */
  readonly #refuted = new Set<string>();
  /** Those that the logs say nothing of yet, and that were looked at in this round. */
  readonly #tried = new Set<string>();
  /** Those that may still turn out to be good. */
  readonly #hopes = new Set<string>();
  /** Number of the door's last entry that was looked at in this round. */
  seen = 0n;
  /** The door has a welcome of another device. */
  passedBy = false;
  #newcomer: GroupNewcomer;

  constructor(
    newcomer: GroupNewcomer,
    /** Others may be let in by the same door. */
    readonly permanent: boolean,
  ) {
    this.#newcomer = newcomer;
  }

  get newcomer(): GroupNewcomer {
    return this.#newcomer;
  }

  /** Its key package is not good any more, or not yet: draws another one. */
  async renew(): Promise<void> {
    this.#newcomer = await this.#newcomer.renewed();
  }

  /** Whether a welcome (MLSMessage) has to be looked at. */
  async isDue(message: Bytes): Promise<boolean> {
    const name = await nameOf(message);
    if (this.#refuted.has(name)) return false;
    keep(this.#hopes, name);
    return !this.#tried.has(name);
  }

  /** Whether there are any that may still turn out to be good. */
  get hopes(): boolean {
    return this.#hopes.size > 0;
  }

  /** It is none, whatever comes. */
  async refute(message: Bytes): Promise<void> {
    const name = await nameOf(message);
    keep(this.#refuted, name);
    this.#hopes.delete(name);
  }

  /** Nothing speaks for it, nor against it, so far. */
  async leave(message: Bytes): Promise<void> {
    keep(this.#tried, await nameOf(message));
  }

  /** All that is not refuted is looked at once more. */
  again(): void {
    this.#tried.clear();
  }

  /** Private keys included. */
  save() {
    const { newcomer, permanent } = this;
    return { newcomer: newcomer.save(), permanent, refuted: [...this.#refuted] };
  }

  static async restore({ newcomer, permanent, refuted }: SavedKnock): Promise<StandingKnock> {
    const knock = new StandingKnock(await GroupNewcomer.restore(newcomer), permanent);
    for (const name of refuted) knock.#refuted.add(name);
    return knock;
  }
}

export type SavedKnock = ReturnType<StandingKnock["save"]>;

function keep(names: Set<string>, name: string): void {
  names.add(name);
  if (names.size > MOST_NAMES) names.delete(names.values().next().value!);
}

const nameOf = async (message: Bytes): Promise<string> => hex(await digest("BX2 welcome", message));
