/**
 * What devices of groups have stored.
 *
 * @module
 */
import { memoryStorage, Saver } from "../../src/client/blaze/storage.ts";
import { Group } from "../../src/client/group/log/group_state.ts";
import type { Bytes } from "../../src/wire/bytes.ts";
import { type backedUp, eventually } from "./group.ts";

/** A device as it was stored. */
export const restored = (stored: ReadonlyMap<string, Bytes>): Promise<Group> =>
  Group.restore(stored, new Saver(memoryStorage()));

/** What a device has stored, as soon as it is so. */
export async function storedAs(
  { copy }: Pick<ReturnType<typeof backedUp>, "copy">,
  isSo: (group: Group) => boolean,
): Promise<Map<string, Bytes>> {
  let stored = new Map<string, Bytes>();
  await eventually(async () => isSo(await restored(stored = await copy())), "it was not stored");
  return stored;
}
