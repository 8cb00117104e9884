/**
 * The text of an invitation leads into the group that it was made in, whoever answers: also where the
 * group has changed since, and not where somebody answers who was removed.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { createConfirmedHash, createInterimHash } from "ts-mls/transcriptHash.js";
import { random } from "../src/client/group/e2e/derive.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { EpochLog } from "../src/client/group/log/epoch_log.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import { commitIn, deviceFrame, encodeCommitEntry } from "../src/client/group/log/log_entries.ts";
import type { PastEpoch } from "../src/client/group/log/past_epochs.ts";
import { type CarriedEpoch, type Carry, epochSecretOf } from "../src/client/group/mls/carry.ts";
import type { CommitPlace } from "../src/client/group/mls/commit_place.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { readPublicMessage } from "../src/client/group/mls/mls_message.ts";
import { decodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame } from "../src/wire/blaze/blaze_frame.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import { appended } from "./kit/attack.ts";
import {
  backedUp,
  converged,
  count,
  epochOf,
  eventually,
  faultsOf,
  group,
  insert,
  joined,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { restored, storedAs } from "./kit/kept_group.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { type Rogue, withRogue } from "./kit/rogue.ts";

/** The epoch of a text that a group of two makes next. */
const TEXT = 3n;

/** Whether a device stands in this epoch. */
const isIn = (epoch: bigint) => ({ membership }: Group) => membership?.number === epoch;

const refusals = (one: Told) => faultsOf(one, "BAD_WELCOME");

/** Where somebody who was removed answers a knock, and what it says of the past. */
interface Answer {
  /** Whose branch it is: the membership that it goes on from. */
  readonly membership: GroupMembership;
  /** The log that its commit goes into. */
  readonly epoch: Epoch;
  readonly place: CommitPlace;
  readonly carry: Carry;
}

interface Removed {
  readonly rogue: Rogue;
  /** The epoch that ended with its removal, read to the end of its log. */
  readonly last: CarriedEpoch;
  /** Those before, from that of the text on. */
  readonly before: readonly PastEpoch[];
  /** What it was in the epoch of the text. */
  readonly then: GroupMembership;
}

const bare = ({ bound, interim, confirmationKey }: CarriedEpoch): CarriedEpoch => ({
  bound,
  interim,
  confirmationKey,
});

const goingOn = ({ rogue, last, before }: Removed): Answer => ({
  membership: rogue.group.membership!,
  epoch: rogue.log.epoch,
  place: { ...rogue.log.cursor, doubt: false },
  carry: [...before.map(bare), last],
});

/** An epoch of its own, whose log it opens, with the transcript of the one that it was in. */
async function madeUp({ rogue }: Removed): Promise<Answer> {
  const confirmationKey = random(32);
  const epoch = await Epoch.of(
    await epochSecretOf(confirmationKey, rogue.group.id),
    rogue.group.id,
  );
  const { hash } = (await EpochLog.begin(epoch, rogue.group.database)).cursor;
  assertEquals(await rogue.open(epoch.log), "ok");
  const membership = rogue.group.membership!;
  const bound = { sequence: 0n, hash };
  const place = { ...bound, ring: rogue.ring, doubt: false };
  const carry = [{ bound, ...await membership.witness(), confirmationKey }];
  return { membership, epoch, place, carry };
}

/** The interim transcript hash behind its removal, which it can work out. */
async function trueInterim({ rogue, last }: Removed): Promise<Bytes> {
  await rogue.open(rogue.log.epoch.log);
  const commits = await Promise.all(
    rogue.entries.map(({ frame }) => commitIn(frame, rogue.log.epoch)),
  );
  const { content, auth } = readPublicMessage(commits.find((one) => one)!.message)!;
  assert(content.contentType === "commit" && auth.contentType === "commit");
  const { hash } = rogue.group.membership!.view.suite;
  const input = { wireformat: "mls_public_message", content, signature: auth.signature } as const;
  const confirmed = await createConfirmedHash(last.interim, input, hash);
  return (await createInterimHash(confirmed, auth.confirmationTag, hash)).slice();
}

const answers: Record<string, (parts: Removed) => Answer | Promise<Answer>> = {
  "that goes on where it was removed": goingOn,
  "whose commit pretends to be one that was brought again": (parts) => {
    const answer = goingOn(parts);
    return { ...answer, place: { ...answer.place, ring: random(8) } };
  },
  "with a log of its own": madeUp,
  "with a log of its own, behind the one that it was removed in": async (parts) => {
    const made = await madeUp(parts);
    return { ...made, carry: [...parts.before.map(bare), parts.last, ...made.carry] };
  },
  "with a log of its own in place of the last one": async (parts) => {
    const made = await madeUp(parts);
    return { ...made, carry: [...parts.before.map(bare), ...made.carry] };
  },
  "with a log of its own, and the true hash of its removal": async (parts) => {
    const interim = await trueInterim(parts);
    const made = await madeUp(parts);
    const own = { ...made.carry[0]!, interim };
    return { ...made, carry: [...parts.before.map(bare), parts.last, own] };
  },
  "with a log of its own, before the one of the text": async (parts) => {
    const made = await madeUp(parts);
    return { ...made, carry: [...made.carry, ...goingOn(parts).carry] };
  },
  "with the log of the text, behind one of its own": async (parts) => {
    const made = await madeUp(parts);
    const [text] = [...parts.before.map(bare), parts.last];
    return { ...made, carry: [...made.carry, text!] };
  },
  "that leaves out the epoch of the text": (parts) => {
    const [, ...behind] = goingOn(parts).carry;
    const other = { ...parts.last, confirmationKey: random(32) };
    return { ...goingOn(parts), carry: behind.length > 0 ? behind : [other] };
  },
  "that goes on from the epoch of the text": async (parts) => {
    const { rogue, then, before: [text] } = parts;
    if (!text) return goingOn(parts);
    const epoch = await Epoch.of(text.secret, rogue.group.id);
    await rogue.open(epoch.log);
    const log = await EpochLog.begin(epoch, rogue.group.database);
    log.opened({
      subtype: "recovered",
      complete: true,
      durability: 0,
      ring: rogue.ring,
      first: 1n,
      last: 0n,
      hash: log.cursor.hash,
    });
    for (const { sequence, frame } of rogue.entries) await log.step(sequence, frame);
    const place = { ...log.cursor, doubt: false };
    return { membership: then, epoch, place, carry: [{ ...bare(text), bound: place }] };
  },
};

/** Whether such an answer tells of no epoch of the text. */
const without = (answer: string, rotations: number): boolean =>
  ["with a log of its own", "that leaves out the epoch of the text"].includes(answer) ||
  (rotations === 0 && answer === "with a log of its own in place of the last one");

/** By what a newcomer sees it: the welcome tells of no epoch of the text, or a log has another commit. */
const WITHOUT_ANCHOR = "the group that the invitation was made in";
const REFUTED = "no member any more";

/** Lets somebody in who knocked last at the door of a text. */
async function answerKnock(parts: Removed, text: string, answer: typeof answers[string]) {
  const { rogue } = parts;
  const door = await GroupDoor.ofInvitation((await parseInvitation(text)).key, rogue.group.id);
  const at = { id: door.logId, key: door.logKey };
  await rogue.open(at);
  const knock = decodeExtension(decodeFrame(rogue.entries.at(-1)!.frame).payload);
  assert(knock.subtype === "device" && knock.code === Subtype.knock);
  const keyPackage = await door.openKnock(knock.body);
  const { membership, epoch, place, carry } = await answer(parts);
  const add = { kind: "add", keyPackage, door } as const;
  const { message, welcome } = await membership.prepare(add, place, carry);
  const frame = deviceFrame(Subtype.welcome, welcome!.body);
  const entry = { message, welcome: { door: door.value, frame } };
  assertEquals(await rogue.open(epoch.log), "ok");
  assertEquals(await rogue.append(await encodeCommitEntry(entry, epoch)), "kept");
  await rogue.open(at);
  assertEquals(await rogue.append(frame), "kept");
}

for (const rotations of [0, 2]) {
  const when = rotations > 0 ? ` ${rotations} epochs after it` : "";
  test(`a text does not lead into the branch of a device that was removed${when}, however it answers`, () =>
    withRelay((relay) =>
      withDevices(async (kit) => {
        const kept = backedUp();
        const { devices: [a], invitation } = await group(kit, relay.url, 1);
        const c = kit.open({ url: relay.url, invitation, storage: kept.storage });
        await c.client.ready;
        const text = await a!.client.invite();
        const { membership: then } = await restored(await storedAs(kept, isIn(TEXT)));
        for (let i = 0; i < rotations; i++) await a!.client.rotate();
        const stored = await storedAs(kept, isIn(TEXT + BigInt(rotations)));
        await a!.client.remove(await c.client.node());
        for (const [what, answer] of Object.entries(answers)) {
          const { storage } = backedUp();
          const late = kit.open({ url: relay.url, invitation: text, storage });
          await eventually(() => late.client.state === "waiting", "it waits");
          await withRogue(relay, stored, async (rogue) => {
            await rogue.read();
            const { sequence, hash } = rogue.log.cursor;
            const witness = await rogue.group.membership!.witness();
            const last = { bound: { sequence, hash }, ...witness };
            const before = rogue.group.past.all.filter(({ number }) => number >= TEXT);
            assertEquals(before.length, rotations);
            await answerKnock({ rogue, last, before, then: then! }, text, answer);
          });
          await eventually(() => refusals(late).length > 0, () => `${what}: ${late.faults()}`);
          const why = without(what, rotations) ? WITHOUT_ANCHOR : REFUTED;
          assert(refusals(late)[0]!.includes(why), `${what}: ${refusals(late)}`);
          assertEquals([late.client.devices(), joined(late)], [[], false], what);
          await late.client.close();
          const again = kit.open({ url: relay.url, storage });
          await eventually(() => again.client.state === "waiting", `${what}: it waits again`);
          const seen = [again.client.devices(), joined(again), refusals(again)];
          assertEquals(seen, [[], false, []], what);
          await again.client.close();
        }
        await stillWork([a!], 0);
      })
    ));
}

test("a text leads into the group over what has happened since, and lets in by whom it let in", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a] } = await group(kit, relay.url, 1);
      const texts = [];
      for (let i = 0; i < 3; i++) texts.push(await a!.client.invite());
      await insert(a!, "before");
      await a!.client.rotate();
      await a!.client.rotate();
      const b = kit.open({ url: relay.url, invitation: texts[2]! });
      await converged([a!, b], 1);
      await b.client.rotate();
      await eventually(() => epochOf(a!) === epochOf(b), "both follow");
      await a!.client.close();
      // It was told of the epochs of the older texts, too.
      const c = kit.open({ url: relay.url, invitation: texts[0]! });
      await converged([b, c], 1);
      await b.client.close();
      const d = kit.open({ url: relay.url, invitation: texts[1]! });
      await converged([c, d], 1);
      assertEquals([count(d), ...[b, c, d].flatMap(refusals)], [4]);
      await stillWork([c, d], 1);
    })
  ));

test("a text leads into the group where a checkpoint was made since", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const options = { compress: "never", host: quickHost(10) } as const;
        const kept = backedUp();
        const { devices: [a, b] } = await group(kit, hostile.url, 2, {
          ...options,
          storage: kept.storage,
        });
        const text = await a!.client.invite();
        await a!.client.rotate();
        await eventually(() => epochOf(b!) === epochOf(a!), "b follows");
        const large = hex(random(50_000));
        for (let i = 0; i < 12; i++) {
          await a!.client.collection("bugs").insert({ title: `${i}`, large });
        }
        const endorsed = () =>
          hostile.seen.some(({ up, message }) => up && appended(message) === Subtype.endorsement);
        await eventually(endorsed, "a checkpoint is endorsed");
        await converged([a!, b!], 12);
        await a!.client.rotate();
        const late = kit.open({ url: hostile.url, invitation: text, ...options });
        await converged([a!, b!, late], 12);
        assertEquals(refusals(late), []);
        await stillWork([a!, b!, late], 12);
        // They are kept while somebody may come who has to be shown them, and no longer.
        const after = (await restored(await kept.copy())).past;
        assert(after.carry(TEXT).some(({ number }) => number === TEXT));
        assert(after.unchecked.every(({ number }) => number > TEXT));
      }))
  ));
