/**
 * Looks into the logs of epochs that have ended: has a relay that lost its memory, or lies, another end
 * for one of them? (docs/protocol/group.md, rules 12 and 13)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import type { Compression } from "../../blaze/compression.ts";
import { ClientError } from "../../client_error.ts";
import { judge } from "./branches.ts";
import type { Device } from "./device.ts";
import { Epoch } from "../e2e/epoch.ts";
import { endOf, type EpochEnd, mutualRemoval } from "./ends.ts";
import { EpochLog } from "./epoch_log.ts";
import { type CommitEntry, openEntry } from "./log_entries.ts";
import {
  type Cursor,
  isShut,
  type LogLink,
  type LogListener,
  NO_RING,
  type Opened,
} from "./log_link.ts";
import { isInPlace } from "../mls/commit_place.ts";
import { placeOfCommit } from "../mls/commit_rules.ts";
import { behind, commitOf, type PastEpoch } from "./past_epochs.ts";

/** Other ends of one epoch that are weighed. */
const MOST_ENDS = 16;

/**
 * - `ours`: what we follow stands, and is in the logs.
 * - `again`: the same, after it was appended again: others should look.
 * - `other`: we follow another commit from now on.
 * - `lost`: another one may have to be followed, and we cannot check it any more.
 */
export type Past = "ours" | "again" | "other" | "lost";

/** Throws `MUTUAL_REMOVAL`. */
export async function lookBack(
  device: Device,
  log: LogLink,
  compression: Compression,
  thoroughly: boolean,
): Promise<Past> {
  const { group } = device;
  const all = group.past.all.filter(commitOf);
  const everything = thoroughly || group.looksBack;
  let again = false;
  // One is enough to see whether the relay still has its memory.
  for (const past of everything ? all : all.slice(-1)) {
    const verdict = await lookInto(past, device, log, compression).catch((error) => {
      // With a token that reads only, what is missing is for others to bring again.
      if (isShut(error)) return "ours" as const;
      throw error;
    });
    if (verdict === "other" || verdict === "lost") return verdict;
    if (verdict === "again") again = true;
  }
  if (everything) group.lookedBack();
  else if (group.looksBack) {
    const others = await lookBack(device, log, compression, true);
    if (others !== "ours") return others;
  }
  return again ? "again" : "ours";
}

async function lookInto(
  past: PastEpoch,
  { group, saver }: Device,
  link: LogLink,
  compression: Compression,
): Promise<Past> {
  const epoch = await Epoch.of(past.secret, group.id);
  const ours = commitOf(past)!;
  const placed = !sameBytes(past.ring, NO_RING);
  const log = placed
    ? EpochLog.at(epoch, group.database, await behind(past, ours))
    : await EpochLog.begin(epoch, group.database);
  const seen = new EndsSeen(log, past.ring, compression);
  await link.open(epoch.log, log.cursor, seen);
  if (seen.lost && placed) group.doubted();
  // With its memory, the relay has put the commits in order, and the first one counts.
  else if (!seen.lost && !past.doubt) return "ours";
  const { ending } = past;
  if (!ending) {
    // Which one is followed is not for who came later: it brings its own where nothing speaks against it.
    const isThere = seen.commits.some(({ commit, frame, place }) =>
      sameBytes(frame, ours) || standsThere(commit, place)
    );
    if (isThere) return "ours";
    await saver.flush();
    await link.append(ours);
    return "again";
  }
  const ends: EpochEnd[] = [];
  let there = !seen.lost;
  for (const { commit, frame, place } of seen.commits) {
    if (sameBytes(frame, ending.frame)) {
      there = true;
    } else if (past.state) {
      await endOf(commit, frame, place, past.state, group.own).then(
        (end) => ends.push(end),
        () => {},
      );
    } else if (standsThere(commit, place)) {
      return "lost";
    }
  }
  const acted = { ...ending, inPlace: ending.inPlace && !seen.lost };
  const removed = new Set(group.past.removed);
  for (const node of ending.removes) removed.delete(node);
  const verdict = judge(
    [...there ? [acted] : [], ...ends],
    [acted],
    removed,
    past.doubt || seen.lost,
  );
  if (verdict && "crossed" in verdict) throw mutualRemoval(group.membership!, verdict.crossed);
  const other = ends.find((end) => end === verdict?.follow);
  if (!other) {
    await saver.flush();
    if (there) return "ours";
    await link.append(ending.frame);
    return "again";
  }
  if (!other.next) throw new ClientError("REMOVED", "another device has removed this one");
  await group.followInstead(past, other);
  await saver.flush();
  return "other";
}

/** Whether a commit says of itself that it was made where it stands. */
function standsThere({ message }: CommitEntry, place: Cursor): boolean {
  try {
    return isInPlace(placeOfCommit(message), place);
  } catch {
    return false;
  }
}

interface SeenCommit {
  readonly commit: CommitEntry;
  readonly frame: Bytes;
  readonly place: Cursor;
}

/** The commits of a log, if it is another one than it was. */
class EndsSeen implements LogListener {
  lost = false;
  readonly commits: SeenCommit[] = [];

  constructor(
    private readonly log: EpochLog,
    private readonly ring: Bytes,
    private readonly compression: Compression,
  ) {}

  opened(answer: Opened): void {
    // Another life of the log; or an older state of it, brought back from a copy.
    this.lost = hex(answer.ring) !== hex(this.ring) || !answer.complete;
    if (this.lost) this.log.opened({ ...answer, complete: false });
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    if (this.commits.length >= MOST_ENDS) return;
    const place = this.log.cursor;
    await this.log.step(sequence, frame);
    const entry = await openEntry(frame, this.log, this.compression).catch(() => undefined);
    if (entry?.kind === "commit") this.commits.push({ commit: entry.commit, frame, place });
  }

  live(): void {}
}
