/** What entries of a log are worth to a device that reads them, one rule after the other. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  checkpointDigest,
  checkpointParts,
  snapshotOf,
} from "../src/client/group/data/checkpoint.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { chained, EpochLog } from "../src/client/group/log/epoch_log.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { type Bytes, concat, hex } from "../src/wire/bytes.ts";
import { MlsWorld } from "./kit/mls.ts";
import { ReadingLab } from "./kit/reading_lab.ts";

test("an announce is of who made the node id, a member, signed, and of this ring", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  const asA = await lab.voice(a.self.node);
  // The key is that of b, which signs as if it were a.
  const forged = await lab.announce(asA, b, { as: a.self.node });
  assertEquals(await lab.reads(forged), ["fault BAD_SIGNATURE"]);
  assertEquals(await lab.reads(await lab.operation(asA, b, "x")), ["fault UNKNOWN_SENDER"]);
  // Signed as another one than it says.
  const other = await lab.voice(b.self.node);
  assertEquals(await lab.reads(await lab.announce(other, b, { as: a.self.node })), [
    "fault BAD_SIGNATURE",
  ]);
  const { group } = a;
  const stranger = await MlsWorld.of(1, false, group);
  const [outside] = stranger.members as [GroupMembership];
  const unknown = await lab.voice(outside.self.node);
  assertEquals(await lab.reads(await lab.announce(unknown, outside)), ["fault NOT_A_MEMBER"]);
  // Another ring is a fault, and the instance is introduced all the same.
  const late = await lab.voice(b.self.node);
  const position = { ...lab.log.cursor, ring: random(8) };
  assertEquals(await lab.reads(await lab.announce(late, b, { position })), ["fault TWO_PASTS"]);
  assertEquals(await lab.reads(await lab.operation(late, b, "x")), ["operation x"]);
  const again = await lab.voice(b.self.node);
  const elsewhere = { ...lab.log.cursor, hash: random(32) };
  assertEquals(await lab.reads(await lab.announce(again, b, { position: elsewhere })), [
    "fault TWO_PASTS",
  ]);
});

test("operations that are not signed count for nobody in a group that signs", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  const voice = await lab.voice(a.self.node);
  assertEquals(await lab.reads(await lab.announce(voice, a)), ["announced"]);
  const unsigned = await lab.operation(voice, a, "x", { sign: false });
  assertEquals(await lab.reads(unsigned), ["fault UNSIGNED"]);
  assertEquals(await lab.reads(await lab.operation(voice, b, "x")), ["fault BAD_SIGNATURE"]);
  assertEquals(await lab.reads(await lab.operation(voice, a, "x")), ["operation x"]);
});

test("a hold is honoured of others, and not of the reader itself", async () => {
  const lab = await ReadingLab.of(2);
  const [a, reader] = lab.members as [GroupMembership, GroupMembership];
  for (const [by, said] of [[a, ["hold"]], [reader, []]] as const) {
    const voice = await lab.voice(by.self.node);
    await lab.reads(await lab.announce(voice, by));
    assertEquals(await lab.reads(await voice.hold()), said);
  }
});

test("whoever is no member any more is not listened to behind what was truncated", async () => {
  let gone!: GroupMembership;
  const lab = await ReadingLab.of(4, async (world) => {
    gone = world.members[2]!;
    await world.commit(0, { kind: "remove", nodes: [gone.self.node] });
  });
  const [a] = lab.members as [GroupMembership];
  const stranger = random(16);
  const voices = await Promise.all(
    [a.self.node, gone.self.node, stranger].map((node) => lab.voice(node)),
  );
  const [own, removed, unknown] = voices as [typeof voices[0], typeof voices[0], typeof voices[0]];
  // All three are named by the checkpoint that the log begins with.
  const base = { ring: lab.ring, sequence: 9n, hash: random(32) };
  await lab.open(await EpochLog.begin(lab.group.epoch!, "bugs"), {
    ...{ complete: false, first: 10n, last: 10n, hash: base.hash },
  });
  const instances = voices.map(({ sender: { node, instance } }) => ({
    node: hex(node),
    instance: hex(instance),
    counter: 1n,
  }));
  const speaker = await lab.voice(a.self.node);
  const contents = snapshotOf(new Map(), []);
  const [part] = await checkpointParts(
    { ...base, instances },
    contents,
    (what) => a.sign("BX2 checkpoint", what),
  );
  assertEquals(await lab.reads(await speaker.checkpoint(part!, false)), []);
  // Each has used its first nonce below.
  for (const voice of voices) await voice.hold();
  assertEquals(await lab.reads(await lab.operation(own, a, "a")), ["operation a"]);
  assertEquals(await lab.reads(await lab.operation(removed, gone, "x")), ["fault NOT_A_MEMBER"]);
  assertEquals(await lab.reads(await lab.operation(unknown, a, "x")), ["fault UNKNOWN_SENDER"]);
  const foreign = await lab.voice(gone.self.node);
  const begun = await foreign.checkpoint(part!, false);
  assertEquals(await lab.reads(begun), ["fault NOT_A_MEMBER"]);
});

test("the first commit in place ends the epoch, and nothing behind it counts", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  const voice = await lab.voice(a.self.node);
  await lab.reads(await lab.announce(voice, a));
  const elsewhere = await lab.commit(b, { kind: "rotate" }, { ring: random(8) });
  assertEquals(await lab.reads(elsewhere), ["fault BAD_COMMIT"]);
  const behind = await lab.operation(voice, a, "x");
  assertEquals(await lab.reads(await lab.commit(b, { kind: "rotate" }), behind), ["ended"]);
});

test("in doubt all is read before one of the commits is followed", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  const { number } = lab.group.membership!;
  lab.group.doubted();
  const voice = await lab.voice(a.self.node);
  await lab.reads(await lab.announce(voice, a));
  // What was appended again may win, and does not end what is read.
  const again = await lab.commit(b, { kind: "rotate" }, { ring: random(8), doubt: true });
  assertEquals(await lab.reads(again), []);
  assertEquals(await lab.reads(await lab.operation(voice, a, "between")), ["operation between"]);
  // One in place does.
  const inPlace = await lab.commit(a, { kind: "rotate" });
  const behind = await lab.operation(voice, a, "behind", { counter: 2n });
  assertEquals(await lab.reads(inPlace, behind), []);
  assertEquals(await lab.live(), ["ended"]);
  assertEquals(lab.group.membership!.number, number + 1n);
  const { ending } = lab.group.past.all.at(-1)!;
  assertEquals(ending?.author, hex(a.self.node), "without doubt, and so before the other one");
  assertEquals(lab.group.doubt, false);
});

test("who follows a commit that was appended again is in doubt of the epoch, and owes what it has", async () => {
  for (const again of [true, false]) {
    const lab = await ReadingLab.of(3);
    const { number } = lab.group.membership!;
    lab.group.doubted();
    lab.group.lost = false;
    const place = again ? { ring: random(8) } : {};
    await lab.reads(await lab.commit(lab.members[0]!, { kind: "rotate" }, place));
    assertEquals(await lab.live(), ["ended"]);
    assertEquals(lab.group.membership!.number, number + 1n);
    assertEquals([lab.group.doubt, lab.group.lost], [again, again]);
    // In doubt it has looked at nothing yet, whatever it followed.
    assert(lab.group.looksBack);
  }
});

test("a commit of whom another branch has removed stops the device in place, and is nothing elsewhere", async () => {
  const lab = await ReadingLab.of(3);
  const [a] = lab.members as [GroupMembership];
  lab.group.outrun([hex(a.self.node)]);
  const elsewhere = await lab.commit(a, { kind: "rotate" }, { ring: random(8) });
  assertEquals(await lab.reads(elsewhere), ["fault MUTUAL_REMOVAL"]);
  const { number } = lab.group.membership!;
  assertEquals(await lab.reads(await lab.commit(a, { kind: "rotate" })), [
    "crossed MUTUAL_REMOVAL",
  ]);
  assertEquals(lab.group.membership!.number, number);
});

test("a commit of the reader's own that it does not know is from after its backup, where it is in place", async () => {
  const lab = await ReadingLab.of(3);
  const [a, , reader] = lab.members as [GroupMembership, GroupMembership, GroupMembership];
  const nodes = [a.self.node];
  const elsewhere = await lab.commit(reader, { kind: "remove", nodes }, { ring: random(8) });
  assertEquals(await lab.reads(elsewhere), ["fault BAD_COMMIT"]);
  assertEquals([...lab.group.past.removed], []);
  assertEquals(await lab.reads(await lab.commit(reader, { kind: "remove", nodes })), ["outrun"]);
  assertEquals([...lab.group.past.removed], [hex(a.self.node)]);
});

test("a commit of the reader's own ends the epoch where it was made for, and nowhere else in its ring", async () => {
  const lab = await ReadingLab.of(3);
  const [a] = lab.members as [GroupMembership];
  const { number } = lab.group.membership!;
  const { frame } = await lab.group.prepare({ kind: "rotate" });
  // Somebody was quicker: all others refuse it there.
  await lab.reads(await lab.announce(await lab.voice(a.self.node), a));
  assertEquals(await lab.reads(frame), ["fault BAD_COMMIT"]);
  assertEquals(lab.group.membership!.number, number);
  const again = await lab.group.prepare({ kind: "rotate" });
  assertEquals(await lab.reads(again.frame), ["ended"]);
  assertEquals(lab.group.membership!.number, number + 1n);
});

test("a removal counts also for a device that has knocked at its own door", async () => {
  const lab = await ReadingLab.of(3);
  const [a] = lab.members as [GroupMembership];
  await lab.group.standAtOwnDoor();
  lab.group.leaveOwnDoor();
  const nodes = [lab.group.nodeId];
  assertEquals(await lab.reads(await lab.commit(a, { kind: "remove", nodes })), ["removed"]);
  assert(lab.group.removed);
  assertEquals(lab.group.knock, undefined);
});

test("who speaks in an epoch that is over is heard in no other one", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  const { epoch } = lab.group;
  const frames: Bytes[] = [];
  for (const by of [a, b]) {
    frames.push(await lab.announce(await lab.voice(by.self.node), by));
    await lab.reads(frames.at(-1)!);
  }
  const bound = lab.log.cursor;
  const commit = await lab.commit(a, { kind: "rotate" });
  assertEquals(await lab.reads(commit), ["ended"]);
  const kept = () => lab.group.past.all.some(({ state }) => state !== undefined);
  assert(kept());
  // The same log is read back: both have spoken there, before the commit.
  await lab.open(await EpochLog.begin(epoch!, "bugs", bound));
  lab.heard.length = 0;
  for (const [i, frame] of frames.entries()) await lab.reading.entry(BigInt(i + 1), frame);
  assertEquals(lab.heard, ["announced", "announced"]);
  assert(kept(), "they may be behind the commit still");
});

test("where nobody knows the key of who has left, what it has signed counts for nobody", async () => {
  let gone!: GroupMembership;
  const lab = await ReadingLab.of(4, async (world) => {
    gone = world.members[2]!;
    await world.commit(0, { kind: "remove", nodes: [gone.self.node] });
  });
  const [a] = lab.members as [GroupMembership];
  // A log of before that begins with a checkpoint, which names an instance of the removed device.
  const [removed, speaker] = [await lab.voice(gone.self.node), await lab.voice(a.self.node)];
  const base = { ring: lab.ring, sequence: 9n, hash: random(32) };
  const { node, instance } = removed.sender;
  const instances = [{ node: hex(node), instance: hex(instance), counter: 0n }];
  const [part] = await checkpointParts(
    { ...base, instances },
    snapshotOf(new Map(), []),
    (what) => a.sign("BX2 checkpoint", what),
  );
  const frames = [
    await speaker.checkpoint(part!, false),
    await lab.operation(removed, gone, "x"),
  ];
  let hash: Bytes = base.hash;
  for (const frame of frames) hash = await chained(hash, frame);
  const bound = { sequence: 11n, hash };
  await lab.open(await EpochLog.begin(lab.group.epoch!, "bugs", bound), {
    ...{ complete: false, first: 10n, last: 11n, hash: base.hash },
  });
  lab.heard.length = 0;
  await lab.reading.entry(10n, frames[0]!);
  assertEquals(lab.heard, [], "nothing counts before all of it is read");
  await lab.reading.entry(11n, frames[1]!);
  assertEquals(lab.heard.filter((word) => word !== "fault BAD_SIGNATURE"), ["fault UNSIGNED"]);
});

test("rule 18: a checkpoint is of its base, and stands once another device than its author endorses it", async () => {
  const lab = await ReadingLab.of(3);
  const [a, b] = lab.members as [GroupMembership, GroupMembership];
  lab.group.lost = false;
  const [ofA, ofB] = [await lab.voice(a.self.node), await lab.voice(b.self.node)];
  await lab.reads(await lab.announce(ofA, a), await lab.announce(ofB, b));
  const contents = snapshotOf(new Map(), []);
  const digest = await checkpointDigest(contents);
  const upload = async (change: { sequence?: bigint; hash?: Bytes } = {}, by = a) => {
    const base = { ...lab.log.cursor, instances: [], ...change };
    const sign = (what: Bytes) => by.sign("BX2 checkpoint", what);
    const [part] = await checkpointParts(base, contents, sign);
    return await lab.reads(await ofA.checkpoint(part!, false));
  };
  const { sequence } = lab.log.cursor;
  assertEquals(await upload({ sequence: sequence - 1n }), ["fault TWO_PASTS"]);
  assertEquals(await upload({ hash: random(32) }), ["fault TWO_PASTS"]);
  assertEquals(await upload({}, b), ["fault BAD_SIGNATURE"]);
  assertEquals(await upload(), []);

  // Until then what came before is needed.
  const unchecked = () => lab.group.past.unchecked.length;
  assertEquals(unchecked(), 1);
  const endorsed = async (voice: typeof ofA, by: GroupMembership, of = digest) => {
    const signature = await by.sign("BX2 endorsement", of);
    return await lab.reads(await voice.endorsement(concat(of, signature)));
  };
  assertEquals([await endorsed(ofA, a), unchecked()], [[], 1], "its author says nothing new");
  assertEquals([await endorsed(ofB, a), unchecked()], [["fault BAD_SIGNATURE"], 1]);
  assertEquals([await endorsed(ofB, b, random(32)), unchecked()], [[], 1], "of another one");
  assertEquals([await endorsed(ofB, b), unchecked()], [[], 0]);
});

test("another ring of any log that was read brings the device into doubt", async () => {
  const lab = await ReadingLab.of(2);
  const { epoch } = lab.group;
  const seen = { ring: random(8), sequence: 3n, hash: random(32) };
  const bound = { sequence: 5n, hash: random(32) };
  const log = await EpochLog.begin(epoch!, "bugs", bound);
  log.opened({
    ...{ subtype: "recovered", complete: true, durability: 0 },
    ...{ ring: seen.ring, first: 1n, last: 5n, hash: log.cursor.hash },
  });
  assertEquals(lab.group.doubt, false);
  await lab.open(log, { ring: random(8), last: 5n });
  assert(lab.group.doubt);
});
