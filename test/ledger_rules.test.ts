import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { memoryStorage, Saver } from "../src/client/blaze/storage.ts";
import { ClientError, faultOf } from "../src/client/client_error.ts";
import { Ledger } from "../src/client/group/data/ledger.ts";
import { type ChainHead, NO_HEAD } from "../src/client/group/data/link_vector.ts";
import {
  decodeLinked,
  encodeLinked,
  type LinkedBody,
  parseLinked,
} from "../src/client/group/data/linked_body.ts";
import type { RecordState } from "../src/client/group/data/replica.ts";
import { type FieldsInput, Uuid } from "../src/wire/blaze/blaze_record.ts";
import { digest } from "../src/client/group/e2e/derive.ts";
import { type Bytes, concat, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { fc, holds } from "./kit/random.ts";
import { refusal, refusalNow } from "./kit/refusal.ts";

const [A, B, C] = [1, 2, 3].map((n) => new Uint8Array(16).fill(n)) as [Bytes, Bytes, Bytes];
const [a, b, c] = [A, B, C].map(hex) as [string, string, string];
const id = (n: number) => new Uuid(0n, BigInt(n));
const LEAP = 2n ** 32n;
const signature = new Uint8Array(64).fill(7);
const sign = () => Promise.resolve(signature);

interface Kept {
  readonly stored: Map<string, Bytes>;
  readonly saver: Saver;
  readonly ledger: Ledger;
}

async function open(
  node: Uint8Array,
  stored = new Map<string, Bytes>(),
  options: { most?: number; collections?: string[] } = {},
): Promise<Kept> {
  const storage = memoryStorage();
  const saver = new Saver({
    load: storage.load,
    save(changes) {
      for (const [key, value] of changes) {
        if (value) stored.set(key, value.slice());
        else stored.delete(key);
      }
      return Promise.resolve();
    },
  });
  const ledger = await Ledger.of(saver, new Map(stored), { node, most: 100, ...options });
  return { stored, saver, ledger };
}

/** A body as anybody could write it. */
const body = async (
  counter: bigint,
  previous: ChainHead = NO_HEAD,
  changes: FieldsInput = { n: Number(counter % 1000n) },
  record = 1,
): Promise<LinkedBody> => {
  const operation = {
    kind: "update" as const,
    collection: "bugs",
    id: id(record),
    counter,
    node: 0,
    changes,
  };
  return await decodeLinked(await encodeLinked({ operation, previous }));
};

const headOf = ({ operation, link }: LinkedBody): ChainHead => ({
  counter: operation.counter,
  link,
});

const titled = (ledger: Ledger) => ledger.replica.get("bugs", id(1));

test("a body comes back as it was, signed or not, on behalf or not, and its link is that of the page", async () => {
  const previous = { counter: 4n, link: new Uint8Array(8).fill(9) };
  const { operation } = await body(5n);
  for (const origin of [undefined, C]) {
    for (const signer of [undefined, sign]) {
      const bytes = await encodeLinked({ operation, previous, origin }, signer);
      const read = await decodeLinked(bytes);
      assertEquals([read.operation, read.previous, read.origin], [operation, previous, origin]);
      assertEquals(read.signature, signer && signature);
      assertEquals(concat(read.covered, read.signature ?? new Uint8Array()), bytes);
      const hash = await crypto.subtle.digest(
        "SHA-256",
        concat(utf8Bytes("BX2 link"), previous.link, bytes),
      );
      assertEquals(read.link, new Uint8Array(hash).slice(0, 8));
      assertEquals(read.link, (await digest("BX2 link", previous.link, bytes)).slice(0, 8));
      for (let length = 0; length < bytes.length; length++) {
        await refusal(() => decodeLinked(bytes.slice(0, length)));
      }
    }
  }
});

test("a body is refused when anything is wrong with it", async () => {
  const good = await encodeLinked({
    operation: (await body(5n)).operation,
    previous: { counter: 4n, link: new Uint8Array(8).fill(9) },
  });
  const set = (index: number, byte: number) => good.map((old, i) => i === index ? byte : old);
  const none = set(8, 0);
  const rows: [Bytes, string][] = [
    [new Uint8Array(0), "TRUNCATED"],
    [set(0, 4), "RESERVED_BITS"],
    [set(8, 5), "BAD_COUNTER"],
    [none, "BAD_LINK"],
    [set(17, 3), "UNKNOWN_OPERATION"],
    [concat(good, Uint8Array.of(0)), "TRAILING_BYTES"],
    [set(0, 1).slice(0, 40), "TRUNCATED"],
  ];
  for (const [bytes, code] of rows) assertEquals(refusalNow(() => parseLinked(bytes)), code);
  holds(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    try {
      parseLinked(bytes.slice());
    } catch (error) {
      assert(faultOf(error).code !== "UNEXPECTED");
    }
  }));
});

test("rule 4: what follows the last one counts, once; what does not is no part of anybody's past", async () => {
  const { ledger } = await open(A);
  const one = await body(3n);
  const two = await body(5n, headOf(one));
  const fork = await body(6n, headOf(one));
  const forged = await body(7n, { ...headOf(two), link: new Uint8Array(8) });
  const beyond = await body(20n, { counter: 12n, link: new Uint8Array(8).fill(1) });
  const kind = (one: LinkedBody) => {
    const taken = ledger.take(b, one);
    return taken.kind === "counts" ? `counts${taken.gap ? ", gap" : ""}` : taken.kind;
  };
  assertEquals(kind(one), "counts");
  assertEquals(kind(one), "repeated");
  assertEquals(kind(two), "counts");
  assertEquals([kind(fork), kind(forged), kind(await body(5n))], ["refused", "refused", "refused"]);
  assertEquals(ledger.missing, false);
  assertEquals(kind(beyond), "counts, gap");
  assertEquals([kind(beyond), ledger.missing], ["repeated", true]);
  // What is announced ends before the gap; what counts does not.
  assertEquals(ledger.having.get(b), headOf(two));
  assertEquals(ledger.vector.get(b), headOf(beyond));
  ledger.absorb(new Map([[b, headOf(beyond)]]), []);
  assertEquals([ledger.missing, ledger.having.get(b)], [false, headOf(beyond)]);
});

test("rule 6: counters that leap are refused in operations, vectors and records", async () => {
  const { ledger, stored, saver } = await open(A);
  assertEquals(ledger.take(b, await body(LEAP)).kind, "counts");
  assertEquals(
    ledger.take(c, await body(2n * LEAP + 1n)),
    { kind: "refused", own: false, code: "BAD_COUNTER" },
  );
  const claim = (counter: bigint) => new Map([[a, { counter, link: new Uint8Array(8).fill(1) }]]);
  assertEquals(refusalNow(() => ledger.covered(b, claim(LEAP + LEAP / 2n + 1n))), "BAD_COUNTER");
  const claimed = LEAP + LEAP / 2n + 1n;
  assertThrows(() => ledger.covered(b, claim(claimed)), ClientError, `${claimed} is far ahead`);
  assertEquals(refusalNow(() => ledger.absorb(claim(2n * LEAP + 1n), [])), "BAD_COUNTER");
  const state: RecordState = {
    collection: "bugs",
    id: id(9),
    inserted: { counter: 2n * LEAP + 1n, node: b },
    fields: new Map(),
  };
  assertEquals(refusalNow(() => ledger.absorb(new Map(), [state])), "BAD_COUNTER");
  assertEquals(ledger.replica.state("bugs", id(9)), undefined);
  // The bound survives a restart, and a clock that others pushed leaves room to go on.
  await saver.flush();
  const again = (await open(A, stored)).ledger;
  assertEquals(again.covered(b, claim(LEAP + LEAP / 2n)), true);
  const next = await again.write("insert", "bugs", id(1), {});
  const other = (await open(B)).ledger;
  other.take(b, await body(LEAP));
  assertEquals(other.take(a, next).kind, "counts");
});

test("rule 7: between two values under one id the higher bytes win, whichever came first", async () => {
  const [low, high] = [await body(1n, NO_HEAD, { n: 1 }), await body(1n, NO_HEAD, { n: 2 })];
  for (const order of [[low, high], [high, low]]) {
    const { ledger } = await open(A);
    for (const { operation } of order) {
      ledger.replica.apply(operation, { counter: operation.counter, node: b });
    }
    assertEquals(titled(ledger), { n: 2 });
  }
});

test("rule 5: a device that runs twice takes the log's word, and numbers what waits anew", async () => {
  const first = await open(A);
  const zero = await first.ledger.write("insert", "bugs", id(1), { n: 0 });
  first.ledger.take(a, zero);
  await first.saver.flush();
  const second = await open(A, new Map(first.stored));
  const mine = await first.ledger.write("update", "bugs", id(1), { n: 1, mine: true });
  const theirs = await second.ledger.write("update", "bugs", id(1), { n: 2, theirs: true });
  assertEquals(mine.counter, theirs.counter);
  // The log has the other one's first.
  assertEquals(first.ledger.take(a, theirs).kind, "counts");
  assertEquals(first.ledger.stale, true);
  assertEquals(
    first.ledger.take(a, mine),
    { kind: "refused", own: true, code: "ID_TAKEN" },
  );
  await first.ledger.renumber();
  assertEquals(first.ledger.stale, false);
  const [, anew] = [...first.ledger.waiting];
  assertEquals([anew!.previous, anew!.counter > mine.counter], [headOf(theirs), true]);
  for (const ledger of [first.ledger, second.ledger]) {
    for (const one of [theirs, mine, anew!]) ledger.take(a, one);
    assertEquals(titled(ledger), { n: 1, mine: true, theirs: true });
  }
  assertEquals(hex(await first.ledger.digest()), hex(await second.ledger.digest()));
});

test("rule 8: what waits goes when another device has it, with the link of our chain only", async () => {
  const { ledger, stored, saver } = await open(A);
  const made = [];
  for (let n = 1; n <= 3; n++) made.push(await ledger.write("update", "bugs", id(1), { n }));
  const [one, two, three] = made.map(headOf) as [ChainHead, ChainHead, ChainHead];
  for (const each of made.slice(0, 2)) ledger.take(a, each);
  const left = () => [...ledger.waiting].map(({ counter, logged }) => `${counter} ${logged}`);
  assertEquals(left(), ["1 true", "2 true", "3 false"]);
  // Our own word, and another link, cover nothing.
  assertEquals(ledger.covered(a, new Map([[a, three]])), false);
  assertEquals(ledger.covered(b, new Map([[a, { ...two, link: one.link }]])), false);
  assertEquals(left().length, 3);
  assertEquals(ledger.covered(b, new Map([[a, one]])), false);
  assertEquals(left(), ["2 true", "3 false"]);
  // Another log: the same again, under the same ids.
  ledger.unlogged();
  assertEquals([left(), ledger.vector.get(a)], [["2 false", "3 false"], one]);
  await saver.flush();
  const again = (await open(A, stored)).ledger;
  assertEquals([...again.waiting].map(({ bytes }) => bytes), made.slice(1).map((m) => m.bytes));
  assertEquals(again.covered(b, new Map([[a, three]])), false);
  assertEquals([again.waitingCount, again.vector.get(a)], [0, three]);
});

test("an author that forgot hears of it by an announce, and goes on behind what it said", async () => {
  const { ledger } = await open(A);
  await ledger.write("update", "bugs", id(1), { n: 1 });
  const told = { counter: 40n, link: new Uint8Array(8).fill(3) };
  assertEquals(ledger.covered(b, new Map([[a, told]])), true);
  assertEquals([ledger.stale, ledger.missing], [true, true]);
  await ledger.renumber();
  const [one] = [...ledger.waiting];
  assertEquals([one!.previous, one!.counter > 40n], [told, true]);
  // The same word once more changes nothing.
  assertEquals(ledger.covered(b, new Map([[a, told]])), false);
  ledger.absorb(new Map([[a, told]]), []);
  assertEquals([ledger.missing, ledger.stale, ledger.waitingCount], [false, false, 1]);
});

test("what a restored copy still has waiting does not come back over what came later", async () => {
  const old = await open(A);
  const one = await old.ledger.write("update", "bugs", id(1), { title: "old" });
  await old.saver.flush();
  const copy = new Map(old.stored);
  old.ledger.take(a, one);
  const two = await old.ledger.write("update", "bugs", id(1), { title: "new" });
  old.ledger.take(a, two);
  const { vector } = old.ledger.contents();
  const restored = (await open(A, copy)).ledger;
  await restored.write("update", "bugs", id(2), { other: true });
  const { changes } = restored.absorb(vector, [...old.ledger.replica.all()]);
  assertEquals(changes.map(({ changes }) => changes), [{ title: "new" }]);
  assertEquals([restored.stale, restored.waitingCount], [true, 1]);
  await restored.renumber();
  const [left] = [...restored.waiting];
  assertEquals([left!.operation.id, left!.previous], [id(2), headOf(two)]);
  assertEquals(titled(restored), { title: "new" });
});

test("a checkpoint's word counts where it has another last operation under the same counter", async () => {
  const { ledger } = await open(A);
  const [here, there] = [await body(5n, NO_HEAD, { n: 1 }), await body(5n, NO_HEAD, { n: 2 })];
  ledger.take(b, here);
  assertEquals(ledger.absorb(new Map([[b, headOf(there)]]), []).differs, [b]);
  assertEquals(ledger.take(b, await body(6n, headOf(here))).kind, "refused");
  assertEquals(ledger.take(b, await body(7n, headOf(there))).kind, "counts");
});

test("what is read while an operation is made, or numbered anew, moves it behind that", async () => {
  const { ledger } = await open(A);
  const zero = await ledger.write("update", "bugs", id(1), { n: 0 });
  ledger.take(a, zero);
  // A second run of this device wrote these.
  const one = await body(2n, headOf(zero));
  const two = await body(3n, headOf(one));
  const three = await body(4n, headOf(two));
  const making = ledger.write("update", "bugs", id(1), { n: 1 });
  await Promise.resolve();
  ledger.take(a, one);
  const made = await making;
  assertEquals([made.previous, ledger.stale], [headOf(one), false]);
  ledger.take(a, two);
  assertEquals(ledger.stale, true);
  const numbering = ledger.renumber();
  await Promise.resolve();
  ledger.take(a, three);
  await numbering;
  const [, anew] = [...ledger.waiting];
  assertEquals([anew!.previous, ledger.stale], [headOf(three), false]);
});

test("an operation that a second run overtook is covered by nothing of that one's", async () => {
  const { ledger } = await open(A);
  const mine = await ledger.write("update", "bugs", id(1), { mine: true });
  const one = await body(2n);
  ledger.take(a, one);
  assertEquals(ledger.covered(b, new Map([[a, headOf(one)]])), false);
  assertEquals([...ledger.waiting].map(({ counter }) => counter), [mine.counter]);
  assertEquals(ledger.stale, true);
});

test("what waits below a second run's operations goes on from those in the next log", async () => {
  const { ledger } = await open(A);
  const mine = await ledger.write("update", "bugs", id(1), { mine: true });
  const one = await body(2n, headOf(mine));
  for (const each of [mine, one]) ledger.take(a, each);
  ledger.unlogged();
  assertEquals([ledger.settled, ledger.stale], [false, false]);
  const next = await ledger.write("update", "bugs", id(1), { next: true });
  assertEquals([next.previous, ledger.stale], [headOf(one), false]);
  assertEquals(ledger.take(a, mine).kind, "repeated");
  assertEquals(ledger.take(a, next).kind, "counts");
  assertEquals(ledger.settled, true);
});

test("operations that stood in the log are numbered anew when a checkpoint has another past", async () => {
  const { ledger } = await open(A);
  const mine = await ledger.write("update", "bugs", id(1), { mine: true });
  ledger.take(a, mine);
  const other = await body(5n);
  ledger.absorb(new Map([[a, headOf(other)]]), []);
  assertEquals([ledger.settled, ledger.stale], [false, true]);
  await ledger.renumber();
  const [anew] = [...ledger.waiting];
  assertEquals(anew!.previous, headOf(other));
});

test("what was queued without a signature gets one with its new number", async () => {
  const { ledger } = await open(A);
  await ledger.write("insert", "bugs", id(1), { n: 1 }, C);
  await ledger.write("update", "bugs", id(1), { n: 2 });
  await ledger.renumber(sign);
  const waiting = [...ledger.waiting];
  assertEquals(waiting.map((one) => one.signature), [signature, signature]);
  assertEquals(waiting.map((one) => one.origin), [C, undefined]);
  assertEquals(waiting[1]!.previous, headOf(waiting[0]!));
  for (const one of waiting) assertEquals(ledger.take(a, one).kind, "counts");
});

test("operations beyond the most that wait are owed, until a checkpoint brings them", async () => {
  const mine = await open(A, new Map(), { most: 2 });
  for (let n = 1; n <= 4; n++) await mine.ledger.write("update", "bugs", id(n), { n });
  await mine.saver.flush();
  const { ledger } = await open(A, mine.stored, { most: 2 });
  assertEquals([ledger.waitingCount, ledger.owes, ledger.missing], [2, true, false]);
  const other = (await open(B)).ledger;
  for (const one of [...ledger.waiting]) {
    other.take(a, one);
    ledger.take(a, one);
  }
  assertEquals([other.missing, ledger.missing, other.replica.size], [true, false, 2]);
  assertEquals(ledger.covers(other.having), false);
  const states = [...ledger.replica.all()];
  assertEquals([ledger.unlisted, ledger.last], [2, 4n]);
  assertEquals([1n, 2n, 3n, 4n].map((n) => ledger.isUnlisted(n)), [true, true, false, false]);
  // Another device's checkpoint may speak of an operation whose predecessors it never saw.
  ledger.absorb(ledger.vector, []);
  assertEquals([ledger.owes, ledger.unlisted], [true, 2]);
  let settled = 0;
  ledger.onSettled = () => settled++;
  for (const reader of [other, ledger]) reader.absorb(ledger.vector, states, reader === ledger);
  assertEquals([settled, ledger.unlisted], [1, 0]);
  assertEquals([other.missing, ledger.owes, other.replica.size], [false, false, 4]);
  assertEquals(hex(await other.digest()), hex(await ledger.digest()));
});

test("a device that makes no checkpoints refuses what it would have to give up", async () => {
  const { ledger } = await open(A, new Map(), { most: 2, collections: ["bugs"] });
  const write = (n: number) => ledger.write("update", "bugs", id(n), { n });
  const first = await write(1);
  await write(2);
  assertEquals(await refusal(() => write(3)), "QUEUE_FULL");
  assertEquals([ledger.waitingCount, ledger.replica.size], [2, 2]);
  // What the relay has may go.
  ledger.take(a, first);
  await write(3);
  assertEquals([ledger.waitingCount, ledger.unlisted, ledger.replica.size], [2, 0, 3]);
});

test("a device that keeps some collections counts everything, and begins anew with another choice", async () => {
  const some = await open(A, new Map(), { collections: ["notes"] });
  const one = await body(1n);
  assertEquals(
    some.ledger.take(b, one),
    { kind: "counts", effect: undefined, gap: false, own: false },
  );
  assertEquals([some.ledger.replica.size, some.ledger.vector.get(b)], [0, headOf(one)]);
  await some.saver.flush();
  assertEquals((await open(A, some.stored, { collections: ["notes"] })).ledger.renewed, false);
  const { ledger } = await open(A, some.stored);
  assertEquals([ledger.renewed, ledger.vector.size], [true, 0]);
  assertEquals(ledger.take(b, one).kind, "counts");
  assertEquals(ledger.replica.size, 1);
});

test("an operation that would give a record too many fields counts, and changes nothing", async () => {
  const { ledger } = await open(A);
  const fields = (from: number) =>
    Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`f${from + i}`, 0]));
  const one = await body(1n, NO_HEAD, fields(0));
  const two = await body(2n, headOf(one), fields(40_000));
  for (const each of [one, two]) assertEquals(ledger.take(b, each).kind, "counts");
  assertEquals(ledger.replica.state("bugs", id(1))!.fields.size, 40_000);
});

test("a 1,001st author is refused", async () => {
  const { ledger } = await open(A);
  const one = await body(1n);
  const node = (n: number) => n.toString(16).padStart(32, "0");
  for (let n = 1; n <= 1_000; n++) assertEquals(ledger.take(node(n), one).kind, "counts");
  assertEquals(
    ledger.take(node(1_001), one),
    { kind: "refused", own: false, code: "GROUP_FULL" },
  );
  const more = new Map([[node(1_002), headOf(one)]]);
  assertEquals(refusalNow(() => ledger.absorb(more, [])), "GROUP_FULL");
});
