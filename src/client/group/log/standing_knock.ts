/**
 * What a device waits with at a door, and the welcomes that it found there. They are good, but for what
 * the logs have to show. (docs/protocol/group.md, rules 14 to 16)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { digest } from "../e2e/derive.ts";
import { GroupNewcomer } from "../mls/newcomer.ts";

/** Welcomes that wait to be shown; beyond, the oldest is let go. */
const MOST_WELCOMES = 8;

export class StandingKnock {
  /** Those that the logs speak against, by hash in hex. */
  readonly #refuted = new Set<string>();
  #welcomes: readonly Bytes[] = [];

  constructor(
    readonly newcomer: GroupNewcomer,
    /** Others may be let in by the same door. */
    readonly permanent: boolean,
  ) {}

  /** MLSMessages, the oldest first. */
  get welcomes(): readonly Bytes[] {
    return this.#welcomes;
  }

  /** Answers whether it is one more. */
  async welcomed(message: Bytes): Promise<boolean> {
    const known = this.#welcomes.some((one) => sameBytes(one, message));
    if (known || this.#refuted.has(await nameOf(message))) return false;
    this.#welcomes = [...this.#welcomes, message].slice(-MOST_WELCOMES);
    return true;
  }

  async refuse(message: Bytes): Promise<void> {
    this.#welcomes = this.#welcomes.filter((one) => !sameBytes(one, message));
    this.#refuted.add(await nameOf(message));
  }

  /** Private keys included. */
  save() {
    const { newcomer, permanent } = this;
    return { newcomer: newcomer.save(), permanent, welcomes: [...this.#welcomes] };
  }

  static async restore({ newcomer, permanent, welcomes }: SavedKnock): Promise<StandingKnock> {
    const knock = new StandingKnock(await GroupNewcomer.restore(newcomer), permanent);
    knock.#welcomes = welcomes.map((one) => one.slice());
    return knock;
  }
}

export type SavedKnock = ReturnType<StandingKnock["save"]>;

const nameOf = async (message: Bytes): Promise<string> => hex(await digest("BX2 welcome", message));
