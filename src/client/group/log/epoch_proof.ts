/**
 * Whether a welcome comes from the group that a newcomer wants to join: from the epoch in which its text
 * was made on, each log has to show the commit that began the next epoch, up to the one that let the
 * newcomer in. (docs/protocol/group.md, rule 15)
 *
 * The relay's order is believed, and nothing else: a device that was removed cannot write before the
 * commit that removed it, cannot make a tag of that commit fit a key of its own, and cannot choose which
 * log belongs to a key.
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { ClientError } from "../../client_error.ts";
import { Epoch } from "../e2e/epoch.ts";
import { EpochLog } from "./epoch_log.ts";
import { commitIn } from "./log_entries.ts";
import type { LogListener, Opened } from "./log_link.ts";
import { epochSecretOf } from "../mls/carry.ts";
import { type EpochStep, prevails, seeCommit, type SeenCommit } from "../mls/epoch_chain.ts";
import type { Entered } from "../mls/newcomer.ts";

/**
 * - `proven`: the commit that began the next epoch is what ended this one.
 * - `refuted`: another commit may have ended it.
 * - `missing`: there is none yet; the relay may have lost it, and members bring it again.
 */
export type Proof = "proven" | "refuted" | "missing";

/** Other commits in one log that are weighed; no honest group makes as many. */
const MOST_OTHERS = 64;

/** Reads the log of one epoch for what ended it. */
export class EpochProof implements LogListener {
  #step: SeenCommit | undefined;
  readonly #others: SeenCommit[] = [];
  #hole: ClientError | undefined;

  private constructor(readonly log: EpochLog, private readonly step: EpochStep) {}

  /** What proves these, the oldest first. */
  static async *of(
    { membership, carry, from }: Entered,
    database: string,
  ): AsyncGenerator<EpochProof> {
    const { group, view: { suite } } = membership;
    for (let i = from; i < carry.length; i++) {
      const { confirmationKey } = carry[i]!;
      const epoch = await Epoch.of(await epochSecretOf(confirmationKey, group), group);
      const to = carry[i + 1] ?? await membership.witness();
      const log = await EpochLog.begin(epoch, database);
      yield new EpochProof(log, { suite, from: carry[i]!, to });
    }
  }

  /** By what was read so far. Throws `LOG_HOLE` where the relay keeps something back. */
  get proof(): Proof {
    if (this.#hole) throw this.#hole;
    if (this.#step && this.#others.length <= MOST_OTHERS) {
      return prevails(this.#step, this.#others) ? "proven" : "refuted";
    }
    const ended = this.#others.some(({ inPlace, doubt }) => inPlace && !doubt);
    return ended || this.#step ? "refuted" : "missing";
  }

  opened(answer: Opened): void {
    this.log.opened(answer);
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    if (this.#hole) return;
    const { log } = this;
    const place = log.cursor;
    try {
      await log.step(sequence, frame);
    } catch (error) {
      this.#hole = error as ClientError;
      return;
    }
    const commit = await commitIn(frame, log.epoch);
    const seen = commit && await seeCommit(commit.message, place, this.step);
    if (!seen) return;
    if (!seen.isStep) {
      if (this.#others.length <= MOST_OTHERS) this.#others.push(seen);
    } else {
      this.#step ??= seen;
    }
  }

  live(): void {}
}
