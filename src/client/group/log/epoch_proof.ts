/**
 * Whether a welcome comes from the group that a newcomer wants to join: from the epoch in which its text
 * was made on, each log has to show the commit that began the next epoch, up to the one that let the
 * newcomer in. (docs/protocol/group.md, rule 15)
 *
 * The relay's order is believed, and nothing else: a device that was removed cannot write before the
 * commit that removed it, and cannot make a tag of that commit fit a key of its own.
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { ClientError } from "../../client_error.ts";
import { Epoch } from "../e2e/epoch.ts";
import { EpochLog } from "./epoch_log.ts";
import { commitIn } from "./log_entries.ts";
import type { LogListener, Opened } from "./log_link.ts";
import { type EpochStep, judgeStep } from "../mls/epoch_chain.ts";
import type { Entered } from "../mls/newcomer.ts";

/**
 * - `proven`: the commit that began the next epoch is what ended this one.
 * - `refuted`: another commit stands before it, where its author has made it.
 * - `missing`: there is none yet; the relay may have lost it, and members bring it again.
 */
export type Proof = "proven" | "refuted" | "missing";

/** Reads the log of one epoch for what ended it. */
export class EpochProof implements LogListener {
  #proof: Proof = "missing";
  #hole: ClientError | undefined;

  private constructor(
    readonly log: EpochLog,
    private readonly step: EpochStep,
    /** Runs when it is proven or refuted, or cannot be read on. */
    private readonly decided: () => void,
  ) {}

  /** What proves these, the oldest first. */
  static async *of(
    { membership, carry, from }: Entered,
    database: string,
    decided: () => void,
  ): AsyncGenerator<EpochProof> {
    const { suite } = membership.view;
    for (let i = from; i < carry.length; i++) {
      const epoch = await Epoch.of(carry[i]!.secret, membership.group);
      const to = carry[i + 1] ?? await membership.witness();
      const log = await EpochLog.begin(epoch, database);
      yield new EpochProof(log, { suite, from: carry[i]!, to }, decided);
    }
  }

  /** Throws `LOG_HOLE` where the relay keeps something back: another link begins anew. */
  get proof(): Proof {
    if (this.#hole) throw this.#hole;
    return this.#proof;
  }

  opened(answer: Opened): void {
    this.log.opened(answer);
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    if (this.#proof !== "missing" || this.#hole) return;
    const { log } = this;
    const place = log.cursor;
    try {
      await log.step(sequence, frame);
    } catch (error) {
      this.#hole = error as ClientError;
      return this.decided();
    }
    const commit = await commitIn(frame, log.epoch);
    if (!commit) return;
    const judged = await judgeStep(commit.message, place, this.step);
    if (judged === "nothing") return;
    this.#proof = judged === "step" ? "proven" : "refuted";
    this.decided();
  }

  live(): void {}
}
