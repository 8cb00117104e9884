/**
 * Changes of a group that needs no relay: there is one device in it.
 *
 * @module
 */
import { endOf } from "../../src/client/group/log/ends.ts";
import type { Group } from "../../src/client/group/log/group_state.ts";
import { commitIn } from "../../src/client/group/log/log_entries.ts";
import type { GroupChange } from "../../src/client/group/mls/commit_maker.ts";

/** Makes a change of a group with one device, and follows it. */
export async function change(alone: Group, what: GroupChange): Promise<void> {
  const { frame } = await alone.prepare(what);
  const { epoch, cursor } = alone.log!;
  const commit = await commitIn(frame, epoch);
  await alone.follow(await endOf(commit!, frame, cursor, alone.membership!, alone.own));
}
