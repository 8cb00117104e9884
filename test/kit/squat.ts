/**
 * A group with a device that has its keys of before, and what members do about what that one puts into
 * logs of before and into doors.
 *
 * @module
 */
import { assert } from "@std/assert";
import type { LogTarget } from "../../src/client/group/e2e/epoch.ts";
import { commitIn } from "../../src/client/group/log/log_entries.ts";
import type { PastEpoch } from "../../src/client/group/log/past_epochs.ts";
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import { parseInvitation } from "../../src/client/group/mls/invitation_text.ts";
import type { Host } from "../../src/host.ts";
import { decodeExtension, Subtype } from "../../src/wire/blaze/extension.ts";
import { decodeFrame } from "../../src/wire/blaze/blaze_frame.ts";
import { type Bytes, sameBytes } from "../../src/wire/bytes.ts";
import {
  backedUp,
  converged,
  type DeviceKit,
  epochOf,
  eventually,
  insert,
  online,
  titles,
  type Told,
} from "./group.ts";
import { restored } from "./kept_group.ts";
import { type Hostile, isSubtype } from "./hostile.ts";
import { type Outsider, type RogueEntry, withRogue } from "./rogue.ts";

/** Two members, A and B, that are away, and a third one as it was in an epoch that has ended. */
export interface Squatted {
  /** What the third one had stored. */
  readonly stolen: Map<string, Bytes>;
  /** Made in the epoch that ended; it lets in one device. */
  readonly text: string;
  /** Number of the epoch that ended. */
  readonly number: number;
  readonly log: LogTarget;
  /** The commit that ended it. */
  readonly ending: Bytes;
  /** Whether A has the state in it still. */
  readonly state: boolean;
  /** A and B come back. */
  back(url?: string): [Told, Told];
}

export interface SquatOptions {
  /** A fourth one was let in, and has not come: members keep what they can of the epoch. */
  readonly awaits?: boolean;
  /** The third one follows into the next epoch. */
  readonly follows?: boolean;
  /** What ends the epoch, and what comes behind that. By default A removes the third one. */
  readonly ends?: (a: Told, node: string) => Promise<void>;
}

/** Where it all begins. Everybody is closed then. */
export async function squatted(
  kit: DeviceKit,
  options: { url: string; host: Host },
  { awaits = false, follows = false, ends }: SquatOptions = {},
): Promise<Squatted> {
  const stores = [backedUp(), backedUp(), backedUp()];
  const [ofA, ofB, ofR] = stores as [Backup, Backup, Backup];
  const again = ({ storage }: Backup) => kit.open({ ...options, storage });
  const first = kit.create({ ...options, database: "bugs", name: "A", storage: ofA.storage });
  await first.client.ready;
  const invitation = await first.client.invite({ permanent: true });
  let all = [first];
  for (const [i, { storage }] of stores.slice(1).entries()) {
    const one = kit.open({ ...options, invitation, name: "BR"[i]!, storage });
    await one.client.ready;
    all.push(one);
  }
  await eventually(() => all.every(({ client }) => online(client) === 3), "all are here");
  const text = await first.client.invite({ minutes: 60 });
  await eventually(() => all.every((one) => epochOf(one) === epochOf(first)), "all follow");
  if (awaits) {
    await closed(all);
    const late = kit.open({ ...options, invitation: text, name: "M" });
    await eventually(() => late.client.state === "waiting", "it waits");
    await closed([late]);
    all = stores.map(again);
    const there = () => all.map(({ client }) => client.devices().length);
    await eventually(() => there().every((count) => count === 4), () => `let in: ${there()}`);
  }
  await quiet(all);
  const stolen = await ofR.copy();
  const [a, b, r] = all as [Told, Told, Told];
  if (!follows) await closed([r]);
  await (ends ?? remove)(a, await r.client.node());
  await eventually(() => epochOf(b) === epochOf(a), "b follows");
  if (!ends && !awaits) await endorsed(options, ofB);
  await quiet(follows ? all : [a, b]);
  await closed(all);
  const { past } = await restored(await ofA.copy());
  return {
    stolen,
    text,
    back: (url = options.url) => {
      const [a, b] = stores.map(({ storage }) => ({ ...options, url, storage }));
      return [kit.open(a!), kit.open(b!)];
    },
    ...await endOf(options, stolen, past.all),
  };
}

type Backup = ReturnType<typeof backedUp>;

const remove = ({ client }: Told, node: string) => client.remove(node);
const closed = (devices: readonly Told[]) =>
  Promise.all(devices.map(({ client }) => client.close()));

/** What ended the epoch of somebody, as its log has it. */
async function endOf(
  relay: { url: string },
  stolen: Map<string, Bytes>,
  past: readonly PastEpoch[],
): Promise<Pick<Squatted, "number" | "log" | "ending" | "state">> {
  const group = await restored(stolen);
  const epoch = group.epoch!;
  let ending: Bytes | undefined;
  await withRogue(relay, stolen, async (rogue) => {
    await rogue.open(epoch.log);
    for (const { frame } of rogue.entries) {
      if (await commitIn(frame, epoch)) ending ??= frame;
    }
  });
  const { number } = group.membership!;
  const state = past.some((one) => one.number === number && one.state !== undefined);
  return { number: Number(number), log: epoch.log, ending: ending!, state };
}

/** Waits until the log of a device's epoch has a checkpoint that counts: nobody reads what is before. */
async function endorsed(relay: { url: string }, { copy }: Backup): Promise<void> {
  await withRogue(relay, await copy(), async (rogue) => {
    const is = ({ frame }: RogueEntry) => isSubtype(frame, Subtype.endorsement);
    await soon(async () => {
      await rogue.open((await restored(await copy())).epoch!.log);
      return rogue.entries.some(is);
    }, "a checkpoint is endorsed");
  });
}

/** How often a device lost its link. */
export const losses = ({ statuses }: Told): number =>
  statuses.filter(({ kind }) => kind === "offline").length;

/** Each has heard of the others that they have what it wrote. */
export async function quiet(devices: readonly Told[]): Promise<void> {
  const already = titles(devices[0]!).length;
  for (const one of devices) await insert(one, "for all");
  await converged(devices, already + devices.length, 10_000);
  const pending = () => devices.map(({ client }) => client.pending);
  await eventually(() => pending().every((count) => count === 0), () => `${pending()}`, 10_000);
}

/** Waits until something is so that has to be asked for. */
async function soon(ask: () => Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!await ask()) {
    assert(performance.now() < end, `not within ${ms} ms: ${what}`);
    // Whoever asks too often is sent away.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until a log has a frame, as somebody sees it who opens it again and again. */
export const holds = (who: Outsider, log: LogTarget, frame: Bytes): Promise<void> =>
  soon(async () => {
    await who.open(log);
    return who.entries.some((entry) => sameBytes(entry.frame, frame));
  }, "the log has it");

/** How often a device opened a log, through this relay. */
export const opens = ({ seen }: Hostile, node: string, id: Bytes): number =>
  seen.filter(({ up, message, victim }) => {
    if (!up || victim.node !== node || !isSubtype(message, Subtype.open)) return false;
    const word = decodeExtension(decodeFrame(message).payload);
    return word.subtype === "open" && sameBytes(word.log, id);
  }).length;

/** Time passes, as devices see it, in which something must not happen. */
export const passed = (host: Host, ms: number): Promise<void> =>
  new Promise((resolve) => host.after(ms, resolve));

/** The door of a text. */
export async function doorOf(text: string, group: Bytes): Promise<GroupDoor> {
  const { key } = await parseInvitation(text);
  return await GroupDoor.ofInvitation(key, group);
}

export const targetOf = ({ logId, logKey }: GroupDoor): LogTarget => ({ id: logId, key: logKey });

/** The key package that somebody brought last to a door: waits until there is one. */
export async function knockAt(who: Outsider, door: GroupDoor): Promise<Bytes> {
  await soon(async () => {
    await who.open(targetOf(door));
    return who.entries.length > 0;
  }, "somebody knocks");
  const word = decodeExtension(decodeFrame(who.entries.at(-1)!.frame).payload);
  assert(word.subtype === "device" && word.code === Subtype.knock);
  return await door.openKnock(word.body);
}

/** Appends until there is room for nothing more. `make`: a frame with so many bytes in it. */
export async function fill(
  who: Outsider,
  make: (length: number) => Bytes | Promise<Bytes>,
): Promise<void> {
  for (let length = 16_384; length >= 1; length >>= 1) {
    while (await who.append(await make(length)) === "kept");
  }
}
