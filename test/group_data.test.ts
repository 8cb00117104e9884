import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { decodeState, encodeState } from "../src/client/group/data/record_state.ts";
import { type RecordState, Replica, seen } from "../src/client/group/data/replica.ts";
import { fileStorage } from "../src/client/blaze/storage_file.ts";
import { Saver } from "../src/client/blaze/storage.ts";
import { hex, utf8Bytes } from "../src/wire/bytes.ts";
import { type Operation, operationKinds } from "../src/wire/blaze/operation.ts";
import { type Fields, Uuid } from "../src/wire/blaze/blaze_record.ts";
import { fc, holds } from "./kit/random.ts";
import { refusalNow } from "./kit/refusal.ts";

const placeOf = ({ collection, id }: RecordState): string => `${collection}\n${id}`;

const nodes = ["aa".repeat(16), "bb".repeat(16), "cc".repeat(16)];

/** Operations with distinct stamps on a few records. */
const operations = fc.uniqueArray(
  fc.record({
    kind: fc.constantFrom(...operationKinds),
    id: fc.integer({ min: 1, max: 3 }),
    counter: fc.integer({ min: 1, max: 12 }),
    node: fc.constantFrom(...nodes),
    changes: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 0, max: 9 })),
  }),
  { selector: ({ counter, node }) => `${counter}${node}`, maxLength: 20 },
);

interface Made {
  kind: Operation["kind"];
  id: number;
  counter: number;
  node: string;
  changes: Fields;
}

const apply = (replica: Replica, { kind, id, counter, node, changes }: Made) =>
  replica.apply(
    {
      kind,
      collection: "bugs",
      id: new Uuid(0n, BigInt(id)),
      counter: BigInt(counter),
      node: 0,
      changes: kind === "delete" ? {} : changes,
    },
    { counter: BigInt(counter), node },
  );

const view = (replica: Replica) => [...replica.all()].map((state) => [placeOf(state), seen(state)]);

test("Replica ends the same in whatever order operations arrive, and however often", () => {
  holds(fc.property(operations, fc.array(fc.nat()), (made, order) => {
    const [straight, mixed] = [new Replica(), new Replica()];
    for (const one of made) apply(straight, one);
    const shuffled = [...made, ...made].map((one, i) => ({ one, key: order[i] ?? i }))
      .sort((a, b) => a.key - b.key);
    for (const { one } of shuffled) apply(mixed, one);
    assertEquals(view(mixed), view(straight));
  }));
});

test("Replica ends the same when records are merged instead of operations", () => {
  holds(fc.property(operations, fc.nat(20), (made, cut) => {
    const [whole, left, right] = [new Replica(), new Replica(), new Replica()];
    for (const one of made) apply(whole, one);
    for (const one of made.slice(0, cut)) apply(left, one);
    for (const one of made.slice(cut)) apply(right, one);
    for (const state of right.all()) left.merge(decodeState(encodeState(state)));
    assertEquals(view(left), view(whole));
  }));
});

test("the effects of a Replica, applied by a simple reader, give what the replica shows", () => {
  holds(fc.property(operations, (made) => {
    const replica = new Replica();
    const reader = new Map<string, Fields>();
    for (const one of made) {
      const effect = apply(replica, one);
      if (!effect) continue;
      const id = `${one.id}`;
      if (effect.kind === "delete") reader.delete(id);
      else if (effect.kind === "insert") reader.set(id, effect.changes);
      else reader.set(id, { ...reader.get(id), ...effect.changes });
    }
    const shown = replica.list("bugs").map(({ id, fields }) => [`${id.low}`, fields] as const);
    assertEquals(new Map(shown.sort()), new Map([...reader].sort()));
  }));
});

test("Replica: a delete wins over what it knew, and an insert brings a record back", () => {
  const replica = new Replica();
  const id = new Uuid(0n, 1n);
  const [node] = nodes as [string];
  const one = (kind: Operation["kind"], counter: bigint, changes: Fields) =>
    replica.apply({ kind, collection: "bugs", id, counter, node: 0, changes }, { counter, node });
  one("insert", 1n, { a: 1 });
  one("delete", 5n, {});
  assertEquals(one("update", 3n, { a: 2 }), undefined);
  assertEquals(one("update", 7n, { b: 2 }), undefined);
  assertEquals(replica.get("bugs", id), undefined);
  assertEquals(one("insert", 8n, { c: 3 }), { kind: "insert", changes: { b: 2, c: 3 } });
});

const sample = (): RecordState => {
  const replica = new Replica();
  for (const [i, kind] of (["insert", "update", "delete", "insert"] as const).entries()) {
    apply(replica, { kind, id: 1, counter: i + 1, node: nodes[i % 3]!, changes: { a: i, é: i } });
  }
  return replica.state("bugs", new Uuid(0n, 1n))!;
};

test("decodeState reads what encodeState wrote, and refuses every truncation", () => {
  const bytes = encodeState(sample());
  assertEquals(hex(encodeState(decodeState(bytes))), hex(bytes));
  for (let length = 0; length < bytes.length; length++) {
    refusalNow(() => decodeState(bytes.subarray(0, length)));
  }
});

test("fileStorage keeps whole batches and drops one that a crash cut off", async () => {
  const folder = mkdtempSync(`${tmpdir()}/blaze-file-`);
  const path = `${folder}/device`;
  try {
    const last = { length: 0 };
    for (let cut = 0; cut <= last.length; cut++) {
      rmSync(path, { force: true });
      const first = fileStorage(path);
      assertEquals((await first.load()).size, 0);
      await first.save(new Map([["a", utf8Bytes("1")], ["b", utf8Bytes("2")]]));
      await first.save(new Map([["a", utf8Bytes("3")], ["b", undefined]]));
      const whole = readFileSync(path).length;
      await first.save(new Map([["c", utf8Bytes("4")]]));
      await first.close!();
      const longer = readFileSync(path).length;
      last.length = longer - whole;
      truncateSync(path, longer - cut);
      // What is there after a torn batch is no batch either.
      if (cut === last.length) appendFileSync(path, new Uint8Array(9).fill(0xff));
      const again = fileStorage(path);
      const kept = await again.load();
      assertEquals(kept.get("a"), utf8Bytes("3"));
      assertEquals([...kept.keys()], cut === 0 ? ["a", "c"] : ["a"]);
      await again.save(new Map([["d", utf8Bytes("5")]]));
      await again.close!();
      const after = fileStorage(path);
      assertEquals((await after.load()).get("d"), utf8Bytes("5"));
      await after.close!();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("Saver tells of a storage that fails, and tries again with what it had", async () => {
  let broken = true;
  const saved = new Map<string, unknown>();
  const saver = new Saver({
    load: () => Promise.resolve(new Map()),
    save(changes) {
      if (broken) return Promise.reject(new Error("the disk is full"));
      for (const [key, value] of changes) saved.set(key, value);
      return Promise.resolve();
    },
  });
  saver.set("a", utf8Bytes("1"));
  const error = await saver.flush().catch((error) => error);
  assertEquals(error.code, "STORAGE_FAILED");
  saver.set("b", utf8Bytes("2"));
  broken = false;
  await saver.flush();
  assertEquals([...saved.keys()], ["a", "b"]);
});
