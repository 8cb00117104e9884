/** Logs of epochs that are over, as a relay shows them that has lost something: what a device makes of them. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Compression } from "../src/client/blaze/compression.ts";
import { memoryStorage, Saver } from "../src/client/blaze/storage.ts";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import type { Device } from "../src/client/group/log/device.ts";
import { EpochLog } from "../src/client/group/log/epoch_log.ts";
import { encodeCommitEntry } from "../src/client/group/log/log_entries.ts";
import {
  type AppendResult,
  type LogLink,
  type LogListener,
  NO_RING,
} from "../src/client/group/log/log_link.ts";
import { keepShown } from "../src/client/group/log/shown_commit.ts";
import { lookBack } from "../src/client/group/log/look_back.ts";
import type { Epoch } from "../src/client/group/e2e/epoch.ts";
import type { GroupChange } from "../src/client/group/mls/commit_maker.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { type Bytes, hex, sameBytes } from "../src/wire/bytes.ts";
import { anyCarry } from "./kit/mls.ts";
import { opened, ReadingLab } from "./kit/reading_lab.ts";

/** A relay that has these entries of the one log that is asked for, in this ring. */
class OneLog {
  readonly appended: { frame: Bytes; at: bigint }[] = [];
  answer: AppendResult | string = "kept";
  shut = "";
  complete = true;

  readonly frames: Bytes[];

  constructor(readonly ring: Bytes, frames: readonly Bytes[], readonly log: EpochLog) {
    this.frames = [...frames];
  }

  async open(
    _target: unknown,
    { ring, sequence }: { ring: Bytes; sequence: bigint },
    reader: LogListener,
  ): Promise<void> {
    if (this.shut) throw new ClientError(this.shut as "NO_LOG", "shut");
    const complete = this.complete && (sequence === 0n || sameBytes(ring, this.ring));
    const { frames } = this;
    const from = complete ? Number(sequence) : 0;
    await reader.opened(opened(this.log, this.ring, {
      ...{ complete, first: BigInt(from) + 1n, last: BigInt(frames.length) },
    }));
    for (let i = from; i < frames.length; i++) await reader.entry(BigInt(i + 1), frames[i]!);
    await reader.live();
  }

  append(frame: Bytes, at = 0n): Promise<AppendResult> {
    this.appended.push({ frame, at });
    // The next one is for whichever number comes.
    const { answer } = this;
    if (answer === "moved") this.answer = "kept";
    if (answer !== "kept" && answer !== "moved") {
      return Promise.reject(new ClientError(answer as "MAILBOX_FULL", "no"));
    }
    if (answer === "kept") this.frames.push(frame);
    return Promise.resolve(answer);
  }
}

const saver = new Saver(memoryStorage());
const compression = new Compression({ mode: "never", fault: () => {} });

/** A device that has followed a change of the first member, in the ring of its lab. */
async function followed(change: (members: readonly GroupMembership[]) => GroupChange) {
  const lab = await ReadingLab.of(4);
  const { group, members } = lab;
  const epoch = group.epoch!;
  const frame = await lab.commit(members[0]!, change(members));
  assertEquals(await lab.reads(frame), ["ended"]);
  const ending = group.past.all.at(-1)!.ending!;
  assertEquals(ending.author, hex(members[0]!.self.node));
  return { lab, group, members, epoch, frame };
}

const rotate = (): GroupChange => ({ kind: "rotate" });

/** What a device makes of a relay, and what it has appended. */
async function looks(
  { group }: { group: Device["group"] },
  relay: OneLog,
  thoroughly = false,
): Promise<string> {
  const device = { group, saver } as unknown as Device;
  return await lookBack(device, relay as unknown as LogLink, compression, thoroughly);
}

const empty = (epoch: Epoch) => EpochLog.begin(epoch, "bugs");

/** A commit of somebody at the beginning of a log that another ring has. */
async function first(
  by: GroupMembership,
  epoch: Epoch,
  ring: Bytes,
  change: GroupChange = rotate(),
): Promise<Bytes> {
  const { cursor } = await empty(epoch);
  const head = { ...cursor, ring, doubt: false };
  const { message } = await by.prepare(change, head, anyCarry(1));
  return await encodeCommitEntry({ message }, epoch);
}

test("a relay with its memory is asked once, and brought nothing", async () => {
  const made = await followed(rotate);
  const relay = new OneLog(made.lab.ring, [made.frame], await empty(made.epoch));
  assertEquals(await looks(made, relay), "ours");
  assertEquals([relay.appended, made.group.doubt], [[], false]);
});

test("a commit that the relay has lost is brought again, behind all that is there", async () => {
  const made = await followed(rotate);
  const ring = random(8);
  const relay = new OneLog(ring, [], await empty(made.epoch));
  assertEquals(await looks(made, relay), "again");
  assertEquals(relay.appended, [{ frame: made.frame, at: 1n }]);
  assert(made.group.doubt);
});

test("an older state of the same ring has lost it, too", async () => {
  const made = await followed(rotate);
  const relay = new OneLog(made.lab.ring, [], await empty(made.epoch));
  relay.complete = false;
  assertEquals(await looks(made, relay), "again");
  assertEquals(relay.appended.length, 1);
  assert(made.group.doubt);
});

test("where somebody else has just written, it is brought for whichever number comes", async () => {
  const made = await followed(rotate);
  const relay = new OneLog(random(8), [], await empty(made.epoch));
  relay.answer = "moved";
  assertEquals(await looks(made, relay), "again");
  assertEquals(relay.appended.map(({ at }) => at), [1n, 0n]);
});

test("a log without room, or that is not opened, is for later; all else is told", async () => {
  for (
    const [answer, shut, said] of [
      ["MAILBOX_FULL", "", "ours"],
      ["READ_ONLY", "", "ours"],
      ["kept", "NO_LOG", "ours"],
      ["kept", "READ_ONLY", "ours"],
    ] as const
  ) {
    const made = await followed(rotate);
    const relay = new OneLog(random(8), [], await empty(made.epoch));
    Object.assign(relay, { answer, shut });
    assertEquals(await looks(made, relay), said, `${answer} ${shut}`);
  }
  const made = await followed(rotate);
  const relay = new OneLog(random(8), [], await empty(made.epoch));
  relay.answer = "LOG_FAILED";
  const error = await assertRejects(() => looks(made, relay), ClientError);
  assertEquals(error.code, "LOG_FAILED");
});

test("another commit in place in a new ring is weighed while the state is kept", async () => {
  // The author of ours is longer in the group, and theirs was made without doubt as well.
  const made = await followed(rotate);
  const ring = random(8);
  const other = await first(made.members[1]!, made.epoch, ring);
  const relay = new OneLog(ring, [other], await empty(made.epoch));
  assertEquals(await looks(made, relay), "again");
  assertEquals(relay.appended, [{ frame: made.frame, at: 2n }]);
  // One that removes somebody comes before.
  const removal = await followed(rotate);
  const nodes = [removal.members[2]!.self.node];
  const better = await first(removal.members[1]!, removal.epoch, ring, { kind: "remove", nodes });
  const before = removal.group.membership!.number;
  const theirs = new OneLog(ring, [better], await empty(removal.epoch));
  assertEquals(await looks(removal, theirs), "other");
  assertEquals(theirs.appended, []);
  const { group } = removal;
  assertEquals(group.membership!.number, before, "the same epoch, another branch");
  assert(!group.has(nodes[0]!) && group.lost);
});

test("where ours was brought again, it is not the one that stands in place", async () => {
  const made = await followed(rotate);
  const ring = random(8);
  const nodes = [made.members[2]!.self.node];
  const better = await first(made.members[1]!, made.epoch, ring, { kind: "remove", nodes });
  const relay = new OneLog(ring, [better, made.frame], await empty(made.epoch));
  assertEquals(await looks(made, relay), "other");
  assert(!made.group.has(nodes[0]!));
});

test("without the state a commit in place may have won, unless ours removes its author", async () => {
  const removal = ([, , third]: readonly GroupMembership[]): GroupChange => ({
    kind: "remove",
    nodes: [third!.self.node],
  });
  for (
    const [change, by, said] of [
      [rotate, 1, "lost"],
      [removal, 1, "lost"],
      [removal, 2, "again"],
    ] as const
  ) {
    const made = await followed(change);
    for (const { node } of made.group.peers) made.group.heard(hex(node));
    assert(made.group.past.all.every(({ state }) => state === undefined));
    const ring = random(8);
    const other = await first(made.members[by]!, made.epoch, ring);
    const relay = new OneLog(ring, [other], await empty(made.epoch));
    assertEquals(await looks(made, relay), said);
    assertEquals(relay.appended.length, said === "again" ? 1 : 0);
    // Beside ours it is nothing.
    const both = new OneLog(ring, [other, made.frame], await empty(made.epoch));
    assertEquals(await looks(made, both), "ours");
  }
});

test("a commit that was only shown is brought where the log has none in place, and judges nothing", async () => {
  const lab = await ReadingLab.of(3);
  const { group, members } = lab;
  const epoch = group.epoch!;
  const frame = await lab.commit(members[0]!, rotate());
  assertEquals(await lab.reads(frame), ["ended"]);
  const past = group.past.all.at(-1)!;
  // As who came in later knows it.
  const told = [{ ...past, ending: undefined, state: undefined }];
  group.past.carryFrom(told, lab.ring, past.number + 1n);
  group.past.show(group.past.all[0]!, frame, lab.ring);
  const ring = random(8);
  const lost = new OneLog(ring, [], await empty(epoch));
  assertEquals(await looks({ group }, lost), "again");
  assertEquals(lost.appended, [{ frame, at: 1n }]);
  const there = new OneLog(ring, [frame], await empty(epoch));
  assertEquals(await looks({ group }, there), "ours");
  const other = await first(members[1]!, epoch, ring);
  const theirs = new OneLog(ring, [other], await empty(epoch));
  assertEquals(await looks({ group }, theirs), "ours");
  assertEquals([there.appended, theirs.appended], [[], []]);
  // One that was appended again is none in place.
  const elsewhere = new OneLog(random(8), [other], await empty(epoch));
  assertEquals(await looks({ group }, elsewhere), "again");
});

test("of what an epoch's log shows only the commit that ended it is kept, and where it stood first", async () => {
  const lab = await ReadingLab.of(3);
  const { group, members } = lab;
  const epoch = group.epoch!;
  const other = await lab.commit(members[1]!, rotate());
  const frame = await lab.commit(members[0]!, rotate());
  assertEquals(await lab.reads(frame), ["ended"]);
  const past = group.past.all.at(-1)!;
  const told = [{ ...past, ending: undefined, state: undefined }];
  group.past.carryFrom(told, NO_RING, past.number + 1n);
  const shown = () => group.past.all[0]!;
  const log = await EpochLog.begin(epoch, "bugs", past.bound);
  log.opened(opened(log, lab.ring));
  await keepShown(group, log, other);
  assertEquals(shown().shown, undefined);
  // Behind the bound: there its author has put it.
  assert(log.ended);
  await keepShown(group, log, frame);
  assertEquals([shown().shown, shown().ring], [frame, lab.ring]);
});
