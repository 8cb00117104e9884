/**
 * Commits that a newcomer finds in the logs that it reads back: it did not follow them, but when the
 * relay loses its memory it can bring them again as those can who did. (docs/protocol/group.md, rule 12)
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { EpochLog } from "./epoch_log.ts";
import type { Group } from "./group_state.ts";
import { commitIn } from "./log_entries.ts";
import { NO_RING } from "./log_link.ts";
import { seeCommit } from "../mls/epoch_chain.ts";

/** An entry was read in the log of an epoch that is over: it is kept if it is the commit that ended it. */
export async function keepShown(group: Group, log: EpochLog, frame: Bytes): Promise<void> {
  const commit = await commitIn(frame, log.epoch);
  const from = commit && group.past.of(log.epoch.secret);
  if (!from || from.ending || from.shown) return;
  const { view, number } = group.membership!;
  const next = from.number + 1n;
  const to = next === number
    ? await group.membership!.witness()
    : group.past.all.find((one) => one.number === next);
  if (!to) return;
  const step = { suite: view.suite, from, to };
  const seen = await seeCommit(commit.message, log.cursor, step);
  // Elsewhere than where it was first, it was appended again.
  if (seen?.isStep) group.shown(from, frame, log.ended ? log.cursor.ring : NO_RING);
}
