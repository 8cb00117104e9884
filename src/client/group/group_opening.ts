/**
 * What a client begins with: a new group, the one in its storage, or one that it waits to be let into.
 *
 * @module
 */
import { type Bytes, sameBytes } from "../../wire/bytes.ts";
import type { Saver } from "../blaze/storage.ts";
import { ClientError } from "../client_error.ts";
import { random } from "./e2e/derive.ts";
import type { GroupOptions, NewGroupOptions } from "./group_types.ts";
import { Group } from "./log/group_state.ts";
import { GroupDoor } from "./mls/door.ts";
import { type InvitationText, parseInvitation } from "./mls/invitation_text.ts";

/** What storage holds of a membership, and of the ids that were given under it. */
const OF_MEMBER = /^(group|log|back|past\/.*|given)$/;

/**
 * `saved`: what the storage holds; where this device was removed and comes in anew, that goes from it.
 *
 * Throws `GROUP_EXISTS`, `NO_GROUP`, `OTHER_GROUP`, `REMOVED`, `BAD_INVITATION`.
 */
export async function openGroup(
  options: GroupOptions | NewGroupOptions,
  saved: Map<string, Bytes>,
  saver: Saver,
): Promise<Group> {
  if ("database" in options) return await create(options, saved, saver);
  const kept = saved.has("group") ? await Group.restore(saved, saver) : undefined;
  if (options.invitation === undefined) return goOn(kept);
  const { name = "" } = options;
  const invitation = await parseInvitation(options.invitation);
  if (!kept) return await Group.joining(invitation, saver, name);
  if (kept.removed) {
    // It comes in as a new device.
    for (const key of [...saved.keys()].filter((key) => OF_MEMBER.test(key))) {
      saver.set(key, undefined);
      saved.delete(key);
    }
    return await Group.joining(invitation, saver, name, kept.nodeId);
  }
  const same = kept.database === invitation.database &&
    sameBytes(kept.names.constant, invitation.constant);
  if (!same) throw new ClientError("OTHER_GROUP", "the storage holds another group");
  if (kept.membership || await waitsAt(kept, invitation)) return kept;
  return await Group.joining(invitation, saver, name);
}

async function create(
  { database, name = "", signed = false, postQuantum = false }: NewGroupOptions,
  saved: ReadonlyMap<string, Bytes>,
  saver: Saver,
): Promise<Group> {
  if (saved.has("group")) {
    throw new ClientError("GROUP_EXISTS", "the storage holds a group; open it");
  }
  const names = { database, constant: random(16) };
  return await Group.create(names, saver, { name, signed, postQuantum });
}

function goOn(kept: Group | undefined): Group {
  if (!kept) throw new ClientError("NO_GROUP", "the storage holds no group: bring an invitation");
  if (kept.removed) throw new ClientError("REMOVED", "another device has removed this one");
  return kept;
}

/** Whether it has knocked with this text before, and may have been answered. */
async function waitsAt(group: Group, { key }: InvitationText): Promise<boolean> {
  const { value } = await GroupDoor.ofInvitation(key, group.id);
  return group.knock !== undefined && sameBytes(group.knock.newcomer.door.value, value);
}
