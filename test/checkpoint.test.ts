import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  CheckpointAssembly,
  checkpointDigest,
  checkpointParts,
  decodeCheckpoint,
  PART_BYTES,
  snapshotOf,
} from "../src/client/group/data/checkpoint.ts";
import { readLinks } from "../src/client/group/data/link_vector.ts";
import { decodeState, encodeState } from "../src/client/group/data/record_state.ts";
import { holdsOperation, Replica } from "../src/client/group/data/replica.ts";
import { faultOf } from "../src/client/client_error.ts";
import { type Fields, Uuid } from "../src/wire/blaze/blaze_record.ts";
import { operationKinds } from "../src/wire/blaze/operation.ts";
import { type Bytes, concat, concatAll, hex, Reader, Writer } from "../src/wire/bytes.ts";
import { base, comesBack, encodeLinks, filled, nodes, sign, vector } from "./kit/filled.ts";
import { fc, holds } from "./kit/random.ts";
import { refusal, refusalNow } from "./kit/refusal.ts";

/** What the parts say, without their heads. */
const contentsOf = (parts: readonly Bytes[]) => concatAll(parts.map((part) => part.subarray(5)));

const sample = async (count = 5): Promise<Bytes> =>
  contentsOf(await checkpointParts(base, snapshotOf(vector, filled(count).all()), sign));

test("a checkpoint comes back as it was: base, instances, vector, records, what is signed", async () => {
  const contents = snapshotOf(vector, filled(5).all());
  const [part, ...more] = await checkpointParts(base, contents, sign);
  assertEquals(more, []);
  const whole = new CheckpointAssembly(1 << 20).take("a", part!)!;
  const read = await decodeCheckpoint(whole);
  assertEquals(read.base, base);
  assertEquals(read.vector, new Map([...vector].sort()));
  assertEquals(hex(read.digest), hex(await checkpointDigest(contents)));
  // Ring, sequence, hash, digest, and the instances.
  assertEquals(read.covered.length, 8 + 8 + 32 + 32 + 2 + 32);
  assertEquals(hex(read.signature), hex(await sign(read.covered)));
  assertEquals(read.states.map(encodeState), [...filled(5).all()].map(encodeState));
});

test("the contents of a checkpoint are refused when anything is wrong with them", async () => {
  const good = await sample();
  const at = 8 + 8 + 32;
  const flipped = (index: number) => good.map((byte, i) => i === index ? byte ^ 1 : byte);
  assertEquals(await refusal(() => decodeCheckpoint(flipped(at))), "BAD_DIGEST");
  assertEquals(await refusal(() => decodeCheckpoint(flipped(good.length - 1))), "BAD_DIGEST");
  assertEquals(
    await refusal(() => decodeCheckpoint(concat(good, Uint8Array.of(0)))),
    "TRAILING_BYTES",
  );
  const states = [...filled(5).all()].reverse();
  const wrong = contentsOf(await checkpointParts(base, snapshotOf(vector, states), sign));
  assertEquals(await refusal(() => decodeCheckpoint(wrong)), "BAD_ORDER");
  const twice = [states[0]!, states[0]!];
  const same = contentsOf(await checkpointParts(base, snapshotOf(vector, twice), sign));
  assertEquals(await refusal(() => decodeCheckpoint(same)), "BAD_ORDER");
  // More records than there are bytes for are not even begun.
  const many = concat(
    good.subarray(0, at + 32 + 64 + 2 + 32),
    encodeLinks(new Map()),
    new Writer(4).u32(0xffff_ffff).finish(),
  );
  assertEquals(await refusal(() => decodeCheckpoint(many)), "TRUNCATED");
});

test("the contents of a checkpoint are refused when they are cut at any byte", async () => {
  const good = await sample(2);
  for (let length = 0; length < good.length; length++) {
    await refusal(() => decodeCheckpoint(good.slice(0, length)));
  }
});

test("decodeCheckpoint and CheckpointAssembly answer or refuse", async () => {
  await holds(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
    const known = (error: unknown) => assert(faultOf(error).code !== "UNEXPECTED", String(error));
    await decodeCheckpoint(bytes.slice()).then(() => {}, known);
    try {
      new CheckpointAssembly(100).take("a", bytes);
    } catch (error) {
      known(error);
    }
  }));
});

test("a record larger than a part is split, and comes back", async () => {
  const replica = filled(3, "é".repeat(PART_BYTES));
  const parts = await checkpointParts(base, snapshotOf(vector, replica.all()), sign);
  assertEquals(parts.length, 7);
  for (const part of parts) assert(part.length <= 5 + PART_BYTES);
  const assembly = new CheckpointAssembly(1 << 21);
  let whole: Bytes | undefined;
  for (const part of parts) whole = assembly.take("a", part);
  const { states } = await decodeCheckpoint(whole!);
  assertEquals(states.map(encodeState), [...replica.all()].map(encodeState));
});

test("CheckpointAssembly takes one checkpoint at a time, in order, up to its bound", async () => {
  const replica = filled(3, "x".repeat(PART_BYTES));
  const parts = await checkpointParts(base, snapshotOf(vector, replica.all()), sign);
  const [first, second, third] = parts as [Bytes, Bytes, Bytes];
  const assembly = new CheckpointAssembly(1 << 21);
  const refused = (from: string, part: Uint8Array) => refusalNow(() => assembly.take(from, part));
  assertEquals(refused("a", second), "OTHER_CHECKPOINT");
  assembly.take("a", first);
  assertEquals(refused("b", second), "OTHER_CHECKPOINT");
  assertEquals(refused("a", third), "OTHER_CHECKPOINT");
  assembly.take("a", second);
  assertEquals(refused("a", second), "OTHER_CHECKPOINT");
  // A first part begins anew, and what the one before had to say is no part of it.
  assembly.take("b", first);
  assertEquals(refused("a", third), "OTHER_CHECKPOINT");
  let whole: Bytes | undefined;
  for (const part of parts.slice(1)) whole = assembly.take("b", part);
  assertEquals(hex(whole!), hex(contentsOf(parts)));

  const small = new CheckpointAssembly(PART_BYTES);
  small.take("a", first);
  assertEquals(refusalNow(() => small.take("a", second)), "TOO_LARGE");
  assertEquals(refusalNow(() => small.take("a", second)), "OTHER_CHECKPOINT");
});

test("CheckpointAssembly refuses parts that are none", () => {
  const rows: [Uint8Array, string][] = [
    [new Uint8Array(0), "TRUNCATED"],
    [new Uint8Array(4), "TRUNCATED"],
    [new Uint8Array(5), "BAD_PART"],
    [Uint8Array.of(0, 0, 0, 0, 2, 1), "BAD_PART"],
    [new Uint8Array(5 + PART_BYTES + 1), "BAD_PART"],
    [Uint8Array.of(0, 0, 0, 1, 0, 1), "OTHER_CHECKPOINT"],
  ];
  for (const [part, code] of rows) {
    assertEquals(refusalNow(() => new CheckpointAssembly(1 << 20).take("a", part)), code);
  }
});

test("10,000 records go into a checkpoint and come out of it", () => comesBack(10_000));

test("a vector is refused when it is out of order, repeats, has a zero, or is too long", () => {
  const one = (node: string, counter: bigint) => ({ node, counter });
  const written = (entries: readonly { node: string; counter: bigint }[]) => {
    const w = new Writer(64).u16(entries.length);
    for (const { node, counter } of entries) {
      w.bytes(Uint8Array.from(node.match(/../g)!, (pair) => parseInt(pair, 16))).u64(counter)
        .bytes(new Uint8Array(8));
    }
    return w.finish();
  };
  const [a, b] = nodes as [string, string];
  const read = (bytes: Uint8Array) => readLinks(new Reader(bytes));
  assertEquals(read(encodeLinks(vector)), new Map([...vector].sort()));
  const rows: [Uint8Array, string][] = [
    [written([one(b, 1n), one(a, 1n)]), "BAD_ORDER"],
    [written([one(a, 1n), one(a, 2n)]), "BAD_ORDER"],
    [written([one(a, 0n)]), "BAD_COUNTER"],
    [new Writer(2).u16(1_001).finish(), "COUNT_LIMIT"],
  ];
  for (const [bytes, code] of rows) assertEquals(refusalNow(() => read(bytes)), code);
  const good = encodeLinks(vector);
  for (let length = 0; length < good.length; length++) {
    assertEquals(refusalNow(() => read(good.subarray(0, length))), "TRUNCATED");
  }
});

/** Operations that may share an id, as those of a device that runs twice do. */
const operations = fc.array(
  fc.record({
    kind: fc.constantFrom(...operationKinds),
    id: fc.integer({ min: 1, max: 2 }),
    counter: fc.integer({ min: 1, max: 6 }),
    node: fc.constantFrom(...nodes),
    changes: fc.dictionary(
      fc.constantFrom("a", "b", "10", "9", "é", "e\u0301x", "__proto__"),
      fc.integer({ min: 0, max: 3 }),
    ),
  }),
  { maxLength: 14 },
);

test("records that hold the same have the same bytes, in whatever order it came", () => {
  holds(
    fc.property(operations, fc.array(fc.nat(), { minLength: 28 }), (made, order) => {
      const put = (replica: Replica, one: typeof made[number]) => {
        const stamp = { counter: BigInt(one.counter), node: one.node };
        const changes = (one.kind === "delete" ? {} : one.changes) as Fields;
        const id = new Uuid(0n, BigInt(one.id));
        const operation = { ...one, id, collection: "bugs", ...stamp, node: 0, changes };
        replica.apply(operation, stamp);
        return holdsOperation(replica.state("bugs", id)!, operation, stamp);
      };
      const bytes = (replica: Replica) => hex(snapshotOf(new Map(), replica.all()).bytes);
      const [straight, mixed, merged] = [new Replica(), new Replica(), new Replica()];
      for (const one of made) assert(put(straight, one));
      const shuffled = [...made, ...made].map((one, i) => ({ one, key: order[i]! }))
        .sort((a, b) => a.key - b.key);
      for (const { one } of shuffled) put(mixed, one);
      assertEquals(bytes(mixed), bytes(straight));
      const half = new Replica();
      for (const [i, { one }] of shuffled.entries()) put(i % 2 === 0 ? half : merged, one);
      for (const one of made) put(half, one);
      for (const state of half.all()) merged.merge(decodeState(encodeState(state)));
      assertEquals(bytes(merged), bytes(straight));
    }),
    400,
  );
});
