/** Logs at the relay: what a member of the profile may open, what it is sent, and what it is answered. */
import { test } from "node:test";
import { configure } from "@logtape/logtape";
import { assert, assertEquals } from "@std/assert";
import { Close, Refused } from "../src/close.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeExtension, encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { TlvType } from "../src/wire/blaze/handshake.ts";
import type { Channels } from "../src/channel/channels.ts";
import { OpenLog } from "../src/session/blaze/logs.ts";
import type { BlazeMember } from "../src/session/blaze/member.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import type { Entry, LogState, LogStore } from "../src/store/store.ts";
import { everything, LITERAL, nodeId, PAIRED, PROFILE } from "./kit/blaze.ts";
import {
  about,
  chain,
  commit,
  heard,
  logId,
  logKey,
  LogLab,
  NOWHERE,
  operation,
  SlowStore,
} from "./kit/log_lab.ts";

const READ_ONLY = { terms: { grant: { ...everything, write: [] } } };

/** Entries from one number to another, as {@linkcode heard} has them. */
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `#${from + i}`);

// -- Greeting

test("a newcomer of the profile is told that there are logs, and how safe they are", () => {
  const newcomer = new LogLab().join(1, PROFILE);
  const tlvs = [{ type: TlvType.log, value: Uint8Array.of(0) }];
  assertEquals(newcomer.nextExtension(), {
    subtype: "joined",
    node: nodeId(1),
    members: 1,
    tlvs,
  });
});

test("whom else a newcomer is announced to hears nothing of logs", () => {
  const lab = new LogLab({ membersShown: 1 });
  const first = lab.member(1);
  lab.member(2);
  assertEquals(first.nextExtension(), { subtype: "joined", node: nodeId(2), members: 2 });
});

test("a relay without a store says nothing of logs, and refuses what is about them", async () => {
  const lab = new LogLab({}, () => undefined!);
  const device = lab.join(1, PROFILE);
  assertEquals(device.nextExtension(), { subtype: "joined", node: nodeId(1), members: 1 });
  about(device).open(1);
  about(device).append(operation(1));
  about(device).truncate(1n);
  await lab.settle();
  assertEquals(heard(device), Array(3).fill(`error ${Refused.notAllowed.code}`));
});

// -- Open, append, read

test("what one appends, others and its author get in one order, as the same bytes", async () => {
  const lab = new LogLab();
  const [a, b] = [lab.member(1), lab.member(2)];
  about(a).open(7);
  about(b).open(7);
  await lab.settle();
  for (const one of [a, b]) assertEquals(heard(one), ["recovered 1..0", "live 0"]);
  about(a).append(operation(1));
  about(b).append(operation(2));
  about(a).append(operation(3));
  await lab.settle();
  assertEquals(a.received.slice(0, 3), b.received.slice(0, 3));
  assertEquals(
    a.received.slice(0, 3).map((message) => decodeExtension(decodeFrame(message).payload)),
    [1, 2, 3].map((n) => ({ subtype: "sequenced", sequence: BigInt(n), frame: operation(n) })),
  );
  assertEquals(heard(a), ["#1", "#2", "#3", "accepted 2 to 3"]);
  assertEquals(heard(b), ["#1", "#2", "#3", "accepted 1 to 2"]);
});

test("a log that nobody has open costs nothing but its store", async () => {
  const lab = new LogLab();
  const device = lab.member(1);
  about(device).open(7);
  await lab.settle();
  assertEquals(lab.sessions.logs?.size, 1);
  device.close();
  await lab.settle();
  assertEquals(lab.sessions.logs?.size, 0);
  assertEquals(lab.channels.size, 0);
  assertEquals(lab.host.waiting, 0);
});

/** A log with so many entries. */
async function filled(count: number, lab = new LogLab(), bytes = 4) {
  const author = lab.member(9);
  about(author).open(7);
  const frames = Array.from({ length: count }, (_, i) => operation(i + 1, bytes));
  for (const frame of frames) about(author).append(frame);
  await lab.settle();
  const recovered = decodeExtension(author.received[0]!.subarray(5));
  author.forget();
  assert(recovered.subtype === "recovered");
  const hashes = chain(logId(7), frames);
  const cursor = (sequence: number) => ({
    ring: recovered.ring,
    sequence: BigInt(sequence),
    check: hashes[sequence]!.subarray(0, 8),
  });
  return { lab, author, frames, hashes, cursor, ring: recovered.ring };
}

test("a cursor that fits is complete from there on; with none, from the start", async () => {
  const { lab, cursor, hashes, ring } = await filled(5);
  const late = lab.member(1);
  for (const sequence of [0, 1, 3, 5]) {
    about(late).open(7, cursor(sequence));
    await lab.settle();
    assertEquals(decodeExtension(late.received[0]!.subarray(5)), {
      subtype: "recovered",
      complete: true,
      durability: 0,
      ring,
      first: BigInt(sequence + 1),
      last: 5n,
      hash: hashes[sequence],
    });
    const first = `recovered ${sequence + 1}..5`;
    assertEquals(heard(late), [first, ...numbers(sequence + 1, 5), "live 5"]);
  }
  about(late).open(7, NOWHERE);
  await lab.settle();
  assertEquals(heard(late), ["recovered 1..5", ...numbers(1, 5), "live 5"]);
});

test("another ring, another check, or a cursor ahead is a gap: all that is kept follows", async () => {
  const { lab, cursor } = await filled(3);
  const late = lab.member(1);
  for (
    const wrong of [
      { ...cursor(2), ring: new Uint8Array(8).fill(99) },
      { ...cursor(2), check: cursor(1).check },
      { ...cursor(3), sequence: 4n },
      { ...cursor(3), sequence: 2n ** 64n - 1n },
    ]
  ) {
    about(late).open(7, wrong);
    await lab.settle();
    assertEquals(heard(late), ["gap 1..3", ...numbers(1, 3), "live 3"]);
  }
});

test("after a truncation a cursor at its edge is complete, one below it and none are gaps", async () => {
  const { lab, author, cursor, hashes } = await filled(6);
  about(author).truncate(4n);
  await lab.settle();
  assertEquals(heard(author), []);
  lab.host.pass(86_400_000);
  await lab.store.sweep();
  const late = lab.member(1);
  about(late).open(7, cursor(3));
  await lab.settle();
  assertEquals(heard(late), ["recovered 4..6", "#4", "#5", "#6", "live 6"]);
  for (const from of [cursor(2), cursor(0), NOWHERE]) {
    about(late).open(7, from);
    await lab.settle();
    const recovered = decodeExtension(late.received[0]!.subarray(5));
    assert(recovered.subtype === "recovered");
    assertEquals(recovered.hash, hashes[3]);
    assertEquals(heard(late), ["gap 4..6", "#4", "#5", "#6", "live 6"]);
  }
});

test("a compare-and-set gets its number, or is told where the log is", async () => {
  const { lab, author } = await filled(3);
  for (const at of [3n, 5n, 2n ** 64n - 1n, 4n]) about(author).append(operation(4), at);
  await lab.settle();
  assertEquals(heard(author), ["#4", "moved 3", "moved 3", "moved 3", "accepted 1 to 4"]);
});

test("every append is answered once, in order, also those that are refused", async () => {
  const { lab, author } = await filled(1);
  about(author).append(operation(2));
  about(author).append(operation(3), 9n);
  about(author).append(encodeFrame({ type: FrameType.ping }));
  about(author).append(operation(3));
  about(author).append(operation(4));
  await lab.settle();
  assertEquals(heard(author), [
    ...numbers(2, 4),
    "accepted 1 to 2",
    "moved 2",
    "error 4405",
    "accepted 2 to 4",
  ]);
});

// -- Who may

test("a reading token opens what is there; it creates, appends and truncates nothing", async () => {
  const { lab } = await filled(2);
  const reader = lab.member(1, READ_ONLY);
  about(reader).open(8);
  about(reader).open(7);
  about(reader).append(operation(9));
  about(reader).truncate(2n);
  await lab.settle();
  assertEquals(heard(reader), [
    "error 4406",
    "recovered 1..2",
    "error 4423",
    "error 4423",
    "#1",
    "#2",
    "live 2",
  ]);
  // Nor where nothing is owed to it any more.
  about(reader).append(operation(9));
  await lab.settle();
  assertEquals(heard(reader), ["error 4423"]);
  lab.host.pass(86_400_000);
  await lab.store.sweep();
  about(reader).open(7);
  await lab.settle();
  assertEquals(heard(reader)[0], "recovered 1..2");
});

test("a wrong key reads like a log that is not there, and leaves nothing behind", async () => {
  const { lab } = await filled(1);
  const stranger = lab.member(1);
  const reader = lab.member(2, READ_ONLY);
  stranger.forget();
  about(stranger).open(7, NOWHERE, logKey(8));
  about(reader).open(8, NOWHERE, logKey(8));
  await lab.settle();
  assertEquals(stranger.received, reader.received);
  assertEquals(heard(stranger), [`error ${Refused.noLog.code}`]);
  about(stranger).append(operation(1));
  await lab.settle();
  assertEquals(heard(stranger), ["error 4405"]);
  assertEquals(lab.sessions.logs?.size, 1);
});

test("logs of two tenants with one id are two logs", async () => {
  const { lab } = await filled(1);
  const other = lab.member(1, { terms: { grant: { ...everything, tenant: "ward" } } });
  about(other).open(7, NOWHERE, logKey(1));
  about(other).append(operation(1));
  await lab.settle();
  assertEquals(heard(other), ["recovered 1..0", "#1", "accepted 1 to 1", "live 1"]);
});

test("members of two databases of one tenant have one log of one id", async () => {
  const { lab } = await filled(1);
  const other = lab.member(1, { database: "notes" });
  about(other).open(7);
  await lab.settle();
  assertEquals(heard(other), ["recovered 1..1", "#1", "live 1"]);
});

test("paired members have no logs", async () => {
  const lab = new LogLab();
  for (const capabilities of [PAIRED, LITERAL]) {
    const device = lab.join(capabilities, capabilities).forget();
    about(device).open(7);
    await lab.settle();
    assertEquals(device.nextFault(), Refused.notAllowed.code);
    device.close();
  }
});

test("what a log keeps is an Operation or an Extension between devices", async () => {
  const { lab, author } = await filled(0);
  const extension = (code: number) =>
    encodeFrame({ type: FrameType.extension, payload: Uint8Array.of(code, 0) });
  about(author).append(extension(0x10));
  about(author).append(extension(0x1f));
  const direct = encodeExtension({ subtype: "direct", node: nodeId(1), frame: operation(1) });
  const refused = [
    encodeFrame({ type: FrameType.queryResult }),
    encodeFrame({ type: FrameType.extension }),
    extension(0x01),
    extension(0x0a),
    extension(0x20),
    encodeFrame({ type: FrameType.extension, payload: direct }),
  ];
  for (const frame of refused) about(author).append(frame);
  await lab.settle();
  const faults = refused.map(() => "error 4405");
  assertEquals(heard(author), ["#1", "#2", "accepted 2 to 2", ...faults]);
});

test("an append of what is no frame, or of an envelope of envelopes, ends the link", async () => {
  const nested = encodeExtension({ subtype: "sequenced", sequence: 0n, frame: operation(1) });
  for (
    const frame of [
      Uint8Array.of(1),
      operation(1).subarray(0, 6),
      operation(1).with(2, 0x72),
      encodeFrame({ type: FrameType.extension, payload: nested }),
    ]
  ) {
    const { lab, author } = await filled(0);
    about(author).append(frame);
    await lab.settle();
    assertEquals(author.closedWith?.code, Close.badFrame.code);
    assertEquals(lab.sessions.logs?.size, 0);
  }
});

test("a malformed Open is an Error in its turn, and the link stays", async () => {
  const { lab, author } = await filled(0);
  about(author).append(operation(1));
  for (const bytes of [1, 40, 80, 82]) {
    const payload = new Uint8Array(bytes);
    payload[0] = Subtype.open;
    author.frame(FrameType.extension, payload);
  }
  about(author).append(operation(2));
  await lab.settle();
  assertEquals(heard(author), [
    "#1",
    "#2",
    "accepted 1 to 1",
    ...Array(4).fill("error 4422"),
    "accepted 1 to 2",
  ]);
});

test("a second Open takes the place of the first, and each is answered", async () => {
  const { lab, author } = await filled(2);
  about(author).append(operation(3));
  about(author).open(8);
  about(author).append(operation(1));
  about(author).open(7);
  await lab.settle();
  const got = heard(author);
  assertEquals(got.filter((one) => one.startsWith("accepted")), [
    "accepted 1 to 3",
    "accepted 1 to 1",
  ]);
  assertEquals(got.filter((one) => one.startsWith("recovered")), [
    "recovered 1..0",
    "recovered 1..3",
  ]);
  assertEquals(got.slice(-4), ["#1", "#2", "#3", "live 3"]);
  const other = lab.member(1);
  about(other).open(8);
  about(other).append(operation(2));
  await lab.settle();
  assertEquals(heard(author), []);
});

// -- The seam

test("no entry is left out or comes twice, however reading and appending meet", async () => {
  const lab = new LogLab({ messagesPerSecond: 0, bytesPerSecond: 0 });
  await filled(200, lab, 8_000);
  const author = lab.member(1);
  about(author).open(7, NOWHERE);
  const late = [2, 3, 4].map((node) => lab.member(node));
  for (let step = 0; step < 60; step++) {
    if (step % 7 === 0 && late[step / 7]) about(late[step / 7]!).open(7);
    about(author).append(operation(1000 + step, 20_000));
    for (let i = 0; i < step % 5; i++) await Promise.resolve();
    if (step % 3 === 0) lab.host.pass(0);
  }
  await lab.settle();
  for (const one of late) {
    const got = heard(one);
    assertEquals(got.filter((word) => word.startsWith("#")), numbers(1, 260));
    const live = got.findIndex((word) => word.startsWith("live"));
    assertEquals(got[live], `live ${live - 1}`);
  }
});

test("a log is read no faster than the link takes it", async () => {
  const lab = new LogLab({ messagesPerSecond: 0, bytesPerSecond: 0 });
  await filled(64, lab, 100_000);
  const late = lab.member(1);
  late.buffered = 262_144;
  about(late).open(7);
  await lab.settle();
  assertEquals(heard(late), ["recovered 1..64"]);
  late.drain();
  late.buffered = 262_144;
  await lab.settle();
  assertEquals(heard(late), ["#1", "#2"]);
  // Not every runtime says that there is room again.
  late.buffered = 0;
  lab.host.pass(20);
  await Promise.resolve();
  late.buffered = 262_144;
  await lab.settle();
  assertEquals(heard(late), ["#3", "#4"]);
  late.drain();
  await lab.settle();
  assertEquals(heard(late), [...numbers(5, 64), "live 64"]);
});

test("who reads slowly is read to in its own time, and others write and hear", async () => {
  const { lab, author } = await filled(3);
  const slow = lab.member(1);
  slow.buffered = 1_000_000;
  about(slow).open(7);
  for (let n = 4; n < 20; n++) about(author).append(operation(n));
  await lab.settle();
  assertEquals(heard(author), [...numbers(4, 19), "accepted 16 to 19"]);
  assertEquals(heard(slow), ["recovered 1..3"]);
  about(slow).append(operation(20));
  await lab.settle();
  assertEquals(heard(slow), [], "it sees its own entry first");
  slow.drain();
  await lab.settle();
  assertEquals(heard(slow), [...numbers(1, 20), "accepted 1 to 20", "live 20"]);
});

test("a live reader that reads nothing is closed, and the others are not", async () => {
  const lab = new LogLab({ bufferedBytes: 100_000 });
  const { author } = await filled(0, lab);
  const slow = lab.member(1);
  about(slow).open(7);
  await lab.settle();
  slow.buffered = 99_990;
  about(author).append(operation(1));
  await lab.settle();
  assertEquals(slow.closedWith?.code, Close.tooSlow.code);
  assertEquals(heard(author), ["#1", "accepted 1 to 1"]);
});

// -- The store takes its time, or fails

const slowLab = () => {
  let store!: SlowStore;
  const lab = new LogLab({}, (host, limits) => store = new SlowStore(host, limits));
  return { lab, store };
};

test("a slow store delays what is about logs, and nothing else", async () => {
  const { lab, store } = slowLab();
  const { author } = await filled(1, lab);
  const other = lab.member(1);
  store.hold();
  about(author).append(operation(2));
  author.frame(FrameType.operation, operation(77));
  author.frame(FrameType.ping, Uint8Array.of(1));
  await lab.settle();
  assertEquals(heard(other), ["type 2"]);
  assertEquals(heard(author), ["type 9"]);
  store.release();
  await lab.settle();
  assertEquals(heard(author), ["#2", "accepted 1 to 2"]);
});

test("entries come to those who open while the store commits", async () => {
  const { lab, store } = slowLab();
  const { author } = await filled(1, lab);
  const late = lab.member(1);
  store.hold();
  about(author).append(operation(2));
  about(late).open(7);
  await lab.settle();
  store.release();
  await lab.settle();
  assertEquals(heard(late).filter((one) => one.startsWith("#")), ["#1", "#2"]);
});

test("a link that dies between an append and its answer leaves the entry, and nothing else", async () => {
  const { lab, store } = slowLab();
  const { author } = await filled(1, lab);
  const other = lab.member(1);
  about(other).open(7);
  await lab.settle();
  heard(other);
  author.forget();
  store.hold();
  about(author).append(operation(2));
  await lab.settle();
  author.close(1006);
  store.release();
  await lab.settle();
  assertEquals(heard(other), ["#2"]);
  assertEquals(author.received, []);
  other.close();
  await lab.settle();
  assertEquals([lab.sessions.logs?.size, lab.channels.size, lab.host.waiting], [0, 0, 0]);
});

test("a link that dies while its log is opened leaves nothing", async () => {
  const { lab, store } = slowLab();
  await filled(1, lab).then(({ author }) => author.close());
  for (const when of ["held", "answered"]) {
    const device = lab.member(1);
    store.hold();
    about(device).open(7);
    await lab.settle();
    if (when === "held") device.close();
    store.release();
    device.close();
    await lab.settle();
    assertEquals([lab.sessions.logs?.size, lab.channels.size, lab.host.waiting], [0, 0, 0]);
  }
});

test("another Open in the middle of reading: nothing of the first log follows the second", async () => {
  const { lab, store } = slowLab();
  await filled(3, lab);
  const device = lab.member(1);
  about(device).open(7);
  await Promise.resolve();
  store.hold();
  await lab.settle();
  about(device).open(8);
  store.release();
  await lab.settle();
  const got = heard(device);
  assertEquals(got.slice(got.indexOf("recovered 1..0")), ["recovered 1..0", "live 0"]);
  assertEquals(lab.sessions.logs?.size, 2);
});

test("a store that throws is an Error, and the link and live frames go on", async () => {
  const { lab, store } = slowLab();
  const { author } = await filled(1, lab);
  const other = lab.member(1);
  store.failing = true;
  about(author).append(operation(2));
  about(author).append(operation(2), 2n);
  about(other).open(7);
  author.frame(FrameType.operation, operation(77));
  await lab.settle();
  assertEquals(heard(author), ["error 4503", "error 4503"]);
  assertEquals(heard(other), ["type 2", "error 4503"]);
  store.failing = false;
  about(author).append(operation(2));
  about(other).open(7);
  await lab.settle();
  assertEquals(heard(author), ["#2", "accepted 1 to 2"]);
  assertEquals(heard(other), ["recovered 1..2", "#1", "#2", "live 2"]);
});

test("a store that throws while a log is read closes that log, not the link", async () => {
  const { lab, store } = slowLab();
  await filled(1, lab);
  const late = lab.member(1);
  late.buffered = 262_144;
  about(late).open(7);
  await lab.settle();
  store.failing = true;
  late.drain();
  await lab.settle();
  store.failing = false;
  about(late).append(operation(2));
  await lab.settle();
  assertEquals(heard(late), ["recovered 1..1", "error 4503", "error 4405"]);
  about(late).open(7);
  await lab.settle();
  assertEquals(heard(late), ["recovered 1..1", "#1", "live 1"]);
});

// -- The log is not the one that it was

/** Stands for stores that lose what they have, and say so, or not. */
const losing = () => {
  const watching = new Set<() => void>();
  let begin!: () => void;
  const lab = new LogLab({}, (host, limits) => {
    let store = new MemoryStore(host, limits);
    begin = () => store = new MemoryStore(host, limits);
    return {
      durability: 0,
      open: (...args) => store.open(...args),
      append: (...args) => store.append(...args),
      read: (...args) => store.read(...args),
      hashAt: (...args) => store.hashAt(...args),
      truncate: (...args) => store.truncate(...args),
      watch(log, heard, lost = () => {}) {
        watching.add(lost);
        const stop = store.watch(log, heard);
        return () => {
          watching.delete(lost);
          stop();
        };
      },
      sweep: () => store.sweep(),
      close: () => store.close(),
    };
  });
  const say = () => [...watching].forEach((lost) => lost());
  return { lab, begin: () => begin(), say };
};

for (const says of [true, false]) {
  test(`a store that began anew${says ? "" : ", unsaid"}: links go, come back, and open that`, async () => {
    const { lab, begin, say } = losing();
    const { author } = await filled(3, lab);
    const idle = lab.member(1);
    about(idle).open(7);
    await lab.settle();
    begin();
    if (says) say();
    const late = lab.member(2);
    about(late).open(7);
    await lab.settle();
    for (const device of [author, idle, ...(says ? [] : [late])]) {
      assertEquals(device.closedWith?.code, Close.restarting.code);
      assertEquals(heard(device).at(-1), "error 1012");
    }
    if (says) assertEquals(heard(late), ["recovered 1..0", "live 0"]);
    for (const device of [author, idle, late]) device.close();
    await lab.settle();
    assertEquals(lab.sessions.logs?.size, 0);
    const [a, b] = [lab.member(0), lab.member(1)];
    for (const device of [a, b]) about(device).open(7);
    await lab.settle();
    about(a).append(operation(9));
    await lab.settle();
    for (const device of [a, b]) {
      assertEquals(heard(device).slice(0, 3), ["recovered 1..0", "live 0", "#1"]);
    }
  });
}

test("a store that fails again and again says so once a second at most", async () => {
  const { lab, store } = slowLab();
  const { author } = await filled(0, lab);
  store.failing = true;
  const lines: unknown[] = [];
  const meta = { category: ["logtape", "meta"], lowestLevel: "error" as const };
  await configure({
    sinks: { test: ({ properties }) => void lines.push(properties.reason) },
    loggers: [{ category: "blaze-relay", sinks: ["test"], lowestLevel: "warning" }, meta],
    reset: true,
  });
  try {
    for (let n = 0; n < 50; n++) about(author).append(operation(n));
    await lab.settle();
    assertEquals(heard(author).length, 50);
  } finally {
    await configure({ sinks: {}, loggers: [meta], reset: true });
  }
  assertEquals(lines, ["no disk"]);
});

// -- Limits

test("a full log is an Error for each append that has no room, and no fault of the device", async () => {
  const { lab, author } = await filled(0, new LogLab({ logBytes: 5_000 }));
  for (let n = 0; n < 60; n++) about(author).append(operation(n, 1_000));
  await lab.settle();
  const got = heard(author);
  assert(got.filter((one) => one.startsWith("#")).length >= 3);
  const full = got.filter((one) => one === `error ${Refused.mailboxFull.code}`);
  assert(full.length >= 55 && author.closedWith === undefined);
});

test("where a tenant has no room for another log, opening one reads like a wrong key", async () => {
  const { lab, author } = await filled(1, new LogLab({ tenantLogBytes: 2 * 4_096 + 1_000 }));
  const other = lab.member(1);
  heard(other);
  for (const n of [8, 9, 7]) about(other).open(n);
  await lab.settle();
  assertEquals(heard(other), [
    ...["recovered 1..0", "error 4406", "recovered 1..1", "#1", "live 1"],
  ]);
  about(author).append(operation(1));
  await lab.settle();
  assertEquals(heard(author), ["#2", "accepted 1 to 2"]);
});

test("appends that the store has not answered are bounded in bytes", async () => {
  let store!: SlowStore;
  const lab = new LogLab(
    { logAheadBytes: 10_000 },
    (host, limits) => store = new SlowStore(host, limits),
  );
  const { author } = await filled(0, lab);
  store.hold();
  for (let n = 0; n < 7; n++) about(author).append(operation(n, 1_000));
  assertEquals(author.closedWith, undefined);
  about(author).append(operation(8, 2_000));
  assertEquals(author.closedWith?.code, Close.tooFast.code);
  store.release();
  await lab.settle();
  assertEquals(lab.sessions.logs?.size, 0);
});

test("one append larger than what may be ahead is taken when nothing is", async () => {
  const { lab, author } = await filled(0, new LogLab({ logAheadBytes: 1_000 }));
  about(author).append(operation(1, 5_000));
  await lab.settle();
  assertEquals(heard(author), ["#1", "accepted 1 to 1"]);
});

test("where the store takes its time the same, and what was answered is ahead no more", async () => {
  let store!: SlowStore;
  const lab = new LogLab(
    { logAheadBytes: 3_000 },
    (host, limits) => store = new SlowStore(host, limits),
  );
  const { author } = await filled(0, lab);
  store.hold();
  about(author).append(operation(1, 5_000));
  assertEquals(author.closedWith, undefined);
  store.release();
  await lab.settle();
  assertEquals(heard(author), ["#1", "accepted 1 to 1"]);
  for (let n = 2; n < 12; n++) {
    about(author).append(operation(n, 1_000));
    await lab.settle();
    assertEquals(heard(author), [`#${n}`, `accepted 1 to ${n}`]);
  }
});

test("an append of the largest frame comes back", async () => {
  const { lab, author } = await filled(0, new LogLab({ bytesPerSecond: 0 }));
  about(author).append(encodeFrame({
    type: FrameType.operation,
    encrypted: true,
    payload: new Uint8Array(1_048_576),
  }));
  await lab.settle();
  assertEquals(author.received[0]?.length, 1_048_576 + 7 + 9 + 7);
  assertEquals(heard(author), ["#1", "accepted 1 to 1"]);
});

test("10,000 Opens of one link: each is answered, and one log is open", async () => {
  const lab = new LogLab({ messagesPerSecond: 0, bytesPerSecond: 0, faultsPerSecond: 0 });
  const device = lab.member(1);
  for (let n = 0; n < 10_000; n++) about(device).open(n % 200);
  for (let i = 0; i < 400 && device.received.length < 10_000; i++) await lab.settle();
  const got = heard(device);
  assertEquals(got.filter((one) => one === "recovered 1..0").length, 10_000);
  assertEquals(lab.sessions.logs?.size, 1);
});

test("whoever tries keys is sent away after a few", async () => {
  const { lab } = await filled(1);
  const stranger = lab.member(1);
  for (let n = 0; n < 100; n++) about(stranger).open(7, NOWHERE, logKey(n + 10));
  await lab.settle();
  assertEquals(stranger.closedWith?.code, Close.tooFast.code);
  assertEquals(lab.sessions.logs?.size, 1);
});

// -- Closing

test("a commit with its number closes a log; one without does not", async () => {
  const { lab, author } = await filled(1);
  about(author).append(commit(1));
  await lab.settle();
  const state = async () => {
    const name = { tenant: "default", id: "07".repeat(16) };
    const key = new Uint8Array(
      await crypto.subtle.digest("SHA-256", logKey(7)),
    );
    return await lab.store.open(name, key, false);
  };
  assertEquals((await state())?.closed, false);
  about(author).append(operation(3), 3n);
  about(author).append(commit(1), 9n);
  await lab.settle();
  assertEquals((await state())?.closed, false);
  about(author).append(commit(1), 4n);
  about(author).append(operation(5));
  await lab.settle();
  assertEquals((await state())?.closed, true);
  heard(author);
  lab.host.pass(2_592_000_000);
  await lab.store.sweep();
  const late = lab.member(1);
  about(late).open(7);
  await lab.settle();
  assertEquals(heard(late), ["gap 4..5", "#4", "#5", "live 5"]);
});

test("entries that went between `recovered` and reading them are an Error, never a hole", async () => {
  // Some of them, or all.
  for (const before of [3n, 5n]) {
    const { lab, author } = await filled(4);
    const late = lab.member(1);
    late.buffered = 262_144;
    about(late).open(7);
    await lab.settle();
    about(author).truncate(before);
    await lab.settle();
    lab.host.pass(86_400_000);
    await lab.store.sweep();
    late.drain();
    await lab.settle();
    assertEquals(heard(late), ["recovered 1..4", "error 4503"]);
  }
});

// -- Logs that somebody has open

const NAME = { tenant: "default", id: "07".repeat(16) };

/** What the store says of a log in this ring. */
const stateOf = (ring: number, last: bigint): LogState => ({
  ring: new Uint8Array(8).fill(ring),
  first: 1n,
  last,
  before: new Uint8Array(32),
  bytes: 0,
  closed: false,
});

/** A log whose store says what a test wants, and what goes out to whoever is live. */
function openLog() {
  const sent: bigint[] = [];
  let heard!: (entries: readonly Entry[]) => void;
  const store = {
    watch: (_name: unknown, run: typeof heard) => {
      heard = run;
      return () => {};
    },
  } as unknown as LogStore;
  const channel = {
    broadcast: (message: Uint8Array) => {
      const word = decodeExtension(decodeFrame(message).payload);
      if (word.subtype === "sequenced") sent.push(word.sequence);
    },
  };
  const channels = { get: () => channel } as unknown as Channels;
  const log = new OpenLog(NAME, channels, store, () => {});
  const hear = (...sequences: bigint[]) =>
    heard(sequences.map((sequence) => ({ sequence, frame: operation(1) })));
  return { log, sent, hear };
}

test("a log in another ring, or behind what has gone out, is not the one that was open", () => {
  const { log, hear } = openLog();
  assertEquals(log.known(stateOf(1, 3n), log.published), true);
  assertEquals(log.known(stateOf(2, 9n), log.published), false);
  hear(4n);
  assertEquals(log.known(stateOf(1, 3n), log.published), false);
  assertEquals(log.known(stateOf(1, 3n), 3n), true, "it went out after the store was asked");
  assertEquals(log.known(stateOf(1, 4n), log.published), true);
});

test("what readers have from the store does not go out to them again", () => {
  const { log, sent, hear } = openLog();
  log.known(stateOf(1, 5n), log.published);
  hear(4n, 5n, 6n);
  hear(6n);
  hear(7n);
  assertEquals([sent, log.published], [[6n, 7n], 7n]);
});

test("whoever leaves a log that was lost does not close the one that took its place", () => {
  const { logs } = new LogLab().sessions;
  const user = () => {
    const said: string[] = [];
    const outbox = { close: () => said.push("closed") };
    return { said, refuse: () => said.push("refused"), outbox } as unknown as
      & BlazeMember
      & { said: string[] };
  };
  const [first, second] = [user(), user()];
  const before = logs!.enter(NAME, first);
  logs!.lose(before);
  assertEquals(first.said, ["refused", "closed"]);
  const after = logs!.enter(NAME, second);
  assert(after !== before);
  logs!.release(before, first);
  assertEquals([logs!.size, logs!.enter(NAME, first) === after], [1, true]);
  for (const one of [first, second]) logs!.release(after, one);
  assertEquals(logs!.size, 0);
});
