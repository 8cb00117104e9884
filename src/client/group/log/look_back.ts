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
import { type CommitEntry, commitIn, openEntry } from "./log_entries.ts";
import {
  type Cursor,
  isShut,
  type LogLink,
  type LogListener,
  NO_RING,
  type Opened,
} from "./log_link.ts";
import { outlineOf } from "../mls/epoch_chain.ts";
import { behind, commitOf, type PastEpoch } from "./past_epochs.ts";

/** Other ends of one epoch that are weighed. */
const MOST_ENDS = 64;

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
  const own = (await commitIn(ours, epoch))!.message;
  const seen = new EndsSeen(log, past.ring, own, compression);
  await link.open(epoch.log, log.cursor, seen);
  if (seen.lost && placed) group.doubted();
  // With its memory, the relay has put the commits in order, and the first one counts.
  else if (!seen.lost && !past.doubt) return "ours";
  const { ending } = past;
  if (!ending) {
    // Which one is followed is not for who came later: it brings its own where nothing speaks against it.
    if (seen.ours || seen.commits.some((one) => mayCount(one, own))) return "ours";
    await saver.flush();
    return await bring(ours, log, link);
  }
  const ends: EpochEnd[] = [];
  const there = !seen.lost || seen.ours;
  for (const one of seen.commits) {
    const { commit, frame, place } = one;
    if (past.state) {
      await endOf(commit, frame, place, past.state, group.own).then(
        (end) => ends.push(end),
        () => {},
      );
    } else if (!there && mayCount(one, own)) {
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
    return there ? "ours" : await bring(ending.frame, log, link);
  }
  if (!other.next) throw new ClientError("REMOVED", "another device has removed this one");
  await group.followInstead(past, other);
  await saver.flush();
  return "other";
}

/** Behind all that the log has: a commit that closes a log has room in a full one, too. */
async function bring(frame: Bytes, { cursor }: EpochLog, link: LogLink): Promise<Past> {
  try {
    const answer = await link.append(frame, cursor.sequence + 1n);
    if (answer === "moved") await link.append(frame);
    return "again";
  } catch (error) {
    // Who was removed can fill a log of before. It is tried again when the next link looks back.
    if (!(error instanceof ClientError) || error.code !== "MAILBOX_FULL") throw error;
    return "ours";
  }
}

/**
 * Whether a commit that cannot be checked may have ended the epoch: it says of itself that it was made
 * where it stands, and ours has not removed its author.
 */
function mayCount({ commit: { message }, place }: SeenEntry, ours: Bytes): boolean {
  const seen = outlineOf(message, place);
  return seen !== undefined && seen.inPlace &&
    !outlineOf(ours, place)?.removes.includes(seen.author);
}

interface SeenEntry {
  readonly commit: CommitEntry;
  readonly frame: Bytes;
  readonly place: Cursor;
}

/** The commits of a log, if it is another one than it was. */
class EndsSeen implements LogListener {
  lost = false;
  /** The commit that we follow is there, whoever has sealed it. */
  ours = false;
  /** Others. */
  readonly commits: SeenEntry[] = [];

  constructor(
    private readonly log: EpochLog,
    private readonly ring: Bytes,
    private readonly message: Bytes,
    private readonly compression: Compression,
  ) {}

  opened(answer: Opened): void {
    // Another life of the log; or an older state of it, brought back from a copy.
    this.lost = hex(answer.ring) !== hex(this.ring) || !answer.complete;
    if (this.lost) this.log.opened({ ...answer, complete: false });
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    const place = this.log.cursor;
    await this.log.step(sequence, frame);
    const entry = await openEntry(frame, this.log, this.compression).catch(() => undefined);
    if (entry?.kind !== "commit") return;
    const { commit } = entry;
    if (sameBytes(commit.message, this.message)) this.ours = true;
    else if (this.commits.length < MOST_ENDS && outlineOf(commit.message, place)) {
      this.commits.push({ commit, frame, place });
    }
  }

  live(): void {}
}
