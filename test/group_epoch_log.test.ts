/** The log of one epoch as a device has read it: its place, its chain, and who speaks in it. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { chained, EpochLog } from "../src/client/group/log/epoch_log.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import { opened } from "./kit/reading_lab.ts";

const DATABASE = "bugs";
const fixed = (): Promise<Epoch> =>
  Epoch.of(new Uint8Array(32).fill(7), new Uint8Array(16).fill(1));
const numbered = (n: number): Bytes => {
  const instance = new Uint8Array(8);
  new DataView(instance.buffer).setUint32(4, n);
  return instance;
};
/** In the fixed epoch these two instances of this node have one hint, 28061881. */
const NODE: Bytes = new Uint8Array(16).fill(2);
const [FIRST, SECOND] = [numbered(11_574), numbered(30_246)];

async function begun(ring = random(8)) {
  const log = await EpochLog.begin(await fixed(), DATABASE);
  log.opened(opened(log, ring));
  return { log, ring };
}

async function read(log: EpochLog, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await log.step(log.cursor.sequence + 1n, random(4));
}

test("of two instances with one hint the first one is listened to", async () => {
  const { log } = await begun();
  const first = await log.candidate(NODE, FIRST);
  assertEquals(hex(first.sender.hint), "28061881");
  log.admit(first);
  const taken = (node: Bytes, instance: Bytes) =>
    assertRejects(() => log.candidate(node, instance), ClientError, "another instance");
  assertEquals((await taken(NODE, SECOND)).code, "HINT_TAKEN");
  assertEquals(await log.candidate(NODE, FIRST), first, "it announces itself once more");
  assertEquals(log.opener("28061881"), first);
});

test("of one node the last eight instances are listened to, in the order in which they came", async () => {
  const { log } = await begun();
  const other = await log.candidate(random(16), random(8));
  log.admit(other);
  const openers = [];
  for (let i = 0; i < 9; i++) {
    openers.push(await log.candidate(NODE, numbered(i)));
    log.admit(openers.at(-1)!);
    if (i === 8) break;
    // Who says something once more is no newer for it.
    log.admit(openers[0]!);
    assertEquals(log.speakers().length, i + 2);
  }
  const heard = openers.map(({ sender: { hint } }) => log.opener(hex(hint)) !== undefined);
  assertEquals(heard, [false, ...Array(8).fill(true)]);
  assert(log.opener(hex(other.sender.hint)), "others are not touched");
});

test("counters of an instance rise over a restart, and begin anew where the log does", async () => {
  const { log, ring } = await begun();
  const opener = await log.candidate(NODE, FIRST);
  opener.window.note(4n);
  log.admit(opener, random(65));
  await read(log, 3);
  const back = await EpochLog.restore(log.save(), await fixed(), DATABASE);
  assertEquals(back.cursor, log.cursor);
  const [speaker] = back.speakers();
  assertEquals([speaker!.node, speaker!.instance, speaker!.next], [NODE, FIRST, 5n]);
  const again = back.opener(hex(opener.sender.hint))!;
  assertEquals([3n, 4n, 5n].map((n) => again.window.fresh(n)), [false, false, true]);
  // The same log: all stays. Another one: nobody speaks, and nobody's key is known.
  assert(log.opened(opened(log, ring, { first: 4n })));
  assert(log.keyOf(NODE) && log.opener("28061881"));
  assert(!log.opened(opened(log, random(8), { complete: false })));
  assertEquals([log.keyOf(NODE), log.opener("28061881"), log.speakers()], [
    undefined,
    undefined,
    [],
  ]);
});

test("chain hashes of the last 1,024 entries are compared, of one ring", async () => {
  const { log, ring } = await begun();
  await read(log, 1);
  const first = log.cursor;
  await read(log, 1_023);
  const wrong = { ...first, hash: random(32) };
  assert(log.differs(wrong) && !log.differs(first) && log.at(first) && !log.at(wrong));
  assert(!log.differs({ ...wrong, ring: random(8) }), "of another ring it says nothing");
  await read(log, 1);
  assert(!log.differs(wrong) && !log.at(first), "beyond that nobody can tell");
  // Of a log that begins anew nothing is known that was in the one before.
  const { cursor } = log;
  log.opened(opened(log, random(8), { complete: false, first: 1n, hash: random(32) }));
  assert(!log.at(cursor) && !log.differs({ ...log.cursor, ...cursor, hash: random(32) }));
  assert(!log.differs({ ring, sequence: cursor.sequence, hash: random(32) }));
});

test("another life of a log is another ring, or an older state of the same", async () => {
  const { log, ring } = await begun();
  const answer = (change: Parameters<typeof opened>[2]) => opened(log, ring, change);
  const other = (change: Parameters<typeof opened>[2]) => log.isOtherLife(answer(change));
  await read(log, 5);
  assert(!other({ first: 6n }), "it goes on");
  assert(other({ ring: random(8) }));
  assert(other({ complete: false, first: 1n }), "the cursor is ahead of it");
  assert(other({ complete: false, first: 6n }), "all is there, and is not what it was");
  assert(!other({ complete: false, first: 7n }), "what is missing was truncated");
  const fresh = await EpochLog.begin(await fixed(), DATABASE);
  assert(!fresh.isOtherLife(answer({ ring: random(8), complete: false })), "it never saw it");
});

test("what stands first behind what was truncated is told from all that follows", async () => {
  const { log, ring } = await begun();
  await read(log, 1);
  assert(!log.atStart, "below it there is nothing");
  const hash = random(32);
  assert(!log.opened(opened(log, ring, { complete: false, first: 9n, hash })));
  assertEquals(log.cursor, { ring, sequence: 8n, hash });
  assert(!log.atStart);
  const frame = random(4);
  await log.step(9n, frame);
  assert(log.atStart);
  assertEquals(log.cursor.hash, await chained(hash, frame));
  await read(log, 1);
  assert(!log.atStart);
  const error = await assertRejects(() => log.step(10n, frame), ClientError);
  assertEquals(error.code, "LOG_HOLE");
});
