/** What a device keeps of others and of itself, each bounded: whom it awaits, what it waits with, its own commits. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { AwaitedNewcomers } from "../src/client/group/log/awaited.ts";
import { DoorWatch, knockFrame } from "../src/client/group/log/doors.ts";
import type { EpochEnd } from "../src/client/group/log/ends.ts";
import { chained } from "../src/client/group/log/epoch_log.ts";
import { HeldEntries } from "../src/client/group/log/held_entries.ts";
import { Holds } from "../src/client/group/log/holds.ts";
import type { Cursor, LogLink, LogListener } from "../src/client/group/log/log_link.ts";
import { OwnCommits } from "../src/client/group/log/own_commits.ts";
import { type PastEpoch, PastEpochs } from "../src/client/group/log/past_epochs.ts";
import { StandingKnock } from "../src/client/group/log/standing_knock.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import type { StandingInvitation } from "../src/client/group/mls/group_data.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import { decodeRecord, encodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { type Bytes, sameBytes } from "../src/wire/bytes.ts";
import { anyHead, MlsWorld } from "./kit/mls.ts";

const DAY = 86_400_000;

/** An epoch of this number, with these invitations, and members that have these names. */
const stateOf = (number: bigint, invitations: StandingInvitation[], names: string[] = ["00"]) => {
  const peers = names.map((name) => ({
    node: Uint8Array.of(parseInt(name, 16)),
    seed: random(16),
  }));
  return {
    number,
    data: { invitations },
    peers: () => peers,
    peer: (node: Uint8Array | string) =>
      peers.find((one) => typeof node !== "string" && sameBytes(one.node, node) || node === "01"),
  } as unknown as GroupMembership;
};

const invitation = (epoch: bigint, days: number): StandingInvitation => ({
  value: random(32),
  expires: days === 0 ? 0n : BigInt(Date.now() + days * DAY),
  epoch,
});

/** As they were saved. */
const saved = (awaited: AwaitedNewcomers): AwaitedNewcomers =>
  AwaitedNewcomers.restore(
    decodeRecord(encodeRecord(awaited.save() as never)) as unknown as ReturnType<
      AwaitedNewcomers["save"]
    >,
  );

test("the epochs of texts that a removal has made void are kept as long as those work", () => {
  const awaited = new AwaitedNewcomers();
  const standing = [invitation(4n, 2), invitation(3n, -1), invitation(1n, 0)];
  const state = stateOf(9n, standing);
  const next = stateOf(10n, []);
  awaited.follow(state, { next, welcome: undefined, removes: [] } as unknown as EpochEnd);
  assertEquals(awaited.oldestKept(next), 10n, "nobody was removed");
  awaited.follow(state, { next, welcome: undefined, removes: ["ff"] } as unknown as EpochEnd);
  // Not that of the permanent one, nor of the one that has expired.
  assertEquals([awaited.oldestKept(next), awaited.oldestAnchor(next)], [4n, 10n]);
  assertEquals(saved(awaited).oldestKept(next), 4n);
  assertEquals(awaited.oldestKept(stateOf(260n, [])), 4n);
  assertEquals(awaited.oldestKept(stateOf(261n, [])), 261n, "too far back");
  const { voided, all } = awaited.save();
  const later = { all, voided: voided.map((one) => ({ ...one, until: Date.now() - 1 })) };
  assertEquals(AwaitedNewcomers.restore(later).oldestKept(next), 10n);
});

test("a newcomer is awaited for 30 days, or as long as its text works, and from where it reads", () => {
  for (
    const [epoch, days, waits, anchor] of [[2n, 60, 60, 2n], [2n, 1, 30, 2n], [
      2n,
      0,
      30,
      5n,
    ]] as const
  ) {
    const awaited = new AwaitedNewcomers();
    const one = invitation(epoch, days);
    const state = stateOf(5n, [one]);
    const welcome = { door: one.value, frame: random(4) };
    const members = stateOf(6n, [], ["00", "01"]);
    const before = stateOf(5n, [one], ["00"]);
    const next = {
      ...members,
      peers: () => [...before.peers(), ...members.peers().slice(1)],
    } as unknown as GroupMembership;
    const known = {
      ...state,
      peer: (node: Uint8Array) => before.peers().find((peer) => sameBytes(peer.node, node)),
    } as unknown as GroupMembership;
    awaited.follow(known, { next, welcome, removes: [] } as unknown as EpochEnd);
    const [newcomer] = saved(awaited).all;
    assertEquals([newcomer!.node, newcomer!.number, newcomer!.anchor], ["01", 5n, anchor]);
    assertEquals(Math.round((newcomer!.until - Date.now()) / DAY), waits);
    assertEquals(newcomer!.door, one.value);
  }
});

test("a welcome that was refuted is never looked at again, and one that was tried once in a round", async () => {
  const door = await GroupDoor.ofInvitation(random(16), random(16));
  const { group } = { group: random(16) };
  const newcomer = await GroupNewcomer.draw({ group, name: "x", door, postQuantum: false });
  const knock = new StandingKnock(newcomer, true);
  const [good, bad] = [random(40), random(40)];
  const due = async (of = knock) => [await of.isDue(good), await of.isDue(bad)];
  assertEquals([knock.hopes, await due(), knock.hopes], [false, [true, true], true]);
  await knock.leave(good);
  await knock.refute(bad);
  assertEquals([await due(), knock.hopes], [[false, false], true]);
  knock.again();
  assertEquals(await due(), [true, false]);
  await knock.refute(good);
  assertEquals([await due(), knock.hopes], [[false, false], false]);
  const back = await StandingKnock.restore(knock.save());
  assertEquals([await due(back), back.hopes, back.permanent], [[false, false], false, true]);
  assertEquals(back.newcomer.reference, newcomer.reference);
});

test("of commits that were given up the last four are known, and over a restart too", async () => {
  const world = await MlsWorld.of(1);
  const [member] = world.members;
  const own = new OwnCommits();
  const frames: Bytes[] = [];
  for (let i = 0; i < 6; i++) {
    const { next } = await member!.prepare({ kind: "rotate" }, anyHead(), []);
    frames.unshift(random(8));
    own.prepared = { frame: frames[0]!, next, at: BigInt(i + 1), ring: random(8) };
    if (i < 5) own.drop();
  }
  for (const one of [own, await OwnCommits.restore(own.save())]) {
    assertEquals(one.all.map(({ frame }) => frame), frames.slice(0, 5));
    assertEquals([one.prepared!.at, one.prepared!.ring], [6n, own.prepared!.ring]);
    const secrets = await Promise.all(one.all.map(({ next }) => next.epochSecret()));
    assertEquals(new Set(secrets.map(String)).size, 5);
  }
  own.drop();
  assertEquals([own.prepared, own.all.length], [undefined, 4]);
});

test("the state before a commit is kept until all were heard, or for a day without doubt; eight at most", () => {
  const epoch = (number: number): PastEpoch => ({
    ...{ number: BigInt(number), secret: random(32), ring: random(8), doubt: false },
    ...{ bound: { sequence: 1n, hash: random(32) }, interim: random(32) },
    ...{ confirmationKey: random(32), ending: undefined, shown: undefined },
    state: {} as GroupMembership,
  });
  const begun = () => {
    const past = new PastEpochs();
    past.end(epoch(1), ["aa", "bb"]);
    return past;
  };
  const states = (past: PastEpochs) => past.all.filter(({ state }) => state).length;
  const all = begun();
  assertEquals([all.heard("aa", true), states(all)], [false, 1]);
  assertEquals([all.heard("bb", true), states(all)], [true, 0]);

  const { now } = Date;
  const some = begun();
  try {
    const later = now() + DAY;
    Date.now = () => later - 1_000;
    assertEquals([some.heard("aa", false), states(some)], [false, 1]);
    Date.now = () => later + 1_000;
    assertEquals([some.heard("aa", true), states(some)], [false, 1], "in doubt no day counts");
    assertEquals([some.heard("aa", false), states(some)], [true, 0]);
  } finally {
    Date.now = now;
  }
  const many = begun();
  for (let i = 2; i <= 9; i++) many.end(epoch(i), ["aa"]);
  const kept = many.all.filter(({ state }) => state).map(({ number }) => Number(number));
  assertEquals(kept, [2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a wish for silence lasts 15 s, is not drawn out, and counts once a minute of each", () => {
  const holds = new Holds();
  const at = (author: string, seconds: number) => holds.honours(author, seconds * 1_000);
  assertEquals([at("a", 0), at("b", 14.9), at("b", 15)], [true, false, true]);
  assertEquals([at("a", 30), at("a", 59.9), at("a", 60)], [false, false, true]);
  assertEquals([at("b", 74.9), at("c", 75), at("b", 90)], [false, true, true]);
});

test("of a log that is over no more is held than a relay keeps of one", async () => {
  const start = random(32);
  const held = new HeldEntries(4n, start);
  const frame = random(65_536);
  await held.add(frame);
  assertEquals([held.sequence, held.hash], [5n, await chained(start, frame)]);
  const large = new Uint8Array(16 * 1024 * 1024);
  for (let i = 0; i < 5; i++) await held.add(large);
  const error = await assertRejects(() => held.add(large), ClientError);
  assertEquals([error.code, held.frames.length], ["LOG_INCOMPLETE", 6]);
});

/** A door's log, with whatever has been put into it. */
class DoorLog {
  readonly frames: Bytes[] = [];
  /** Where each visit has begun. */
  readonly from: bigint[] = [];
  readonly #ring = random(8);

  async open(_target: unknown, { sequence, hash }: Cursor, reader: LogListener): Promise<void> {
    this.from.push(sequence);
    const answer = { subtype: "recovered", complete: true, durability: 0 } as const;
    const last = BigInt(this.frames.length);
    await reader.opened({ ...answer, ring: this.#ring, first: sequence + 1n, last, hash });
    for (let n = Number(sequence); n < this.frames.length; n++) {
      await reader.entry(BigInt(n + 1), this.frames[n]!);
    }
    await reader.live();
  }
}

test("of knocks the newest 64 are kept, and the others are read once those are answered", async () => {
  const group = random(16);
  const door = await GroupDoor.ofInvitation(random(16), group);
  const log = new DoorLog();
  const knock = async (name: string) => {
    const draw = { group, name, door, postQuantum: false };
    const { keyPackage } = await GroupNewcomer.draw(draw);
    log.frames.push(await knockFrame(door, keyPackage));
    return keyPackage;
  };
  const knocks: Bytes[] = [];
  for (let i = 0; i < 66; i++) knocks.push(await knock(`${i}`));
  // Once more, and what is none: neither takes a place.
  log.frames.push(log.frames.at(-1)!, random(30));
  const unwanted = await knock("not to be kept");
  const inside: Bytes[] = [unwanted];
  const watch = new DoorWatch(door, (one) => !inside.some((other) => sameBytes(one, other)));
  const look = () => watch.look(log as unknown as LogLink);
  const brought = await look();
  assertEquals(brought, knocks.slice(2));
  assert(!watch.crowded);
  const served = (some: readonly Bytes[]) => {
    inside.push(...some);
    for (const one of some) watch.done(one);
  };
  assertEquals(watch.take(4), knocks.slice(-4).reverse());
  assertEquals(watch.take(4), [], "four at a time");
  watch.release(brought.at(-1)!);
  assertEquals(watch.take(4), knocks.slice(-1));
  served(brought);
  assert(watch.crowded, "two wait for their turn");
  const left = await look();
  assertEquals(left, knocks.slice(0, 2), "from the start, without those that are in");
  served(left);
  assert(!watch.crowded);
  const end = BigInt(log.frames.length);
  const later = await knock("later");
  assertEquals(await look(), [later]);
  assertEquals(log.from, [0n, 0n, end]);
});

test("a door that is not crowded is read on from where it was", async () => {
  const group = random(16);
  const door = await GroupDoor.ofInvitation(random(16), group);
  const log = new DoorLog();
  const watch = new DoorWatch(door);
  const { keyPackage } = await GroupNewcomer.draw({ group, name: "x", door, postQuantum: false });
  const knock = await knockFrame(door, keyPackage);
  for (let i = 0; i < 3; i++) {
    log.frames.push(knock);
    const found = await watch.look(log as unknown as LogLink);
    assertEquals(found, [keyPackage]);
    watch.done(keyPackage);
  }
  assertEquals(log.from, [0n, 1n, 2n]);
});
