/**
 * What a relay keeps of a group, and the keys of one of its devices: all that a second reader needs.
 *
 * @module
 */
import { GroupMembership } from "../../src/client/group/mls/group_membership.ts";
import { PastEpochs, type SavedPast } from "../../src/client/group/log/past_epochs.ts";
import type { DeviceStorage } from "../../src/client/blaze/storage.ts";
import { MemoryStore } from "../../src/store/memory_store.ts";
import type { Append, Appended, LogName } from "../../src/store/store.ts";
import { decodeRecord } from "../../src/wire/blaze/blaze_record.ts";
import { type Bytes, hex } from "../../src/wire/bytes.ts";

/** A store that remembers every frame, of each log since its first entry. */
export class TappedStore extends MemoryStore {
  /** Frames in hex, by the log's id. */
  readonly frames = new Map<string, string[]>();

  override async append(name: LogName, append: Append): Promise<Appended> {
    const copy = hex(append.frame);
    const appended = await super.append(name, append);
    if (appended.kind === "appended") {
      const frames = this.frames.get(name.id) ?? [];
      frames[Number(appended.sequence) - 1] = copy;
      this.frames.set(name.id, frames);
    }
    return appended;
  }
}

/** Signature keys by node id, and the epoch secrets, the present one last: all in hex. */
export async function keysOf(
  storage: DeviceStorage,
): Promise<{ group: string; members: Record<string, string>; secrets: string[] }> {
  const keys = await storage.load();
  const saved = decodeRecord(keys.get("group")!);
  const membership = await GroupMembership.restore(saved.membership as Bytes);
  const { all } = await PastEpochs.restore(saved.past as unknown as SavedPast, keys);
  const secrets = [...all.map(({ secret }) => secret), await membership.epochSecret()];
  const members = membership.peers().map(({ node, signKey }) => [hex(node), hex(signKey)]);
  return {
    group: hex(membership.group),
    members: Object.fromEntries(members),
    secrets: secrets.map(hex),
  };
}
